"""S3 lakes on a real versitygw: pages, ranges, links, uploads that go on after a cut."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
import pytest
from farlab_real.cable import Cable
from farlab_real.versitygw import RunningVersitygw
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.storage.s3 import Keys, S3Lake, Store
from farlab_server_ext.datalake.storage.s3_uploads import PART
from yarl import URL

MIB = 1024 * 1024


class GivenKeys:
    def __init__(self, keys: Keys | None) -> None:
        self.given = keys

    async def keys(self) -> Keys | None:
        return self.given


def lake_of(server: RunningVersitygw, bucket: str | None, endpoint: str = "") -> S3Lake:
    store = Store(endpoint or server.endpoint, bucket, server.region)
    return S3Lake("eodc", "EODC", store, GivenKeys(Keys(server.key, server.secret)))


@pytest.fixture
def bucket(s3_server: RunningVersitygw) -> str:
    name = f"b-{secrets.token_hex(6)}"
    s3_server.bucket(name)
    return name


@pytest.fixture
async def lake(s3_server: RunningVersitygw, bucket: str) -> AsyncIterator[S3Lake]:
    made = lake_of(s3_server, bucket)
    yield made
    await made.close()


async def parts_of(content: bytes, length: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), length):
        yield content[start : start + length]


async def test_pages_of_a_folder(s3_server: RunningVersitygw, lake: S3Lake, bucket: str) -> None:
    folder = s3_server.data / bucket / "data"
    (folder / "below").mkdir(parents=True)
    (folder / "below/x").write_bytes(b"x")
    for number in range(250):
        (folder / f"f{number:03d}").write_bytes(b"x" * number)
    seen = []
    cursor = ""
    while True:
        page = await lake.children("data", cursor, limit=100)
        assert len(page.entries) <= 100
        seen += page.entries
        if page.next is None:
            break
        cursor = page.next
    names = sorted(entry.name for entry in seen)
    assert names == sorted(["below", *(f"f{number:03d}" for number in range(250))])
    assert {entry.name: entry.size for entry in seen}["f123"] == 123
    (only,) = (await lake.children("data/below")).entries
    assert (only.name, only.path, only.kind) == ("x", "data/below/x", "file")


async def test_all_buckets(s3_server: RunningVersitygw, bucket: str) -> None:
    lake = lake_of(s3_server, None)
    assert bucket in {entry.name for entry in (await lake.children("")).entries}
    await lake.write(f"{bucket}/a/b", parts_of(b"hello"), 5)
    (folder,) = (await lake.children(bucket)).entries
    assert (folder.path, folder.kind) == (f"{bucket}/a", "folder")
    assert await lake.read(f"{bucket}/a/b") == b"hello"
    assert (await lake.details(bucket)).entry.kind == "bucket"
    await lake.close()


NAMES = ["a b.txt", "50%2Fx", "a&b<c", "ü😀", "what?", "#1", "scope:na:me", "a+b", "x" * 250]


@pytest.mark.parametrize("name", NAMES)
async def test_any_name_goes_there_and_back(lake: S3Lake, name: str) -> None:
    entry = await lake.write(f"sub/{name}", parts_of(b"content"), 7)
    assert (entry.name, entry.size) == (name, 7)
    assert entry.checksum == f"md5:{hashlib.md5(b'content').hexdigest()}"
    (listed,) = (await lake.children("sub")).entries
    assert (listed.name, listed.path) == (name, f"sub/{name}")
    assert await lake.read(listed.path) == b"content"
    link = await lake.link(listed.path, 60)
    async with aiohttp.ClientSession() as session, session.get(_encoded(link.url)) as answer:
        assert await answer.read() == b"content"
    await lake.remove(listed.path)
    with pytest.raises(LakeError) as caught:
        await lake.details(f"sub/{name}")
    assert caught.value.code == "not-found"


def _encoded(url: str) -> URL:
    return URL(url, encoded=True)


async def test_ranges(lake: S3Lake) -> None:
    await lake.write("f", parts_of(bytes(range(256))), 256)
    assert await lake.read("f", 10, 5) == bytes(range(10, 15))
    assert await lake.read("f", 250) == bytes(range(250, 256))
    assert await lake.read("f", 250, 100) == bytes(range(250, 256))
    assert await lake.read("f", 256, 10) == b""
    await lake.write("empty", parts_of(b""), 0)
    assert await lake.read("empty") == b""


async def test_a_link_ends(lake: S3Lake) -> None:
    await lake.write("f", parts_of(b"content"), 7)
    link = await lake.link("f", 1)
    async with aiohttp.ClientSession() as session:

        async def status() -> int:
            async with session.get(_encoded(link.url)) as answer:
                return answer.status

        async with asyncio.timeout(60):
            while await status() != 403:
                await asyncio.sleep(0.2)
    for seconds in (0, 8 * 24 * 3600):
        with pytest.raises(LakeError) as caught:
            await lake.link("f", seconds)
        assert caught.value.code == "wrong-input"


async def test_a_link_ends_with_its_keys(s3_server: RunningVersitygw, lake: S3Lake) -> None:
    await lake.write("f", parts_of(b"content"), 7)
    keys = Keys(s3_server.key, s3_server.secret, ends=1234.0)
    other = S3Lake("x", "X", lake.store, GivenKeys(keys))
    assert (await other.link("f", 600)).ends == 1234.0
    await other.close()


async def test_what_is_there_is_not_overwritten(lake: S3Lake) -> None:
    await lake.write("f", parts_of(b"first"), 5)
    for content in (b"other", b"x" * (PART + 1)):
        with pytest.raises(LakeError) as caught:
            await lake.write("f", parts_of(content), len(content))
        assert caught.value.code == "conflict"
    assert await lake.read("f") == b"first"


async def test_an_upload_goes_on_after_a_cut(s3_server: RunningVersitygw, bucket: str) -> None:
    content = secrets.token_bytes(PART * 7 + 5)
    async with Cable(urlsplit(s3_server.endpoint).port or 0) as cable:
        first = lake_of(s3_server, bucket, f"http://127.0.0.1:{cable.port}")
        cable.cut_after(up=PART * 5 + 8 * MIB)
        with pytest.raises(LakeError) as caught:
            await first.write("big", parts_of(content, MIB), len(content))
        assert caught.value.code == "unreachable"
        await first.close()
        cable.mend()
        before = cable.passed["up"]
        second = lake_of(s3_server, bucket, f"http://127.0.0.1:{cable.port}")
        assert [entry.name for entry in (await second.children("")).entries] == []
        entry = await second.write("big", parts_of(content, MIB), len(content))
        assert entry.size == len(content)
        # Four parts are on their way at once at most: so at least two had arrived.
        assert cable.passed["up"] - before < PART * 5.5
        digest = hashlib.sha256(await second.read("big")).hexdigest()
        assert digest == hashlib.sha256(content).hexdigest()
        await second.close()


async def test_another_file_of_that_name_does_not_go_on(
    s3_server: RunningVersitygw, bucket: str
) -> None:
    async with Cable(urlsplit(s3_server.endpoint).port or 0) as cable:
        lake = lake_of(s3_server, bucket, f"http://127.0.0.1:{cable.port}")
        cable.cut_after(up=PART + 2 * MIB)
        with pytest.raises(LakeError):
            await lake.write("big", parts_of(b"a" * (PART * 2), MIB), PART * 2)
        cable.mend()
        await lake.write("big", parts_of(b"b" * (PART * 2), MIB), PART * 2)
        assert await lake.read("big") == b"b" * (PART * 2)
        await lake.close()


async def test_a_download_goes_on_after_a_cut(s3_server: RunningVersitygw, bucket: str) -> None:
    content = secrets.token_bytes(8 * MIB)
    (s3_server.data / bucket / "f").write_bytes(content)
    async with Cable(urlsplit(s3_server.endpoint).port or 0) as cable:
        lake = lake_of(s3_server, bucket, f"http://127.0.0.1:{cable.port}")
        got = b""
        async for part in lake.stream("f"):
            if not got:
                cable.cut()
                cable.mend()
            got += part
        assert got == content
        await lake.close()


async def test_two_uploads_of_one_name(lake: S3Lake) -> None:
    results = await asyncio.gather(
        *(lake.write("f", parts_of(letter * 5000), 5000) for letter in (b"A", b"B")),
        return_exceptions=True,
    )
    assert await lake.read("f") in (b"A" * 5000, b"B" * 5000)
    codes = [one.code for one in results if isinstance(one, LakeError)]
    assert codes == ["conflict"]


async def test_nothing_is_left_of_a_broken_upload(lake: S3Lake) -> None:
    for size in (10, PART + 10):
        with pytest.raises(LakeError) as caught:
            await lake.write("f", parts_of(b"x" * (size - 1)), size)
        assert caught.value.code == "wrong-input"
    assert (await lake.children("")).entries == ()
    listed = await lake.call("list_multipart_uploads", Bucket=lake.store.bucket)
    assert not listed.get("Uploads")


async def test_folders(lake: S3Lake) -> None:
    await lake.create("one", "folder")
    (folder,) = (await lake.children("")).entries
    assert (folder.name, folder.kind) == ("one", "folder")
    assert (await lake.children("one")).entries == ()
    await lake.write("one/f", parts_of(b"x"), 1)
    with pytest.raises(LakeError) as caught:
        await lake.remove("one")
    assert caught.value.code == "conflict"


async def test_wrong_keys_and_what_is_not_there(s3_server: RunningVersitygw, bucket: str) -> None:
    store = Store(s3_server.endpoint, bucket, s3_server.region)
    right = Keys(s3_server.key, s3_server.secret)
    tries = [
        (store, replace(right, secret="wrong-secret-of-someone"), "login"),
        (store, replace(right, key="nobodys-key"), "login"),
        (store, None, "denied"),
        (replace(store, bucket="no-such-bucket"), right, "not-found"),
    ]
    for where, keys, code in tries:
        lake = S3Lake("x", "X", where, GivenKeys(keys))
        with pytest.raises(LakeError) as caught:
            await lake.children("")
        assert caught.value.code == code, caught.value
        await lake.close()


async def test_a_closed_port_and_rubbish(s3_server: RunningVersitygw) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        lake = lake_of(s3_server, "abc", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(LakeError) as caught:
            await lake.children("")
        assert caught.value.code == "unreachable"
        await lake.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<rubbis")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        lake = lake_of(s3_server, "abc", f"http://127.0.0.1:{port}")
        with pytest.raises(LakeError) as caught:
            await lake.children("")
        assert caught.value.code == "bad-answer"
        await lake.close()
