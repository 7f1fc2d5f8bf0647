"""The spool on its own: what it keeps, what it lets go, and what its readers get."""

from __future__ import annotations

from pathlib import Path

from farlab_kernels.keeper.spool import Entry, Spool


class Reader:
    """What the spool asks: up to where everything is read and done with."""

    def __init__(self) -> None:
        self.floor = 0
        self.noted: list[int] = []

    def note(self, count: int, last: Entry) -> Entry:
        self.noted.append(count)
        return Entry(last.number, "", last.cell, True, b"note %d" % count)


def make(folder: Path, reader: Reader, **sizes: int) -> Spool:
    return Spool(folder, floor=lambda: reader.floor, note=reader.note, **sizes)


def fill(spool: Spool, count: int, *, reply_every: int = 10) -> None:
    for _ in range(count):
        number = spool.last + 1
        spool.append(Entry(number, "c", "cell", number % reply_every != 0, b"%06d" % number))


def read_all(spool: Spool, number: int = 0) -> list[Entry]:
    found = []
    while entries := spool.after(number):
        assert all(entry.number > number for entry in entries)
        found += entries
        number = entries[-1].number
    return found


def test_everything_comes_back_in_order_from_memory_and_from_disk(tmp_path: Path):
    spool = make(tmp_path, Reader(), segment=600)
    fill(spool, 1050)
    assert len(list(tmp_path.iterdir())) == 10
    assert [entry.number for entry in read_all(spool)] == list(range(1, 1051))
    assert [entry.number for entry in read_all(spool, 777)] == list(range(778, 1051))
    assert read_all(spool)[99] == Entry(100, "c", "cell", False, b"000100")
    assert spool.after(1050) == ()


def test_what_is_not_read_or_not_ended_stays(tmp_path: Path):
    reader = Reader()
    spool = make(tmp_path, reader, segment=600, keep=1200)
    fill(spool, 1000)
    assert spool.first == 1
    reader.floor = 450
    spool.trim()
    assert spool.first == 401


def test_the_last_part_stays_whoever_has_read_it(tmp_path: Path):
    reader = Reader()
    reader.floor = 10_000
    spool = make(tmp_path, reader, segment=600, keep=1200)
    fill(spool, 1000)
    assert spool.first == 801
    assert len(list(tmp_path.iterdir())) == 2


def test_over_the_limit_output_goes_and_replies_stay(tmp_path: Path):
    reader = Reader()
    spool = make(tmp_path, reader, segment=600, limit=3000)
    fill(spool, 1000)
    entries = read_all(spool)
    numbers = [entry.number for entry in entries]
    assert numbers == sorted(set(numbers))
    assert set(range(10, 1001, 10)) <= set(numbers)
    (note,) = [entry for entry in entries if entry.data.startswith(b"note")]
    dropped = reader.noted[-1]
    assert note.data == b"note %d" % dropped
    assert len(entries) == 1000 - dropped + 1
    assert all(entry.number > note.number for entry in entries if entry.output and entry != note)
    assert sum(len(entry.data) for entry in entries) < 3600
    assert note not in read_all(spool, note.number)


def test_a_disk_that_is_full_keeps_it_in_memory_and_shorter(tmp_path: Path):
    reader = Reader()
    spool = make(tmp_path / "missing", reader, segment=600, keep=1200, limit=100_000)
    fill(spool, 1000)
    entries = read_all(spool)
    assert entries[-1].number == 1000
    assert sum(len(entry.data) for entry in entries) < 3000
    assert reader.noted
