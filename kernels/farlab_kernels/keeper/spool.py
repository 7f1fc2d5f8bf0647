"""The spool: all that a kernel said, numbered, the newest in memory and the rest on disk.

What is read and done with goes first. The rule, from `trim`:
- the last KEEP bytes always stay;
- older entries go when every client has them and the cells they belong to have ended;
- other older entries stay until the spool holds LIMIT bytes (the router takes less where the disk
  is small). Then output goes, oldest first, and a
  note takes its place; replies and states, which say that a cell has ended, stay even then.
Files lie in the keeper's private folder and go with it.
"""

from __future__ import annotations

import json
import logging
import struct
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SEGMENT = 1 << 20
"""Bytes after which entries go to disk, in one file."""
KEEP = 64 << 20
"""Bytes that are kept whoever has read them."""
LIMIT = 1 << 30
"""Bytes above which output is dropped that somebody has not read."""
_LENGTHS = struct.Struct("!IQ")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Entry:
    """One packet, encoded. `client`: whom it is for, "" for everyone; `cell`: the request's id."""

    number: int
    client: str
    cell: str
    output: bool
    data: bytes


MakeNote = Callable[[int, Entry], Entry]


class _Segment:
    """A row of entries: in memory while it grows, and then in a file."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.last = first - 1
        self.size = 0
        self.entries: list[Entry] | None = []
        self.path: Path | None = None
        self.compact = False

    def add(self, entry: Entry) -> None:
        assert self.entries is not None  # noqa: S101  (for the type checker)
        self.entries.append(entry)
        self.last = entry.number
        self.size += len(entry.data)

    def read(self) -> list[Entry]:
        if self.entries is not None:
            return self.entries
        assert self.path is not None  # noqa: S101  (for the type checker)
        return _unpack(self.path.read_bytes())

    def store(self, path: Path) -> bool:
        """Move the entries to a file. Tell whether that worked; otherwise they stay in memory."""
        assert self.entries is not None  # noqa: S101  (for the type checker)
        try:
            with path.open("xb") as file:
                file.writelines(map(_pack, self.entries))
        except OSError as error:
            log.warning("the spool stays in memory: can't write %s: %s", path, error.strerror)
            path.unlink(missing_ok=True)
            return False
        self.path, self.entries = path, None
        return True

    def shrink(self, path: Path) -> list[Entry]:
        """Keep only what is no output; return what was dropped."""
        entries = self.read()
        self.drop()
        self.entries = [entry for entry in entries if not entry.output]
        self.size = sum(len(entry.data) for entry in self.entries)
        self.compact = True
        self.store(path)
        return [entry for entry in entries if entry.output]

    def drop(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None


class Spool:
    """Numbered entries, in a private folder.

    `floor` says up to which number every entry is read and done with; `note(count, last)` makes
    the entry that takes the place of `count` dropped ones, the last of which was `last`.
    """

    def __init__(
        self, folder: Path, *, floor: Callable[[], int], note: MakeNote, limit: int = LIMIT,
        keep: int = KEEP, segment: int = SEGMENT,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._floor = floor
        self._note = note
        self._limit, self._keep, self._segment_size = limit, keep, segment
        self._segments = [_Segment(1)]
        self._size = 0
        self._files = 0
        self._dropped = 0
        self._gap: Entry | None = None

    @property
    def last(self) -> int:
        """The newest entry's number; 0 before the first."""
        return self._segments[-1].last

    @property
    def first(self) -> int:
        """The oldest entry's number, or what the next one's will be."""
        return self._segments[0].first

    def append(self, entry: Entry) -> None:
        """Add the entry with the number after the last."""
        segment = self._segments[-1]
        segment.add(entry)
        self._size += len(entry.data)
        if segment.size >= self._segment_size:
            if not segment.store(self._next_file()):
                self._limit = min(self._limit, self._keep)
            self._segments.append(_Segment(segment.last + 1))
            self.trim()

    def after(self, number: int) -> Sequence[Entry]:
        """Return some entries that follow `number`, the next ones; none if there are none yet."""
        at = bisect_right(self._segments, number, key=lambda segment: segment.last)
        for segment in self._segments[at:]:
            entries = segment.read()
            begin = bisect_right(entries, number, key=lambda entry: entry.number)
            found = entries[begin:]
            gap = self._gap
            if gap is not None and max(number + 1, segment.first) <= gap.number <= segment.last:
                insort(found, gap, key=lambda entry: entry.number)
            if found:
                return found
        return ()

    def trim(self) -> None:
        """Drop what may go, and what must."""
        floor = self._floor()
        while self._size > self._keep and len(self._segments) > 1:
            oldest = self._segments[0]
            if oldest.last > floor:
                break
            oldest.drop()
            self._size -= oldest.size
            del self._segments[0]
        at = bisect_left(self._segments, True, key=lambda segment: not segment.compact)
        while self._size > self._limit and at < len(self._segments) - 1:
            self._shrink(self._segments[at])
            at += 1

    def _shrink(self, segment: _Segment) -> None:
        self._size -= segment.size
        dropped = segment.shrink(self._next_file())
        self._size += segment.size
        self._dropped += len(dropped)
        if dropped:
            self._gap = self._note(self._dropped, dropped[-1])

    def _next_file(self) -> Path:
        self._files += 1
        return self._folder / f"spool-{self._files}"


def _pack(entry: Entry) -> bytes:
    about = json.dumps([entry.number, entry.client, entry.cell, entry.output]).encode()
    return b"".join((_LENGTHS.pack(len(about), len(entry.data)), about, entry.data))


def _unpack(data: bytes) -> list[Entry]:
    entries, at = [], 0
    while at < len(data):
        about, size = _LENGTHS.unpack_from(data, at)
        at += _LENGTHS.size
        number, client, cell, output = json.loads(data[at : at + about])
        at += about
        entries.append(Entry(number, client, cell, output, data[at : at + size]))
        at += size
    return entries
