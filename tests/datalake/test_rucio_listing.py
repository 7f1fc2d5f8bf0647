"""Listings of a real Rucio: pages, searches, names of every kind."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import MANY, OpenLake
from farlab_server_ext.datalake.lake import Entry, LakeError, Page, Query
from farlab_server_ext.datalake.rucio.keyset import boundary, page

ODD = [
    "a:b:c",
    "with space",
    "per%2Fcent",
    "folder/sub folder/file.nc",
    "✨ emoji",
    "x" * 250,
    "123",
    "1.5",
    "(1, 2)",
    "True",
    "true-colour.png",
    "2024-01-01 00:00:00",
    "star*",
    "back\\slash",
    "quote'\"",
    "plus+and&amp=?#",
    "ends/dids",
    "ends/meta",
]


async def pages(get: Callable[[str], Awaitable[Page]]) -> list[list[Entry]]:
    """Read a listing to its end."""
    read, cursor = [], ""
    while True:
        got = await get(cursor)
        read.append(list(got.entries))
        if got.next is None:
            return read
        assert got.next != cursor
        cursor = got.next


async def names(get: Callable[[str], Awaitable[Page]]) -> list[str]:
    """Read the names of a listing to its end."""
    return [entry.name for part in await pages(get) for entry in part]


async def test_the_root_is_the_scopes(open_lake: OpenLake) -> None:
    lake = open_lake()
    whole = await lake.children("")
    assert {"demo", "odd", "many", "user.alice"} <= {entry.name for entry in whole.entries}
    assert await names(lambda cursor: lake.children("", cursor, 2)) == [
        entry.name for entry in whole.entries
    ]


async def test_a_scope_has_its_datasets_first(open_lake: OpenLake) -> None:
    lake = open_lake()
    first = await lake.children("demo", limit=10)
    assert [(entry.name, entry.kind) for entry in first.entries[:3]] == [
        ("days", "dataset"),
        ("year", "container"),
        ("day-000.csv", "file"),
    ]
    assert first.entries[2].size == 14
    read = await names(lambda cursor: lake.children("demo", cursor, 5))
    assert read == ["days", "year", *(f"day-{day:03}.csv" for day in range(12))]


async def test_a_large_scope_is_read_page_by_page(open_lake: OpenLake) -> None:
    lake = open_lake()
    read = await pages(lambda cursor: lake.children("many", cursor, 1000))
    assert max(map(len, read)) <= 1000
    found = [entry.name for part in read for entry in part]
    assert found[0] == "all"
    assert len(found) == len(set(found)) == MANY + 2


async def test_a_large_dataset_is_read_page_by_page(open_lake: OpenLake) -> None:
    lake = open_lake()
    first = await lake.children("many:all", limit=50)
    assert len(first.entries) == 50
    assert first.entries[0].checksum == "adler32:0a0b0c0d"
    found = await names(lambda cursor: lake.children("many:all", cursor, 1000))
    assert len(found) == len(set(found)) == MANY + 1


async def test_a_page_in_the_middle_is_found_by_another_server_too(open_lake: OpenLake) -> None:
    first = open_lake()
    cursor, expected = "", []
    for _ in range(3):
        got = await first.children("many:all", cursor, 100)
        cursor, expected = got.next or "", [entry.name for entry in got.entries]
        previous = cursor
    following = await first.children("many:all", previous, 100)
    assert await open_lake().children("many:all", previous, 100) == following
    assert expected[-1] != following.entries[0].name


async def test_a_dataset_that_changed_meanwhile_is_not_read_on(
    open_lake: OpenLake, rucio: RunningRucio
) -> None:
    rucio.admin.add_dataset("play", "moving")
    rucio.admin.attach("play", "moving", [("demo", f"day-{day:03}.csv") for day in range(1, 6)])
    cursor = (await open_lake().children("play:moving", limit=2)).next
    rucio.admin.attach("play", "moving", [("demo", "day-000.csv")])
    with pytest.raises(LakeError) as refusal:
        await open_lake().children("play:moving", cursor or "", 2)
    assert refusal.value.code == "conflict"


async def test_what_is_not_there_is_said(open_lake: OpenLake) -> None:
    for path in ("demo:nothing", "nowhere:nothing"):
        with pytest.raises(LakeError) as refusal:
            await open_lake().children(path)
        assert refusal.value.code == "not-found"
    assert (await open_lake().children("nowhere")).entries == ()


@pytest.mark.parametrize("cursor", ["x", "f!!!", "zAAAA", "..", "99999999999999.1"])
async def test_a_made_up_cursor_is_refused(open_lake: OpenLake, cursor: str) -> None:
    for path in ("demo", "demo:days"):
        with pytest.raises(LakeError) as refusal:
            await open_lake().children(path, cursor)
        assert refusal.value.code == "wrong-input"


@pytest.fixture(scope="module")
def odd(rucio: RunningRucio) -> list[str]:
    """Files with odd names, in no order."""
    shuffled = random.Random(1).sample(ODD, len(ODD))
    rucio.admin.put("VEGA", rucio.folder / "vega", "odd", dict.fromkeys(shuffled, b"odd"))
    rucio.admin.add_dataset("odd", "all")
    rucio.admin.attach("odd", "all", [("odd", name) for name in shuffled])
    return ODD


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_odd_names_are_listed_once_each(
    open_lake: OpenLake, odd: list[str], limit: int
) -> None:
    lake = open_lake()
    found = await names(lambda cursor: lake.children("odd", cursor, limit))
    assert sorted(found) == sorted([*odd, "all"])
    inside = await names(lambda cursor: lake.children("odd:all", cursor, limit))
    assert sorted(inside) == sorted(odd)


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_name_has_details_and_a_path(
    open_lake: OpenLake, odd: list[str], name: str
) -> None:
    lake = open_lake()
    found = await lake.details(f"odd:{name}")
    assert found.entry.name == name
    assert await lake.read(f"odd:{name}") == b"odd"


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_name_is_found_by_its_beginning(
    open_lake: OpenLake, odd: list[str], name: str
) -> None:
    found = await open_lake().search(Query(text=name.replace("*", ""), path="odd"))
    assert name in [entry.name for entry in found.entries]
    assert all(entry.name.startswith(name.replace("*", "")) for entry in found.entries)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query("day-00", "demo"), [f"day-{day:03}.csv" for day in range(10)]),
        (Query("*1.csv", "demo"), ["day-001.csv", "day-011.csv"]),
        (Query("*", "demo", "dataset"), ["days"]),
        (Query("day", "demo", "container"), []),
        (Query("y", "demo:days", "container"), ["year"]),
        (Query("nothing", "demo"), []),
        (Query("day_0", "demo"), []),
    ],
)
async def test_a_search_by_name(open_lake: OpenLake, query: Query, found: list[str]) -> None:
    lake = open_lake()
    assert await names(lambda cursor: lake.search(query, cursor, 4)) == found


async def test_a_search_needs_a_scope(open_lake: OpenLake) -> None:
    with pytest.raises(LakeError) as refusal:
        await open_lake().search(Query("day"))
    assert refusal.value.code == "wrong-input"


async def test_a_search_by_metadata(open_lake: OpenLake) -> None:
    lake = open_lake()
    for number in range(6):
        name = f"user.alice:run-{number}"
        await lake.create(name, "dataset")
        await lake.set_metadata(name, {"detector": "H1" if number % 2 else "L1", "run": number})
    by = {"detector": "H1"}

    async def found(**wanted: str) -> list[str]:
        query = Query(path="user.alice", metadata=wanted)
        return await names(lambda cursor: lake.search(query, cursor, 2))

    assert await found(**by) == ["run-1", "run-3", "run-5"]
    assert await found(detector="H1", run=">1") == ["run-3", "run-5"]
    assert await found(run="<= 2") == ["run-0", "run-1", "run-2"]
    assert await found(detector="L*") == ["run-0", "run-2", "run-4"]
    assert await found(nothing="x") == []
    with pytest.raises(LakeError) as refusal:
        await found(**{"a.b": "x"})
    assert refusal.value.code == "wrong-input"


@dataclass(frozen=True)
class Row:
    """A row of a made-up table."""

    name: str


@pytest.mark.parametrize("limit", [1, 2, 7, 50])
@pytest.mark.parametrize("order", ["index", "any", "inserted"])
async def test_pages_lose_nothing_whatever_rows_come_first(limit: int, order: str) -> None:
    table = [f"n{number:03}" for number in range(120)] + ["7", "a true one", "b%", "c*d"]
    chance = random.Random(limit)

    async def fetch(after: str, upto: str, count: int) -> list[Row]:
        assert not upto or boundary(upto) == upto
        inside = sorted(name for name in table if after < name and (not upto or name <= upto))
        if order == "any":
            chance.shuffle(inside)
        elif order == "inserted":  # and a scan may start anywhere, where another one has stopped
            start = chance.randrange(len(inside) + 1)
            inside = inside[start:] + inside[:start]
        return [Row(name) for name in inside[:count]]

    read: list[str] = []
    after: str | None = ""
    while after is not None:
        rows, after = await page(fetch, after, limit)
        read += [row.name for row in rows]
    assert read == sorted(table)
