"""A Rucio that is down, slow, wrong or full of somebody else's secrets."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from farlab_real.processes import free_ports
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import OpenLake, password_of
from farlab_server_ext.datalake.connections import trust
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.rucio.auth import ByPassword, ByToken, Password, Service
from farlab_server_ext.datalake.rucio.client import RucioClient
from farlab_server_ext.datalake.tokens import FileTokens, token_of

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def fake_rucio(answer: Answer) -> AsyncIterator[str]:
    """A FakeRucio for what no real one does: it logs everybody in, and answers as it is told."""

    async def log_in(_: web.Request) -> web.Response:
        return web.Response(headers={"X-Rucio-Auth-Token": "a-token"})

    app = web.Application()
    app.router.add_get("/auth/userpass", log_in)
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_rucio_that_is_down(open_lake: OpenLake) -> None:
    lake = open_lake(url=f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(LakeError) as refusal:
        await lake.children("")
    assert refusal.value.code == "unreachable"
    assert "ESCAPE can't be reached" in refusal.value.message


async def test_a_rucio_that_says_nothing(open_lake: OpenLake) -> None:
    async def wait(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        raise AssertionError

    async with fake_rucio(wait) as url:
        with pytest.raises(LakeError) as refusal:
            await open_lake(url=url, silence=0.5).children("")
    assert refusal.value.code == "unreachable"
    assert "in time" in refusal.value.message


@pytest.mark.parametrize(
    "body",
    [b"<html>log in</html>", b'{"no": "list"}', b"[1, 2", b"\xff\xfe", b"", b"null"],
)
@pytest.mark.parametrize("path", ["", "demo", "demo:days"])
async def test_a_rucio_that_answers_rubbish(open_lake: OpenLake, body: bytes, path: str) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    async with fake_rucio(answer) as url:
        if path and not body:
            assert (await open_lake(url=url).children(path)).entries == ()
            return
        with pytest.raises(LakeError) as refusal:
            await open_lake(url=url).children(path)
    assert refusal.value.code == "bad-answer"


async def test_a_row_without_an_end(open_lake: OpenLake) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except ConnectionError:
            return response

    async with fake_rucio(answer) as url:
        for path in ("", "demo:days"):
            with pytest.raises(LakeError) as refusal:
                await open_lake(url=url).children(path)
            assert refusal.value.code == "bad-answer"


async def test_a_listing_that_is_cut(open_lake: OpenLake) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"scope": "demo", "name": "a", "type": "FILE"}\n{"scope": "de')
        assert request.transport is not None
        request.transport.close()
        return response

    async with fake_rucio(answer) as url:
        with pytest.raises(LakeError) as refusal:
            await open_lake(url=url).children("demo:days")
    assert refusal.value.code == "unreachable"


async def test_a_redirect_gets_no_token(open_lake: OpenLake) -> None:
    asked = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response([])

    async with fake_rucio(elsewhere) as other:

        async def answer(_: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"{other}/scopes/")

        async with fake_rucio(answer) as url:
            with pytest.raises(LakeError) as refusal:
                await open_lake(url=url).children("")
    assert refusal.value.code == "bad-answer"
    assert asked == []


async def test_only_the_rows_of_the_page_are_taken(open_lake: OpenLake) -> None:
    written = 0
    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for number in range(10_000_000):
                row = {"scope": "demo", "name": f"{number:09}", "type": "FILE", "bytes": 1}
                await response.write(json.dumps(row).encode() + b"\n")
                written = number
        finally:
            ended.set()
        return response

    async with fake_rucio(answer) as url:
        page = await open_lake(url=url).children("demo:days", limit=50)
        await asyncio.wait_for(ended.wait(), 60)
    assert len(page.entries) == 50
    assert page.next is not None
    assert written < 1_000_000


async def test_a_wrong_password(rucio: RunningRucio) -> None:
    who = ByPassword(Service("ESCAPE", rucio.url, rucio.url), Password("alice", "alice", "wrong"))
    with pytest.raises(LakeError) as refusal:
        await who.token()
    assert refusal.value.code == "login"
    assert "wrong" not in str(refusal.value)


async def test_a_token_that_ends_in_the_middle_of_a_listing(
    open_lake: OpenLake, rucio: RunningRucio
) -> None:
    lake = open_lake()
    for path in ("many", "many:all"):
        first = await lake.children(path, limit=100)
        rucio.end_tokens()
        second = await lake.children(path, first.next or "", 100)
        assert second.entries
        assert first.entries[-1].path < second.entries[0].path


async def test_a_rucio_that_comes_back(open_lake: OpenLake, rucio: RunningRucio) -> None:
    lake = open_lake()
    first = await lake.children("many:all", limit=100)
    rucio.kill()
    try:
        with pytest.raises(LakeError) as refusal:
            await lake.children("many", limit=100)
        assert refusal.value.code == "unreachable"
    finally:
        rucio.start()
    assert (await lake.children("many:all", first.next or "", 100)).entries


def jwt(ends: float) -> str:
    """Return an unsigned token with an end."""
    parts = ({"alg": "none"}, {"exp": ends})
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join(part.rstrip("=") for part in coded) + ".x"


async def test_a_token_of_a_file_is_read_each_time(tmp_path: Path) -> None:
    file, seen = tmp_path / "token", []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["X-Rucio-Auth-Token"])
        return web.json_response([])

    async with fake_rucio(answer) as url:
        who = ByToken(Service("ESCAPE", url, url), FileTokens(file), "rucio", "openid")
        client = RucioClient(who)
        try:
            for text, code in (("", "login"), (jwt(time.time() - 60), "expired"), ("ö", "login")):
                file.write_text(text)
                with pytest.raises(LakeError) as refusal:
                    await client.get("/scopes/")
                assert refusal.value.code == code
            for end in (600, 1200):
                file.write_text(jwt(time.time() + end))
                await client.get("/scopes/")
        finally:
            await client.close()
    assert len(set(seen)) == 2


async def test_a_token_that_rucio_does_not_take(rucio: RunningRucio, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(jwt(time.time() + 600))
    service = Service("ESCAPE", rucio.url, rucio.url)
    client = RucioClient(ByToken(service, FileTokens(tmp_path / "token"), "rucio", "openid"))
    try:
        with pytest.raises(LakeError) as refusal:
            await client.get("/scopes/")
        assert refusal.value.code == "login"
        assert "does not take your token" in refusal.value.message
    finally:
        await client.close()


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "a.e30.c", "..", "a.bnVsbA.c"])
def test_a_token_that_tells_no_end(text: str) -> None:
    assert token_of(text).ends is None
    assert "a" not in repr(token_of("aaa")).replace("Token(ends=None)", "")


def test_trusted_certificates_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(LakeError) as refusal:
        trust(str(tmp_path / "nothing.pem"))
    assert refusal.value.code == "untrusted-certificate"
    (tmp_path / "proxy").write_text("no certificate")
    with pytest.raises(LakeError) as refusal:
        trust(None, str(tmp_path / "proxy"))
    assert refusal.value.code == "login"


async def test_two_users_see_their_own(open_lake: OpenLake) -> None:
    alice, bob = open_lake("alice"), open_lake("bob")
    await asyncio.gather(alice.children("demo"), bob.children("demo"))
    assert await asyncio.gather(alice.client.account(), bob.client.account()) == ["alice", "bob"]
    tokens = await asyncio.gather(alice.client.who.token(), bob.client.who.token())
    assert tokens[0].value != tokens[1].value
    assert password_of("alice") not in repr(vars(alice.client.who))
