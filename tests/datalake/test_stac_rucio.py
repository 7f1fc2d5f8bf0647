"""STAC and a real Rucio joined: assets at a real door become DIDs, datasets become items."""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from farlab_real.door_pair import DoorPair
from farlab_real.processes import free_ports
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import password_of
from farlab_real.stac_server import RunningStacApi, StaticCatalogue
from farlab_real.storage_fixtures import IssuedTokens
from farlab_real.versitygw import RunningVersitygw
from farlab_real.xrootd import XrootdDoors
from farlab_server_ext.datalake.identities import Typed
from farlab_server_ext.datalake.lake import LakeError, Query
from farlab_server_ext.datalake.registry import Lakes
from farlab_server_ext.datalake.stac.items import Coverage
from farlab_server_ext.datalake.stac.joining import Join, Target

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
FILES = {"sea.nc": b"sea" * 1000, "land 50%2F.nc": "länd".encode(), "small.png": PNG}


class World:
    """A Rucio, a door with an RSE, an object store, and a static catalogue of the door's files."""

    def __init__(
        self,
        rucio: RunningRucio,
        pair: DoorPair,
        store: RunningVersitygw,
        catalogue: StaticCatalogue,
        api: RunningStacApi,
    ) -> None:
        self.rucio, self.pair, self.catalogue = rucio, pair, catalogue
        self.mark = pair.folder
        self.scope = f"stac.{self.mark}"
        self.door = f"{pair.doors.one.url}/{pair.folder}"
        parts = urlsplit(self.door)
        rucio.admin.add_scope(self.scope)
        rucio.admin.add_rse_by(
            f"DOOR-{self.mark}".upper(), "https", parts.hostname or "", parts.port or 0,
            f"{parts.path}/", "rucio.rse.protocols.webdav.Default", deterministic=False,
        )  # fmt: skip
        self.bucket = f"b-{self.mark}"
        store.bucket(self.bucket)
        self.folder = f"joined-{self.mark}"
        self.stac_url = f"{catalogue.base}/{self.folder}/collection.json"
        lakes: list[dict[str, Any]] = [
            {"name": "escape", "rucio": {"url": rucio.url, "identity": {"userpass": {}}}},
            {
                "name": "door",
                "webdav": {
                    "url": self.door,
                    "ca": str(pair.doors.authority.ca),
                    "identity": {"oidc": {}},
                },
            },
            {
                "name": "store",
                "s3": {
                    "url": store.endpoint,
                    "bucket": self.bucket,
                    "region": store.region,
                    "identity": {"keys": {}},
                },
            },
            {
                "name": "stac",
                "stac": {
                    "url": self.stac_url,
                    "registered": {"lake": "escape", "scope": self.scope},
                },
            },
            {"name": "api", "stac": {"url": api.url}},
        ]
        self.lakes = Lakes(lakes, {"lake": "escape", "rse": "VEGA"}, IssuedTokens(self._token))
        self.join = Join(self.lakes)
        self.keys = Typed(store.key, store.secret)
        self.escape: Any = None

    def _token(self) -> str:
        return self.pair.doors.issuer.token()

    async def log_in(self) -> None:
        """Log in to all of them."""
        await self.lakes.log_in("escape", Typed("alice", password_of("alice")))
        await self.lakes.log_in("store", self.keys)
        self.escape = self.lakes.get("escape")

    def describe(self, **more: Any) -> None:
        """Put FILES at the door, and an item with them into the catalogue."""
        assets: dict[str, Any] = {}
        for name, content in FILES.items():
            self.pair.put(self.pair.doors.one, name, content)
            roles = ["thumbnail"] if name.endswith(".png") else ["data"]
            href = self.lakes.get("door").url(name)  # type: ignore[attr-defined]
            assets[name.partition(".")[0]] = {"href": href, "roles": roles}
        assets |= more
        item = {
            "type": "Feature", "stac_version": "1.0.0", "id": "scene 1", "collection": "scenes",
            "geometry": None, "bbox": [1, 2, 3, 4],
            "properties": {"datetime": "2024-01-01T00:00:00Z"},
            "links": [{"rel": "collection", "href": "./collection.json"}], "assets": assets,
        }  # fmt: skip
        links = [{"rel": "item", "href": "./scene.json"}]
        collection = {"type": "Collection", "id": "scenes", "extent": {}, "links": links}
        self.catalogue.write(f"{self.folder}/scene.json", item)
        self.catalogue.write(f"{self.folder}/collection.json", collection)

    @property
    def item_path(self) -> str:
        return f"/{self.folder}/scene.json"


@pytest.fixture
async def world(
    rucio: RunningRucio,
    doors: XrootdDoors,
    s3_server: RunningVersitygw,
    static_catalogue: StaticCatalogue,
    stac_api: RunningStacApi,
) -> AsyncIterator[World]:
    pair = DoorPair(doors)
    made = World(rucio, pair, s3_server, static_catalogue, stac_api)
    await made.log_in()
    yield made
    await made.lakes.close()
    await pair.close()


async def test_assets_become_dids_where_they_are(world: World) -> None:
    world.describe(
        elsewhere={"href": "https://evil.example.org/x.nc"},
        gone={"href": f"{world.door}/gone.nc"},
    )
    dry = await world.join.register("stac", "", dry=True)
    assert (dry["done"], dry["next"]) == (False, None)
    with pytest.raises(LakeError):
        await world.escape.details(f"{world.scope}:scenes")
    for _ in range(2):  # the second time, all is there already
        done = await world.join.register("stac", "")
        assert done["container"] == f"{world.scope}:scenes"
        (dataset,) = done["datasets"]
        assert len(dataset["files"]) == len(FILES)
        assert {(one["asset"], one["item"]) for one in done["skipped"]} == {
            ("elsewhere", "scene_1"),
            ("gone", "scene_1"),
        }
    assert "at no RSE" in done["skipped"][0]["reason"]
    (inside,) = (await world.escape.children(f"{world.scope}:scenes")).entries
    assert inside.path == f"{world.scope}:scene_1"
    url = f"{world.catalogue.base}{world.item_path}"
    details = await world.escape.details(inside.path)
    assert details.metadata["stac_item"] == url
    assert json.loads(details.metadata["stac_bbox"]) == [1, 2, 3, 4]
    assert world.lakes.item_place(details.metadata) == {
        "url": url,
        "lake": "stac",
        "path": world.item_path,
    }
    found = {entry.name: entry for entry in (await world.escape.children(inside.path)).entries}
    assert set(found) == {"scene_1/sea.nc", "scene_1/land_50_2F.nc", "scene_1/small.png"}
    sea = await world.escape.details(f"{world.scope}:scene_1/sea.nc")
    assert sea.metadata["adler32"] == f"{zlib.adler32(FILES['sea.nc']):08x}"
    assert (sea.entry.size, sea.metadata["stac_asset"]) == (len(FILES["sea.nc"]), "sea")
    (replica,) = (await world.escape.replicas_of([sea.entry.path]))[sea.entry.path]
    assert replica.rse == f"DOOR-{world.mark}".upper()
    assert replica.pfns[0].endswith(f"/{world.mark}/sea.nc")


async def test_where_an_items_assets_are(world: World) -> None:
    world.describe()
    before = await world.join.where("stac", world.item_path)
    assert before["dataset"] is None
    at_door = {"lake": "door", "path": "sea.nc", "rses": [], "here": None}
    assert before["assets"]["sea"] == [at_door]
    await world.join.register("stac", world.item_path)
    after = await world.join.where("stac", world.item_path)
    assert after["dataset"] == {"lake": "escape", "path": f"{world.scope}:scene_1"}
    did = f"{world.scope}:scene_1/sea.nc"
    rse = f"DOOR-{world.mark}".upper()
    registered = {"lake": "escape", "path": did, "rses": [rse], "here": None}
    assert after["assets"]["sea"] == [at_door, registered]


async def test_another_file_of_that_name_is_not_registered_over(world: World) -> None:
    world.describe()
    await world.join.register("stac", "")
    world.pair.put(world.pair.doors.one, "sea.nc", b"changed")
    with pytest.raises(LakeError, match="another file") as caught:
        await world.join.register("stac", "")
    assert caught.value.code == "conflict"


async def test_what_can_not_be_registered(world: World) -> None:
    world.describe()
    calls = [
        (world.join.register("door", ""), "unsupported"),
        (world.join.register("stac", "", ("store", "x")), "unsupported"),
        (world.join.register("stac", "/../x"), "not-found"),
        (world.join.register("api", ""), "wrong-input"),
        (world.join.register("stac", "", ("escape", "no.such.scope")), "not-found"),
        (world.join.where("stac", ""), "wrong-input"),
    ]
    for call, code in calls:
        with pytest.raises(LakeError) as caught:
            await call
        assert caught.value.code == code, caught.value
    bob = Lakes(
        [*world.lakes._described.values()], None, IssuedTokens(world.pair.doors.issuer.token)
    )
    await bob.log_in("escape", Typed("bob", password_of("bob")))
    with pytest.raises(LakeError) as caught:
        await Join(bob).register("stac", "")
    assert caught.value.code == "denied"
    await bob.close()


@pytest.mark.parametrize("lake", ["door", "store"])
async def test_a_dataset_becomes_an_item_in_a_static_catalogue(world: World, lake: str) -> None:
    name = f"result-{secrets.token_hex(4)}"
    dataset = f"user.alice:{name}"
    await world.escape.create(dataset, "dataset", {"project": "demo", "run": 7}, 30)
    await world.escape.attach(dataset, ["demo:day-001.csv", "demo:day-002.csv"])
    area = Coverage((1, 2, 3, 4), "2024-01-01", "2024-02-01")
    made = await world.join.item("escape", dataset, area)
    assert (made["url"], made["item"]["properties"]["run"]) == (None, 7)
    to = Target(lake, "catalogues/demo")
    for _ in range(2):
        written = await world.join.item("escape", dataset, area, to=to, properties={"a": 1})
        assert written["lake"] == lake
        assert written["path"] == f"catalogues/demo/items/{name}.json"
    other = f"{dataset}-other"
    await world.escape.create(other, "dataset")
    await world.join.item("escape", other, Coverage((-5, 0, 2, 3), "2023-01-01"), to=to)
    storage = world.lakes.get(lake)
    item = json.loads(await storage.read(written["path"]))
    assert item["collection"] == "demo"
    assert item["properties"]["a"] == 1
    assert {"rel": "rucio", "href": f"rucio://{world.escape.host}/{dataset}"} in item["links"]
    asset = item["assets"]["day-001.csv"]
    assert asset["alternate"]["rucio"]["href"].endswith("/demo:day-001.csv")
    collection = json.loads(await storage.read("catalogues/demo/collection.json"))
    assert len([one for one in collection["links"] if one["rel"] == "item"]) == 2
    assert collection["extent"]["spatial"]["bbox"] == [[-5, 0, 3, 4]]
    assert collection["extent"]["temporal"]["interval"] == [
        ["2023-01-01T00:00:00Z", "2024-02-01T00:00:00Z"]
    ]
    metadata = (await world.escape.details(dataset)).metadata
    assert world.lakes.item_place(metadata) == {
        "url": written["url"],
        "lake": lake,
        "path": written["path"],
    }
    assert "expired_at" in metadata


class FakeTransactions:
    """An API that takes items: no server that does so can be installed here."""

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}
        self.url = ""

    async def root(self, _: web.Request) -> web.Response:
        conforms = "https://api.stacspec.org/v1.0.0/ogcapi-features/extensions/transaction"
        root = {"type": "Catalog", "id": "x", "conformsTo": [conforms], "links": []}
        return web.json_response(root)

    async def collection(self, _: web.Request) -> web.Response:
        return web.json_response({"type": "Collection", "id": "results", "links": []})

    async def put(self, request: web.Request) -> web.Response:
        item = await request.json()
        if request.method == "POST" and item["id"] in self.items:
            return web.json_response({"description": "it is there"}, status=409)
        self.items[item["id"]] = item
        return web.json_response(item, status=201)


@pytest.fixture
async def transactions() -> AsyncIterator[FakeTransactions]:
    fake = FakeTransactions()
    app = web.Application()
    app.router.add_get("/", fake.root)
    app.router.add_get("/collections/results", fake.collection)
    app.router.add_post("/collections/results/items", fake.put)
    app.router.add_put("/collections/results/items/{id}", fake.put)
    runner = web.AppRunner(app)
    await runner.setup()
    (port,) = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    fake.url = f"http://127.0.0.1:{port}"
    yield fake
    await runner.cleanup()


async def test_a_dataset_becomes_an_item_of_an_api(
    world: World, transactions: FakeTransactions
) -> None:
    world.lakes._described["writable"] = {"name": "writable", "stac": {"url": transactions.url}}
    to = Target("writable", "/collections/results")
    for number in range(2):  # the second one replaces the first
        area = Coverage((1, 2, 3, 4), f"2024-01-0{number + 1}")
        made = await world.join.item("escape", "demo:days", area, to=to)
    assert made["lake"] == "writable"
    assert made["path"] == "/collections/results/items/days"
    assert transactions.items["days"]["properties"]["datetime"] == "2024-01-02T00:00:00Z"
    assert transactions.items["days"]["collection"] == "results"
    await world.escape.set_metadata("demo:days", {"stac_item": None})
    for target, code in (
        (Target("api", "/collections/fires"), "unsupported"),  # a real one that takes none
        (Target("escape", "x"), "unsupported"),
        (Target("store", ""), "wrong-input"),
        (Target("store", "../x"), "wrong-input"),
    ):
        with pytest.raises(LakeError) as caught:
            await world.join.item("escape", "demo:days", Coverage(), to=target)
        assert caught.value.code == code
    with pytest.raises(LakeError, match="no dataset"):
        await world.join.item("escape", "demo:day-001.csv", Coverage())


async def test_thumbnails_come_from_the_lakes_only(world: World) -> None:
    world.describe()
    assert await world.join.thumbnail("stac", world.item_path) == (PNG, "image/png")
    cases = [
        ({"href": "https://evil.example.org/x.png"}, "unsupported"),
        ({"href": "http://169.254.169.254/latest.png"}, "unsupported"),
        ({"href": "./page.png"}, "unsupported"),
        ({"href": "./missing.png"}, "not-found"),
    ]
    (world.catalogue.folder / world.folder / "page.png").write_bytes(b"<script>alert()</script>")
    for number, (asset, code) in enumerate(cases):
        path = f"{world.folder}/case-{number}.json"
        item = {"type": "Feature", "id": "x", "links": [], "properties": {}}
        item |= {"assets": {"t": {**asset, "roles": ["thumbnail"]}}}
        world.catalogue.write(path, item)
        with pytest.raises(LakeError) as caught:
            await world.join.thumbnail("stac", f"/{path}")
        assert caught.value.code == code, asset


async def test_search_by_geometry_and_collections(world: World) -> None:
    api = world.lakes.get("api")
    ring = [[0.2, 0.2], [2.5, 0.2], [2.5, 0.8], [0.2, 0.8], [0.2, 0.2]]
    area = {"type": "Polygon", "coordinates": [ring]}
    found = await api.search(Query(intersects=area, collections=("fires",)))
    assert {one.more["id"] for one in found.entries} == {f"fire-{n}" for n in (120, 121, 122)}
    assert all(one.more["geometry"]["type"] == "Polygon" for one in found.entries)
    assert (await api.search(Query(collections=("none",)))).entries == ()
    bad: list[Any] = [
        {"type": "Circle", "coordinates": [1, 2]},
        {"type": "Point", "coordinates": ["a", 2]},
        {"type": "Point", "coordinates": [181, 2]},
        {"type": "Polygon", "coordinates": [1, 2]},
        {"type": "Polygon"},
        {},
    ]
    for geometry in bad:
        with pytest.raises(LakeError) as caught:
            await api.search(Query(intersects=geometry))
        assert caught.value.code == "wrong-input", geometry
    with pytest.raises(LakeError, match="A box and a geometry"):
        await api.search(Query(intersects=area, bbox=(0, 0, 1, 1)))
