"""Uploads to doors that are not XRootD: under another name, then moved; by way of a pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from aiohttp import web
from farlab_server_ext.datalake.endpoint import Endpoint
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.storage.webdav import WebdavLake

LISTED = (
    '<D:multistatus xmlns:D="DAV:"><D:response><D:href>{}</D:href><D:getcontentlength>{}'
    "</D:getcontentlength></D:response></D:multistatus>"
)


class FakeDoor:
    """A door that keeps files in memory, and sends a PUT on to its pool, as dCache does."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.damage = b""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        return await getattr(self, request.method.lower())(request)  # type: ignore[no-any-return]

    async def propfind(self, request: web.Request) -> web.Response:
        if request.path == "/store":
            return web.Response(status=207, text=LISTED.format(request.path, 0))
        if request.path not in self.files:
            return web.Response(status=404)
        size = len(self.files[request.path])
        return web.Response(status=207, text=LISTED.format(request.rel_url.raw_path, size))

    async def head(self, request: web.Request) -> web.Response:
        found = self.files.get(request.path)
        if found is None:
            return web.Response(status=404)
        return web.Response(headers={"Content-Length": str(len(found))})

    async def put(self, request: web.Request) -> web.Response:
        if not request.path.startswith("/pool"):
            target = f"/pool{request.rel_url.raw_path}"
            return web.Response(status=307, headers={"Location": target})
        self.files[request.path.removeprefix("/pool")] = await request.read() + self.damage
        return web.Response(status=201)

    async def move(self, request: web.Request) -> web.Response:
        path = unquote(urlsplit(request.headers["Destination"]).path)
        if path in self.files and request.headers["Overwrite"] == "F":
            return web.Response(status=412)
        self.files[path] = self.files.pop(request.path)
        return web.Response(status=201)

    async def delete(self, request: web.Request) -> web.Response:
        return web.Response(status=204 if self.files.pop(request.path, None) is not None else 404)


@pytest.fixture
async def door() -> AsyncIterator[tuple[FakeDoor, WebdavLake]]:
    made = FakeDoor()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    runner: Any = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/store"
    lake = WebdavLake("n", "N", Endpoint("N", url))
    yield made, lake
    await lake.close()
    await runner.cleanup()


async def parts() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


async def test_a_file_appears_when_all_of_it_is_there(door: tuple[FakeDoor, WebdavLake]) -> None:
    fake, lake = door
    entry = await lake.write("a b %2F", parts(), 6)
    assert (entry.name, entry.size) == ("a b %2F", 6)
    assert fake.files == {"/store/a b %2F": b"onetwo"}
    put, move = (one for one in fake.asked if one.startswith(("PUT /pool", "MOVE")))
    assert put.startswith("PUT /pool/store/.farlab-")
    assert move.removeprefix("MOVE ") == put.removeprefix("PUT /pool")


async def test_what_arrives_damaged_is_removed(door: tuple[FakeDoor, WebdavLake]) -> None:
    fake, lake = door
    fake.damage = b"!"
    with pytest.raises(LakeError) as caught:
        await lake.write("f", parts(), 6)
    assert caught.value.code == "damaged"
    assert fake.files == {}


async def test_what_has_come_meanwhile_stays(door: tuple[FakeDoor, WebdavLake]) -> None:
    fake, lake = door

    async def slowly() -> AsyncIterator[bytes]:
        fake.files["/store/f"] = b"another's"
        yield b"mine"

    with pytest.raises(LakeError) as caught:
        await lake.write("f", slowly(), 4)
    assert caught.value.code == "conflict"
    assert fake.files == {"/store/f": b"another's"}
