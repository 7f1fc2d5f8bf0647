"""STAC lakes: a real API (rustac), a static catalogue, and how both join with Rucio."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from farlab_real.stac_server import ITEMS, RunningStacApi, StaticCatalogue, collection, item
from farlab_server_ext.datalake.endpoint import Endpoint
from farlab_server_ext.datalake.lake import Entry, LakeError, Query
from farlab_server_ext.datalake.stac.items import Coverage, DataFile, Dataset, item_of
from farlab_server_ext.datalake.stac.lake import StacLake
from farlab_server_ext.datalake.stac.links import (
    DidLink,
    Places,
    checksum_of,
    did_link,
    item_of_did,
    multihash,
)
from farlab_server_ext.datalake.stac.registration import (
    NewFile,
    Skipped,
    plan,
    register,
    with_links,
)

PLACES = Places({"rucio.example.org": "escape"}, {"https://data.example.org": "eodc"})


def lake_at(url: str) -> StacLake:
    return StacLake("stac", "STAC", Endpoint("STAC", url), PLACES)


@pytest.fixture
async def api(stac_api: RunningStacApi) -> AsyncIterator[StacLake]:
    made = lake_at(stac_api.url)
    yield made
    await made.close()


@pytest.fixture
async def static(static_catalogue: StaticCatalogue) -> AsyncIterator[StacLake]:
    made = lake_at(static_catalogue.url)
    yield made
    await made.close()


async def all_children(lake: StacLake, path: str, limit: int) -> list[Entry]:
    found: list[Entry] = []
    cursor = ""
    while True:
        page = await lake.children(path, cursor, limit)
        assert len(page.entries) <= limit
        found += page.entries
        if page.next is None:
            return found
        cursor = page.next


async def test_an_api_page_by_page(api: StacLake) -> None:
    (fires,) = (await api.children("")).entries
    assert (fires.name, fires.kind) == ("Burnt areas", "collection")
    assert fires.more["bbox"] == [-120, 0, 131, 1]
    items = await all_children(api, fires.path, 100)
    assert sorted(one.more["id"] for one in items) == [f"fire-{n:03d}" for n in range(ITEMS)]
    first = items[0]
    assert first.kind == "item"
    assert first.more["bbox"] == [-120, 0, -119, 1]
    assert first.more["geometry"]["type"] == "Polygon"
    assert first.more["thumbnail"] == "https://data.example.org/fire-000.png"
    assert first.more["time"] == ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"]


async def test_a_static_catalogue_page_by_page(static: StacLake) -> None:
    await static.prepare()
    assert static.capabilities == frozenset()
    (fires,) = (await static.children("")).entries
    items = await all_children(static, fires.path, 100)
    assert [one.more["id"] for one in items] == [f"fire-{n:03d}" for n in range(ITEMS)]
    with pytest.raises(LakeError) as caught:
        await static.search(Query(bbox=(0, 0, 1, 1)))
    assert caught.value.code == "unsupported"


@pytest.mark.parametrize("which", ["api", "static"])
async def test_assets_and_where_they_are(
    which: str, api: StacLake, static: StacLake, request: pytest.FixtureRequest
) -> None:
    lake: StacLake = {"api": api, "static": static}[which]
    (fires,) = (await lake.children("")).entries
    first = (await lake.children(fires.path, limit=1)).entries[0]
    did = {"lake": "escape", "host": "rucio.example.org", "scope": "fires"}
    assert first.more["in"] == [did | {"name": "fire-000"}]
    assets = {one.name: one for one in (await lake.children(first.path)).entries}
    assert set(assets) == {"thumbnail", "data"}
    data = assets["data"]
    assert (data.kind, data.size) == ("asset", 1000)
    stored = {"lake": "eodc", "path": "fire-000.nc"}
    expected = [did | {"name": "fire-000.nc"}] + ([stored] if which == "api" else [])
    assert data.more["in"] == expected
    details = await lake.details(data.path)
    assert details.metadata["type"] == "application/x-netcdf"
    assert details.parents[0].more["id"] == "fire-000"


async def test_search_by_area_and_time(api: StacLake) -> None:
    await api.prepare()
    assert api.capabilities == {"search-area"}
    found = await api.search(Query(bbox=(-0.5, 0.2, 2.5, 0.8)))
    assert {one.more["id"] for one in found.entries} == {f"fire-{n}" for n in (119, 120, 121, 122)}
    week = Query(time="2020-02-01T00:00:00Z/2020-02-07T00:00:00Z")
    assert len((await api.search(week)).entries) == 7
    (fires,) = (await api.children("")).entries
    page = await api.search(Query(path=fires.path), limit=100)
    second = await api.search(Query(path=fires.path), page.next or "", limit=100)
    assert len(page.entries) == len(second.entries) == 100
    assert not {one.path for one in page.entries} & {one.path for one in second.entries}


async def test_what_the_api_does_not_conform_to_is_not_asked(api: StacLake) -> None:
    for query in (Query(text="fire"), Query(metadata={"cloud": "<10"})):
        with pytest.raises(LakeError) as caught:
            await api.search(query)
        assert caught.value.code == "unsupported"


BAD = [
    Query(bbox=(0, 5, 1, 4)),
    Query(bbox=(-181, 0, 0, 1)),
    Query(bbox=(float("nan"), 0, 0, 1)),
    Query(time="yesterday"),
    Query(time="2020-01-01"),
]


@pytest.mark.parametrize("query", BAD)
async def test_bad_areas_and_times(api: StacLake, query: Query) -> None:
    with pytest.raises(LakeError) as caught:
        await api.search(query)
    assert caught.value.code == "wrong-input"


@pytest.mark.parametrize("path", ["//evil.example.org/x", "http://evil.example.org", "/a b", "x"])
async def test_paths_stay_at_the_catalogue(api: StacLake, path: str) -> None:
    with pytest.raises(LakeError) as caught:
        await api.children(path)
    assert caught.value.code == "wrong-input"
    with pytest.raises(LakeError) as caught:
        await api.search(Query(), cursor="//evil.example.org/x")
    assert caught.value.code == "bad-answer"


async def test_what_is_not_there(api: StacLake, static: StacLake) -> None:
    for lake, path in ((api, "/collections/none"), (static, "/none.json")):
        with pytest.raises(LakeError) as caught:
            await lake.children(path)
        assert caught.value.code == "not-found"


async def test_an_asset_is_read_only_where_the_catalogue_is(
    static: StacLake, api: StacLake, static_catalogue: StaticCatalogue
) -> None:
    (static_catalogue.folder / "fires/items/fire-000.nc").write_bytes(b"0123456789")
    path = "/fires/items/fire-000.json#data"
    assert await static.read(path) == b"0123456789"
    assert await static.read(path, 3, 4) == b"3456"
    with pytest.raises(LakeError) as caught:
        await api.read("/collections/fires/items/fire-000#data")
    assert caught.value.code == "unsupported"
    assert "data.example.org" in caught.value.message


async def test_damaged_documents(static_catalogue: StaticCatalogue) -> None:
    links = [
        {"rel": "child", "href": "./none.json"},
        {"rel": "child", "href": "./list.json"},
        {"rel": "child", "href": "http://169.254.169.254/latest"},
        {"rel": "child", "href": "./good one.json"},
        {"rel": "child"},
        "nonsense",
    ]
    root = {"type": "Catalog", "id": "x", "links": links}
    static_catalogue.write("damaged/catalog.json", root)
    static_catalogue.write("damaged/list.json", [])
    static_catalogue.write("damaged/good one.json", {"type": "Catalog", "id": "good"})
    lake = lake_at(f"{static_catalogue.base}/damaged/catalog.json")
    entries = (await lake.children("")).entries
    assert [(one.name, one.state) for one in entries] == [
        ("none.json", "unreadable"),
        ("list.json", "unreadable"),
        ("good", None),
    ]
    await lake.close()


@pytest.mark.parametrize(
    "content", [b"<html>", b"[]", b'{"type": "Else"}', b"\xff", b"[" * 100_000]
)
async def test_rubbish(content: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(content)
        writer.write(head + content)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        lake = lake_at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(LakeError) as caught:
            await lake.children("")
        assert caught.value.code == "bad-answer"
        await lake.close()


DIDS = [("fires", "a/b.nc"), ("user.marie", "run:7/x y.nc"), ("s", "50%2F"), ("s", "ü😀")]


@pytest.mark.parametrize(("scope", "name"), DIDS)
def test_links_to_dids_go_there_and_back(scope: str, name: str) -> None:
    link = DidLink("rucio.example.org", scope, name)
    assert did_link(link.href) == link
    assert link.href.isascii()


@pytest.mark.parametrize(
    "href", ["https://x/y", "rucio://", "rucio://h/x", "rucio:///s:n", None, 7]
)
def test_what_is_no_link_to_a_did(href: object) -> None:
    assert did_link(href) is None


def test_checksums_there_and_back() -> None:
    for checksum in ("sha256:" + "0a" * 32, "md5:" + "0b" * 16):
        assert checksum_of({"file:checksum": multihash(checksum)}) == checksum
    assert multihash("adler32:0a1b2c3d") is None
    assert checksum_of({}) is None


def test_an_item_of_a_dataset() -> None:
    files = [
        DataFile("fires", "run 7/a.nc", 5, "md5:" + "00" * 16, "https://data.example.org/a.nc"),
        DataFile("fires", "b.png"),
    ]
    dataset = Dataset("rucio.example.org", "fires", "run/7", files, {"project": "intertwin"})
    made = item_of(dataset, Coverage((1, 2, 3, 4), "2024-01-01", "2024-02-01T00:00:00+01:00"))
    assert (made["id"], made["bbox"]) == ("run-7", [1, 2, 3, 4])
    assert made["properties"] == {
        "project": "intertwin",
        "datetime": None,
        "start_datetime": "2024-01-01T00:00:00Z",
        "end_datetime": "2024-01-31T23:00:00Z",
    }
    assert made["assets"]["run 7/a.nc"]["href"] == "https://data.example.org/a.nc"
    assert made["assets"]["b.png"]["href"] == "rucio://rucio.example.org/fires:b.png"
    in_lake = PLACES.of_dids(iter([DidLink("rucio.example.org", "fires", "run/7")]))
    assert in_lake[0]["lake"] == "escape"
    assert json.loads(json.dumps(made)) == made
    assert item_of(dataset, Coverage())["geometry"] is None
    for coverage in (
        Coverage((3, 2, 1, 4)),
        Coverage(start="soon"),
        Coverage(start="2024-02-01", end="2024-01-01"),
    ):
        with pytest.raises(LakeError):
            item_of(dataset, coverage)


async def test_an_item_of_a_dataset_is_one_for_a_real_catalogue(
    static_catalogue: StaticCatalogue,
) -> None:
    dataset = Dataset("rucio.example.org", "fires", "run7", [DataFile("fires", "a.nc", 5)])
    static_catalogue.write("made/item.json", item_of(dataset, Coverage((1, 2, 3, 4))))
    root = {"type": "Catalog", "id": "x", "links": [{"rel": "item", "href": "./item.json"}]}
    static_catalogue.write("made/catalog.json", root)
    lake = lake_at(f"{static_catalogue.base}/made/catalog.json")
    (found,) = (await lake.children("")).entries
    assert found.more["in"][0]["name"] == "run7"
    (asset,) = (await lake.children(found.path)).entries
    assert asset.more["in"][0] | {"lake": "escape", "name": "a.nc"} == asset.more["in"][0]
    await lake.close()


class ListedRegistrations:
    """A registrar that only notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def add_container(self, scope: str, name: str, metadata: Mapping[str, Any]) -> None:
        self.asked.append(("container", f"{scope}:{name}", dict(metadata)))

    async def add_dataset(self, scope: str, name: str, metadata: Mapping[str, Any]) -> None:
        self.asked.append(("dataset", f"{scope}:{name}", dict(metadata)))

    async def add_files(self, scope: str, dataset: str, files: Sequence[NewFile]) -> None:
        self.asked.append(("files", f"{scope}:{dataset}", [file.name for file in files]))

    async def attach(self, scope: str, name: str, children: Sequence[tuple[str, str]]) -> None:
        self.asked.append(("attach", f"{scope}:{name}", list(children)))


async def test_assets_are_registered_as_dids() -> None:
    url = "https://stac.example.org/collections/fires"
    described = item(0)
    described["assets"]["data"] |= {"file:checksum": "d50110" + "00" * 16}
    del described["assets"]["data"]["alternate"]
    planned = plan(
        "rucio.example.org", "stac", (collection([]), url), [(described, f"{url}/items/fire-000")]
    )
    assert planned.skipped == [Skipped("fire-000", "thumbnail", "its size is not in the catalogue")]
    (dataset,) = planned.datasets
    assert item_of_did(dataset.metadata) == f"{url}/items/fire-000"
    assert item_of_did(dataset.files[0].metadata) == f"{url}/items/fire-000"
    rucio = ListedRegistrations()
    await register(planned, rucio)
    assert [one[:2] for one in rucio.asked] == [
        ("container", "stac:fires"),
        ("dataset", "stac:fire-000"),
        ("files", "stac:fire-000"),
        ("attach", "stac:fires"),
    ]
    assert rucio.asked[2][2] == ["fire-000/data.nc"]
    linked = with_links(described, "rucio.example.org", "stac")
    assert "alternate" not in described["assets"]["data"]
    again = plan("rucio.example.org", "stac", (collection([]), url), [(linked, url)])
    assert [link.name for link in again.datasets[0].known] == [
        "fire-000/thumbnail.png",
        "fire-000/data.nc",
    ]
