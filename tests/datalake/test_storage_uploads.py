"""Uploads of files and folders to real doors and object stores, through the API's own jobs."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from farlab_real.cable import Cable
from farlab_real.door_pair import DoorPair
from farlab_real.storage_fixtures import IssuedTokens
from farlab_real.versitygw import RunningVersitygw
from farlab_real.xrootd import XrootdDoors
from farlab_server_ext.datalake.identities import Typed
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.registry import Lakes
from farlab_server_ext.datalake.storage.s3_uploads import PART
from farlab_server_ext.datalake.storage.sending import Begun
from farlab_server_ext.datalake.uploads import Uploads

TREE = {
    "zarr.json": b"{}",
    "temperature/c/0/0": b"chunk" * 1000,
    "temperature/c/0/1": b"other" * 1000,
    "notes: the first.txt": "Zürich\n".encode(),
    "50%2F 😀": b"odd",
    "empty": b"",
}


class Server:
    """One server after the other, each with the lakes `door` and `store`, and one folder."""

    def __init__(self, pair: DoorPair, s3: RunningVersitygw, folder: Path) -> None:
        self.pair, self.s3, self.folder = pair, s3, folder
        self.bucket = f"b-{secrets.token_hex(6)}"
        s3.bucket(self.bucket)
        self.issue = pair.doors.issuer.token
        self.store_url = s3.endpoint
        self.door_url = pair.doors.one.url

    async def start(self) -> None:
        """Start it, or start another one after it."""
        oidc = {"identity": {"oidc": {}}, "ca": str(self.pair.doors.authority.ca)}
        s3 = {"url": self.store_url, "bucket": self.bucket, "region": self.s3.region}
        lakes: list[dict[str, Any]] = [
            {"name": "door", "webdav": {"url": f"{self.door_url}/{self.pair.folder}", **oidc}},
            {"name": "store", "s3": {**s3, "identity": {"keys": {}}}},
            {"name": "stac", "stac": {"url": "http://127.0.0.1:1"}},
        ]
        self.lakes = Lakes(lakes, None, IssuedTokens(lambda: self.issue()))  # noqa: PLW0108 - it changes
        self.uploads = Uploads(self.lakes, self.folder / "uploads")
        await self.lakes.log_in("store", Typed(self.s3.key, self.s3.secret))

    async def stop(self) -> None:
        """Stop it."""
        await self.uploads.close()
        await self.lakes.close()

    async def upload(self, lake: str, source: Path, **wanted: Any) -> dict[str, Any]:
        """Upload, and return what has become of it."""
        job = self.uploads.start(lake, {"source": str(source), **wanted})
        return await self.ended(job["id"])

    async def ended(self, number: str) -> dict[str, Any]:
        """Wait until an upload has ended."""
        job = self.uploads._job(number)
        if job.task is not None:
            await asyncio.wait([job.task])
        return job.told()

    def there(self, lake: str) -> dict[str, bytes]:
        """Return what is behind a lake, whatever it tells itself."""
        home = self.pair.path(self.pair.doors.one, "")
        root = home if lake == "door" else self.s3.data / self.bucket
        files = (path for path in root.rglob("*") if path.is_file())
        found = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
        return {name: data for name, data in found.items() if not name.startswith(".sgwtmp")}


@pytest.fixture
async def server(
    doors: XrootdDoors, s3_server: RunningVersitygw, tmp_path: Path
) -> AsyncIterator[Server]:
    pair = DoorPair(doors)
    made = Server(pair, s3_server, tmp_path)
    await made.start()
    yield made
    await made.stop()
    await pair.close()


def tree(folder: Path) -> Path:
    """Write the files of TREE below a folder."""
    for name, data in TREE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


both = pytest.mark.parametrize("lake", ["door", "store"])


@both
async def test_a_folder_keeps_its_paths(server: Server, lake: str, tmp_path: Path) -> None:
    source = tree(tmp_path / "field.zarr")
    for _ in range(2):  # the second time, all is there already
        job = await server.upload(lake, source, folder="a/b", prefix="field.zarr/")
        assert (job["state"], job["error"]) == ("done", None)
        progress = job["progress"]
        assert (progress["files_done"], progress["size_done"]) == (
            len(TREE),
            sum(map(len, TREE.values())),
        )
        assert server.there(lake) == {f"a/b/field.zarr/{name}": d for name, d in TREE.items()}
    assert list((tmp_path / "uploads").iterdir()) == []


@both
async def test_another_file_of_that_name_stays(server: Server, lake: str, tmp_path: Path) -> None:
    for content in (b"first", b"first and more", b"other"):
        (tmp_path / "f").write_bytes(content)
        job = await server.upload(lake, tmp_path / "f")
        assert job["state"] == ("done" if content == b"first" else "failed"), job
        assert server.there(lake) == {"f": b"first"}
    assert job["error"]["code"] == "conflict"
    job = server.uploads.resume(job["id"])
    assert (await server.ended(job["id"]))["error"]["code"] == "conflict"
    assert server.there(lake) == {"f": b"first"}


@both
async def test_two_uploads_of_one_name(server: Server, lake: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one/f").write_bytes(b"1" * 500_000)
    (tmp_path / "two/f").write_bytes(b"2" * 500_000)
    jobs = await asyncio.gather(
        server.upload(lake, tmp_path / "one/f"), server.upload(lake, tmp_path / "two/f")
    )
    assert sorted(job["state"] for job in jobs) == ["done", "failed"]
    assert [job["error"]["code"] for job in jobs if job["error"]] == ["conflict"]
    winner = next(job for job in jobs if job["state"] == "done")
    assert server.there(lake) == {"f": Path(winner["source"]).read_bytes()}


async def test_an_object_store_gets_only_what_it_lacks_after_a_cut(
    server: Server, tmp_path: Path
) -> None:
    content = secrets.token_bytes(7 * PART + 5)
    (tmp_path / "big").write_bytes(content)
    async with Cable(urlsplit(server.s3.endpoint).port or 0) as cable:
        await server.stop()
        server.store_url = f"http://127.0.0.1:{cable.port}"
        await server.start()
        cable.cut_after(up=PART * 5 + PART // 2)
        job = await server.upload("store", tmp_path / "big")
        assert (job["state"], job["error"]["code"]) == ("failed", "unreachable")
        assert server.there("store") == {}
        cable.mend()
        before = cable.passed["up"]
        server.uploads.resume(job["id"])
        assert (await server.ended(job["id"]))["state"] == "done"
        # Four parts are on their way at once at most: so at least two had arrived.
        assert cable.passed["up"] - before < PART * 5.5
        assert server.there("store") == {"big": content}


@both
async def test_a_server_that_is_stopped_goes_on(server: Server, lake: str, tmp_path: Path) -> None:
    content = secrets.token_bytes(3 * PART)
    (tmp_path / "big").write_bytes(content)
    number = server.uploads.start(lake, {"source": str(tmp_path / "big")})["id"]
    await _until(lambda: server.uploads._job(number).told()["progress"]["size_done"] > 0)
    await server.stop()
    await server.start()
    (job,) = server.uploads.listed()
    assert (job["id"], job["state"]) == (number, "cut")
    server.uploads.resume(number)
    assert (await server.ended(number))["state"] == "done"
    assert server.there(lake) == {"big": content}


async def test_what_a_killed_server_left_at_a_door_is_replaced(
    server: Server, tmp_path: Path
) -> None:
    """XRootD has a file at its place before it is whole: nobody is left to remove it."""
    content = secrets.token_bytes(1_000_000)
    (tmp_path / "big").write_bytes(content)
    number = server.uploads.start("door", {"source": str(tmp_path / "big")})["id"]
    begun = tmp_path / "uploads" / f"{number}.begun"
    await server.stop()  # before it has begun: what a killed one leaves is put there by hand
    Begun(begun).add("big")
    server.pair.put(server.pair.doors.one, "big", content[:400_000])
    await server.start()
    server.uploads.resume(number)
    job = await server.ended(number)
    assert (job["state"], job["error"]) == ("done", None)
    assert server.there("door") == {"big": content}
    assert not begun.exists()


@both
async def test_a_cancelled_upload_leaves_nothing(server: Server, lake: str, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(secrets.token_bytes(3 * PART))
    number = server.uploads.start(lake, {"source": str(tmp_path / "big")})["id"]
    await _until(lambda: server.uploads._job(number).told()["progress"]["size_done"] > PART)
    await server.uploads.cancel(number)
    assert server.there(lake) == {}
    assert server.uploads.listed() == []
    store: Any = server.lakes.get("store")
    listed = await store.call("list_multipart_uploads", Bucket=server.bucket)
    assert not listed.get("Uploads")
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize("keeps", [True, False])
async def test_small_objects_are_asked_about_only_where_the_store_would_replace_them(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, keeps: bool
) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(40):
        (source / f"{number:02}").write_bytes(b"%d" % number)
    store: Any = server.lakes.get("store")
    call, asked = store.call, []

    async def counted(method: str, **arguments: Any) -> Any:
        asked.append(method)
        if not keeps:
            arguments.pop("IfNoneMatch", None)  # as stores do that don't know it
        return await call(method, **arguments)

    monkeypatch.setattr(store, "call", counted)
    await server.upload("store", source, prefix="many/")
    there = {f"many/{path.name}": path.read_bytes() for path in source.iterdir()}
    assert server.there("store") == there
    assert store.keeps_existing is keeps
    assert asked.count("put_object") == 41  # one of them twice, to find that out
    assert (asked.count("head_object") < 40) == keeps
    (source / "07").write_bytes(b"another one")
    job = await server.upload("store", source, prefix="many/")
    assert (job["state"], job["error"]["code"]) == ("failed", "conflict")
    assert server.there("store") == there


async def test_a_token_that_ends_in_the_middle(server: Server, tmp_path: Path) -> None:
    issuer = server.pair.doors.issuer
    source = tree(tmp_path / "field")
    server.issue = lambda: issuer.token(seconds=-10)
    job = await server.upload("door", source, prefix="field/")
    assert (job["state"], job["error"]["code"]) == ("failed", "expired")
    assert server.there("door") == {}
    given = 0

    def ends_once() -> str:
        nonlocal given
        given += 1
        return issuer.token(seconds=-10) if given == 5 else issuer.token()

    server.issue = ends_once  # with a fresh one at hand, nobody has to do anything
    server.uploads.resume(job["id"])
    job = await server.ended(job["id"])
    assert (job["state"], job["error"]) == ("done", None)
    assert server.there("door") == {f"field/{name}": data for name, data in TREE.items()}


async def test_what_can_not_be_uploaded(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "nothing").mkdir()
    wanted = {"source": str(tmp_path / "f")}
    for more in ({"dataset": "a:b"}, {"metadata": {"a": 1}}, {"days": 3}, {"link": True}):
        with pytest.raises(LakeError) as caught:
            server.uploads.start("door", {**wanted, **more})
        assert caught.value.code == "wrong-input"
    with pytest.raises(LakeError) as caught:
        server.uploads.start("stac", wanted)
    assert caught.value.code == "unsupported"
    for change in ({"folder": "../x"}, {"prefix": "a/../../b"}, {"prefix": "x" * 256}):
        job = await server.upload("door", tmp_path / "f", **change)
        assert (job["state"], job["error"]["code"]) == ("failed", "wrong-input")
    for source in ("none", "nothing"):
        assert (await server.upload("store", tmp_path / source))["state"] == "failed"
    assert server.there("door") == {}
    assert server.there("store") == {}


async def test_what_was_dropped_goes_after_success_and_after_a_cancel(
    server: Server, tmp_path: Path
) -> None:
    staged = tmp_path / "lake-uploads"
    first, second = staged / str(uuid.uuid4()), staged / str(uuid.uuid4())
    tree(first)
    tree(second)
    assert (await server.upload("store", first))["state"] == "done"
    assert [one.name for one in staged.iterdir()] == [second.name]
    (second / "empty").write_bytes(b"another one")
    failed = await server.upload("store", second)
    assert failed["state"] == "failed"
    assert second.exists()  # to go on with
    await server.uploads.cancel(failed["id"])
    assert not staged.exists()
    own = tree(tmp_path / "results")
    await server.upload("store", own, prefix="own/")
    assert own.exists()


async def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
