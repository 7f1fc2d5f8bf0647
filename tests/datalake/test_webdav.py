"""WebDAV lakes on real XRootD doors: paging, names, ranges, uploads, and what goes wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import socket
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from farlab_real.storage_fixtures import door_lake
from farlab_real.xrootd import XrootdDoors
from farlab_server_ext.datalake.endpoint import Endpoint
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.storage.webdav import WebdavLake

NAMES = ["a b.txt", "50%2Fx", "a&b<c", "ü😀", "semi;colon", "scope:na:me", "#1", "x" * 245, "a+b"]


async def parts_of(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.fixture
async def lake(doors: XrootdDoors) -> AsyncIterator[WebdavLake]:
    folder = secrets.token_hex(6)
    made = door_lake(doors, doors.one, folder=folder)
    home = doors.one.file(folder)
    home.mkdir()
    _give(home)
    yield made
    await made.close()


def _give(path: Path) -> None:
    """Give a file that the tests have made to the door's account."""
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)


def home_of(doors: XrootdDoors, lake: WebdavLake) -> Path:
    return doors.one.file(lake.endpoint.url.rpartition("/")[2])


async def test_pages_of_a_folder(doors: XrootdDoors, lake: WebdavLake) -> None:
    home = home_of(doors, lake)
    for number in range(250):
        (home / f"f{number:03d}").write_bytes(b"x" * number)
    seen: list[str] = []
    cursor = ""
    while True:
        page = await lake.children("", cursor, limit=100)
        seen += [entry.name for entry in page.entries]
        if page.next is None:
            break
        cursor = page.next
    assert sorted(seen) == [f"f{number:03d}" for number in range(250)]
    entry = (await lake.details("f123")).entry
    assert (entry.kind, entry.size) == ("file", 123)
    assert entry.checksum == f"adler32:{zlib.adler32(b'x' * 123):08x}"
    assert entry.modified is not None


async def test_a_page_again_after_its_connection_was_closed(
    doors: XrootdDoors, lake: WebdavLake
) -> None:
    home = home_of(doors, lake)
    for number in range(30):
        (home / f"f{number:03d}").touch()
    first = await lake.children("", limit=10)
    assert first.next
    second = await lake.children("", first.next, limit=10)
    assert await lake.children("", first.next, limit=10) != first
    again = await lake.children("", first.next, limit=10)
    assert again.entries == second.entries


@pytest.mark.parametrize("name", NAMES)
async def test_any_name_goes_there_and_back(lake: WebdavLake, name: str) -> None:
    entry = await lake.write(f"sub/{name}", parts_of(b"one", b"two"), 6)
    assert (entry.name, entry.size) == (name, 6)
    listed = await lake.children("sub")
    assert [found.name for found in listed.entries] == [name]
    assert await lake.read(listed.entries[0].path) == b"onetwo"
    await lake.remove(f"sub/{name}")
    assert (await lake.children("sub")).entries == ()


@pytest.mark.parametrize("path", ["..", "a/../b", "a//b", "a/.", "a\nb", "x" * 256])
async def test_no_way_out_of_the_folder(lake: WebdavLake, path: str) -> None:
    for call in (lake.children(path), lake.read(path), lake.remove(path), lake.details(path)):
        with pytest.raises(LakeError) as caught:
            await call
        assert caught.value.code == "wrong-input"


async def test_a_name_that_the_door_would_cut(lake: WebdavLake) -> None:
    with pytest.raises(LakeError) as caught:
        await lake.write("what?", parts_of(b"x"), 1)
    assert caught.value.code == "wrong-input"
    assert (await lake.children("")).entries == ()


async def test_ranges(lake: WebdavLake) -> None:
    await lake.write("f", parts_of(bytes(range(256))), 256)
    assert await lake.read("f", 10, 5) == bytes(range(10, 15))
    assert await lake.read("f", 250) == bytes(range(250, 256))
    assert await lake.read("f", 250, 100) == bytes(range(250, 256))
    assert await lake.read("f", 256, 10) == b""


async def test_folders(lake: WebdavLake) -> None:
    await lake.make_folders("one/two")
    with pytest.raises(LakeError) as caught:
        await lake.create("one/two", "folder")
    assert caught.value.code == "conflict"
    with pytest.raises(LakeError) as caught:
        await lake.remove("one")
    assert (caught.value.code, caught.value.message) == ("conflict", "one is not empty.")
    await lake.remove("one/two")
    await lake.remove("one")
    with pytest.raises(LakeError) as caught:
        await lake.children("one")
    assert caught.value.code == "not-found"


async def test_what_is_there_is_not_overwritten(lake: WebdavLake) -> None:
    await lake.write("f", parts_of(b"first"), 5)
    with pytest.raises(LakeError) as caught:
        await lake.write("f", parts_of(b"other"), 5)
    assert caught.value.code == "conflict"
    assert await lake.read("f") == b"first"


async def test_two_uploads_of_one_name(lake: WebdavLake) -> None:
    async def slowly(content: bytes) -> AsyncIterator[bytes]:
        for _ in range(5):
            await asyncio.sleep(0)
            yield content

    results = await asyncio.gather(
        *(lake.write("f", slowly(bytes([n]) * 1000), 5000) for n in (65, 66)),
        return_exceptions=True,
    )
    assert [one.code for one in results if isinstance(one, LakeError)] == ["conflict"]
    assert await lake.read("f") in (b"A" * 5000, b"B" * 5000)
    assert len((await lake.children("")).entries) == 1


async def test_nothing_is_left_of_a_broken_upload(lake: WebdavLake) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        raise OSError("the disk is gone")

    with pytest.raises((LakeError, OSError)):
        await lake.write("f", broken(), 200_000)
    with pytest.raises(LakeError):
        await lake.write("g", parts_of(b"short"), 10)
    assert (await lake.children("")).entries == ()


async def test_an_ended_token_and_a_missing_right_differ(doors: XrootdDoors) -> None:
    issuer = doors.issuer
    ended = door_lake(doors, doors.one, lambda: issuer.token(seconds=-10))
    reader = door_lake(doors, doors.one, lambda: issuer.token("storage.read:/"))
    nobody = WebdavLake("n", "N", Endpoint("N", doors.one.url, ca=str(doors.authority.ca)))
    for lake, code in ((ended, "expired"), (reader, "denied"), (nobody, "login")):
        with pytest.raises(LakeError) as caught:
            await lake.write(secrets.token_hex(6), parts_of(b"x"), 1)
        assert caught.value.code == code, caught.value
        await lake.close()


async def test_a_token_that_ends_in_the_middle_of_a_listing(
    doors: XrootdDoors, lake: WebdavLake
) -> None:
    home = home_of(doors, lake)
    for number in range(30):
        (home / f"f{number}").touch()
    seconds = [3600.0]
    other = door_lake(
        doors, doors.one, lambda: doors.issuer.token(seconds=seconds[0]), folder=home.name
    )
    page = await other.children("", limit=10)
    assert page.next
    seconds[0] = -10
    second = await other.children("", page.next, limit=10)  # on the connection that is there
    assert len(second.entries) == 10
    with pytest.raises(LakeError) as caught:
        await other.children("", page.next, limit=10)
    assert caught.value.code == "expired"
    seconds[0] = 3600
    assert (await other.children("", page.next, limit=10)).entries == second.entries
    await other.close()


async def test_an_unknown_authority(doors: XrootdDoors) -> None:
    lake = WebdavLake("n", "N", Endpoint("N", doors.one.url))
    with pytest.raises(LakeError) as caught:
        await lake.children("")
    assert caught.value.code == "untrusted-certificate"
    assert "ca" in caught.value.fix
    assert "IGTF" in caught.value.fix
    await lake.close()


async def test_a_closed_port_and_a_silent_one(doors: XrootdDoors) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        closed = Endpoint("N", f"http://127.0.0.1:{port}/store")
        with pytest.raises(LakeError) as caught:
            await WebdavLake("n", "N", closed).children("")
        assert caught.value.code == "unreachable"
        await closed.close()
        listener.listen()
        with pytest.raises(LakeError) as caught:
            async with closed.request("GET", closed.url, silence=0.2):
                pass
        assert caught.value.code == "unreachable"
        await closed.close()


RUBBISH = [
    b"\x15\x03\x01\x00\x02\x02\x16",
    b"HTTP/1.1 207 Multi-Status\r\nContent-Length: 6\r\n\r\n<html>",
    b"HTTP/1.1 207 Multi-Status\r\nContent-Length: 9\r\n\r\nno xml at",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 207 M\r\nConnection: close\r\n\r\n<!DOCTYPE a [<!ENTITY b "c">]><a/>',
    b"HTTP/1.1 302 F\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 F\r\nLocation: /store\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("rubbish", RUBBISH)
async def test_rubbish_answers(rubbish: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"</D:propfind>")
        writer.write(rubbish)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        lake = WebdavLake("n", "N", Endpoint("N", f"http://127.0.0.1:{port}/store"))
        with pytest.raises(LakeError) as caught:
            await lake.children("")
        assert caught.value.code == "bad-answer", caught.value
        await lake.close()


async def test_a_listing_never_leads_out_of_its_folder() -> None:
    hrefs = ["/store/", "/etc/passwd", "/store/../x", "/store/a/b", "/store/good%20one", "/storex"]
    responses = "".join(f"<D:response><D:href>{href}</D:href></D:response>" for href in hrefs)
    responses = responses.replace("</D:href>", "</D:href><D:collection/>", 1)
    body = f'<D:multistatus xmlns:D="DAV:">{responses}</D:multistatus>'.encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"</D:propfind>")
        writer.write(b"HTTP/1.1 207 M\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        lake = WebdavLake("n", "N", Endpoint("N", f"http://127.0.0.1:{port}/store"))
        page = await lake.children("")
        assert [entry.path for entry in page.entries] == ["good one"]
        await lake.close()


class FakeMacaroons:
    """A door that makes macaroons, with the caveats that it is told."""

    def __init__(self, *caveats: str) -> None:
        lines = [f"0010cid {caveat}\n" for caveat in caveats]
        self.macaroon = base64.urlsafe_b64encode("".join(lines).encode()).decode().rstrip("=")
        self.asked: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self.asked.append(head + await reader.readexactly(length))
        body = json.dumps({"macaroon": self.macaroon}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


async def test_links_only_where_the_door_makes_them(lake: WebdavLake) -> None:
    await lake.prepare()
    assert "link" not in lake.capabilities
    with pytest.raises(LakeError) as caught:
        await lake.link("f", 60)
    assert caught.value.code == "unsupported"
    for caveats, makes in (
        (("activity:READ_METADATA,DOWNLOAD", "activity:DOWNLOAD"), True),
        (("activity:READ_METADATA", "activity:DOWNLOAD"), False),  # as XRootD without a mapping
    ):
        door = FakeMacaroons(*caveats)
        async with await asyncio.start_server(door, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/store"
            other = WebdavLake("n", "N", Endpoint("N", url))
            await other.prepare()
            assert ("link" in other.capabilities) is makes
            if makes:
                link = await other.link("a b", 60)
                assert link.url == f"{url}/a%20b?authz={door.macaroon}"
                assert b"POST /store/a%20b " in door.asked[-1]
                assert b"PT60S" in door.asked[-1]
            await other.close()
