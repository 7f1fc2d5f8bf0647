"""Uploads into a real Rucio: what is registered and what is on the disk always agree."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import OpenLake, password_of
from farlab_server_ext.datalake.identities import Typed
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.plans import Plan
from farlab_server_ext.datalake.registry import Lakes
from farlab_server_ext.datalake.rucio import copying
from farlab_server_ext.datalake.rucio.copying import Stopped, copy, place, sums_of
from farlab_server_ext.datalake.rucio.lake import RucioLake
from farlab_server_ext.datalake.rucio.paths import Here
from farlab_server_ext.datalake.rucio.upload import Upload, sources_of
from farlab_server_ext.datalake.tokens import FileTokens
from farlab_server_ext.datalake.uploads import Uploads

TREE = {
    "zarr.json": b"{}",
    "temperature/c/0/0": b"chunk" * 1000,
    "temperature/c/0/1": b"other" * 1000,
    "notes: the first.txt": "Zürich\n".encode(),
    "empty": b"",
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


async def names_in(lake: RucioLake, dataset: str) -> list[str]:
    """Return the names in a dataset."""
    return sorted(entry.name for entry in (await lake.children(dataset)).entries)


def on_disk(folder: Path) -> list[Path]:
    """Return the files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_folder_keeps_its_paths(open_lake: OpenLake, tmp_path: Path) -> None:
    lake = open_lake()
    source = write(tmp_path / "field.zarr", TREE)
    described = {"variable": "temperature", "year": 2024}
    plan = Plan("a1", str(source), "user.alice:field", "field.zarr/", 30, described)
    upload = Upload(lake, plan)
    await upload.run()
    assert await names_in(lake, "user.alice:field") == sorted(f"field.zarr/{name}" for name in TREE)
    for name, data in TREE.items():
        details = await lake.details(f"user.alice:field.zarr/{name}")
        assert details.entry.size == len(data)
        assert details.metadata["adler32"] == f"{zlib.adler32(data):08x}"
        assert details.metadata["md5"] == hashlib.md5(data).hexdigest()
        assert details.here is not None
        assert Path(details.here).read_bytes() == data
        assert Path(details.here).stat().st_ino != (source / name).stat().st_ino
    found = await lake.details("user.alice:field")
    assert (found.metadata["variable"], found.metadata["year"]) == ("temperature", 2024)
    rules = await lake.rules_of("user.alice:field")
    assert [(rule.rse, rule.comment) for rule in rules] == [("VEGA", "upload")]
    assert (upload.progress.files_done, upload.progress.size_done) == (
        len(TREE),
        sum(map(len, TREE.values())),
    )


async def test_an_rse_without_an_algorithm_gets_files_by_their_names(
    open_lake: OpenLake, tmp_path: Path, rucio: RunningRucio
) -> None:
    lake = open_lake(here=Here("POOL"))
    source = write(tmp_path / "pooled", {"sub/x y.txt": b"x"})
    await Upload(lake, Plan("90", str(source), "user.alice:pooled", "pooled/")).run()
    assert await lake.read("user.alice:pooled/sub/x y.txt") == b"x"
    here = rucio.folder / "pool" / "user.alice" / "pooled" / "sub" / "x y.txt"
    assert here.read_bytes() == b"x"


async def test_an_upload_again_is_the_same_upload(open_lake: OpenLake, tmp_path: Path) -> None:
    lake = open_lake()
    source = write(tmp_path / "twice", {"a": b"a", "b": b"b"})
    for number in ("b1", "b2"):
        await Upload(lake, Plan(number, str(source), "user.alice:twice", "twice/")).run()
    assert await names_in(lake, "user.alice:twice") == ["twice/a", "twice/b"]


async def test_another_file_of_the_same_name_is_refused(
    open_lake: OpenLake, tmp_path: Path, rucio: RunningRucio
) -> None:
    lake = open_lake()
    first = write(tmp_path / "one", {"same.txt": b"one"}) / "same.txt"
    second = write(tmp_path / "two", {"same.txt": b"two"}) / "same.txt"
    await Upload(lake, Plan("c1", str(first), "user.alice:same")).run()
    with pytest.raises(LakeError) as refusal:
        await Upload(lake, Plan("c2", str(second), "user.alice:same")).run()
    assert refusal.value.code == "conflict"
    assert await lake.read("user.alice:same.txt") == b"one"
    assert not list((rucio.folder / "vega").rglob(".farlab-*"))


async def test_a_link_is_no_copy(open_lake: OpenLake, rucio: RunningRucio) -> None:
    source = write(rucio.folder / "scratch", {"linked.bin": b"linked"}) / "linked.bin"
    lake = open_lake()
    await Upload(lake, Plan("d1", str(source), "user.alice:linked", link=True)).run()
    here = (await lake.details("user.alice:linked.bin")).here
    assert here is not None
    assert Path(here).stat().st_ino == source.stat().st_ino


async def test_what_rucio_refuses_is_not_left_on_the_disk(
    open_lake: OpenLake, tmp_path: Path, rucio: RunningRucio, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = open_lake()
    source = write(tmp_path / "refused", {"x": b"x", "y": b"y"})
    send = lake.client.send

    async def refuse(method: str, path: str, body: Any = None) -> Any:
        if path == "/replicas/":
            raise LakeError("full", "No quota.", "Ask for more.")
        return await send(method, path, body)

    monkeypatch.setattr(lake.client, "send", refuse)
    before = on_disk(rucio.folder / "vega")
    with pytest.raises(LakeError, match="No quota"):
        await Upload(lake, Plan("e1", str(source), "user.alice:refused", "refused/")).run()
    assert on_disk(rucio.folder / "vega") == before
    with pytest.raises(LakeError):
        await lake.details("user.alice:refused/x")


async def test_a_user_without_permission_leaves_nothing(
    open_lake: OpenLake, tmp_path: Path, rucio: RunningRucio
) -> None:
    rucio.admin.allow("bob", "VEGA")
    source = write(tmp_path / "bobs", {"x": b"x"})
    before = on_disk(rucio.folder / "vega")
    with pytest.raises(LakeError) as refusal:
        await Upload(open_lake("bob"), Plan("f1", str(source), "user.bob:set", "bobs/")).run()
    assert refusal.value.code == "denied"
    assert on_disk(rucio.folder / "vega") == before
    rucio.admin.call("DELETE", "/accountlimits/local/bob/VEGA")


async def test_an_answer_that_is_lost_is_looked_up(
    open_lake: OpenLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = open_lake()
    source = write(tmp_path / "lost", {"x": b"x"})
    send = lake.client.send

    async def lose(method: str, path: str, body: Any = None) -> Any:
        answer = await send(method, path, body)
        if path == "/replicas/":
            raise LakeError("unreachable", "Cut.", "Try again.")
        return answer

    plan = Plan("01", str(source), "user.alice:lost", "lost/")
    with monkeypatch.context() as patched:
        patched.setattr(lake.client, "send", lose)
        with pytest.raises(LakeError, match="Cut"):
            await Upload(lake, plan).run()
    assert await lake.read("user.alice:lost/x") == b"x"
    await Upload(lake, plan).run()
    assert await names_in(lake, "user.alice:lost") == ["lost/x"]


async def test_what_can_not_be_uploaded(open_lake: OpenLake, tmp_path: Path) -> None:
    lake = open_lake()
    (tmp_path / "empty").mkdir()
    write(tmp_path / "long", {"y" * 240: b""})
    tries = [
        (Plan("1", str(tmp_path / "nothing"), "user.alice:x"), "not-found"),
        (Plan("2", str(tmp_path / "empty"), "user.alice:x"), "wrong-input"),
        (Plan("3", str(tmp_path / "long"), "user.alice:x", "prefix-is-long/"), "wrong-input"),
        (Plan("4", str(tmp_path / "long"), "user.alice:x", "../"), "wrong-input"),
        (Plan("5", str(tmp_path / "long"), "no scope"), "wrong-input"),
        (Plan("6", str(tmp_path / "long"), "demo:year"), "conflict"),
    ]
    for plan, code in tries:
        with pytest.raises(LakeError) as refusal:
            await Upload(lake, plan).run()
        assert refusal.value.code == code, plan
    nowhere = open_lake(here=Here("VEGA"))
    nowhere.replicas.here = None
    with pytest.raises(LakeError):
        Upload(nowhere, tries[0][0])


def test_links_to_other_folders_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "secret", {"key": b"key"})
    folder = write(tmp_path / "mine", {"a": b"a"})
    (folder / "other").symlink_to(tmp_path / "secret")
    found = sources_of(Plan("1", str(folder), "user.alice:x"))
    assert [source.did.name for source in found] == ["a"]


@pytest.mark.parametrize("left", [b"", b"12345", b"123xx", b"1234567890", b"1234567890more"])
def test_a_cut_copy_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bytes
) -> None:
    monkeypatch.setattr(copying, "CHUNK", 4)
    source, part = tmp_path / "source", tmp_path / "target" / "part"
    source.write_bytes(b"1234567890")
    part.parent.mkdir()
    part.write_bytes(left)
    sums = copy(source, part)
    assert part.read_bytes() == b"1234567890"
    assert sums == sums_of(source)
    place(part, tmp_path / "target" / "final", sums)
    assert (tmp_path / "target" / "final").read_bytes() == b"1234567890"
    assert not part.exists()


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    part, final = tmp_path / "part", tmp_path / "final"
    part.write_bytes(b"mine")
    final.write_bytes(b"hers")
    with pytest.raises(LakeError) as refusal:
        place(part, final, sums_of(part))
    assert refusal.value.code == "conflict"
    assert final.read_bytes() == b"hers"
    part.write_bytes(b"hers")
    place(part, final, sums_of(part))
    assert not part.exists()


def test_a_full_disk_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_bytes(b"x")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(copying.os, "fsync", full)
    with pytest.raises(LakeError) as refusal:
        copy(tmp_path / "source", tmp_path / "part")
    assert refusal.value.code == "full"
    assert not (tmp_path / "part").exists()


def test_a_file_that_changes_is_not_uploaded(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100)
    with pytest.raises(LakeError, match="has changed"):
        copy(
            source,
            tmp_path / "part",
            progress=lambda _: source.write_bytes(b"longer" * 100) and None,
        )
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        copy(source, tmp_path / "part", stop=stop)


@pytest.fixture
def make_uploads(rucio: RunningRucio, tmp_path: Path) -> Callable[[], tuple[Lakes, Uploads]]:
    """Make the uploads of one server after the other, which share a folder."""
    settings = {"url": rucio.url, "identity": {"userpass": {}}}
    described = [{"name": "escape", "title": "ESCAPE", "rucio": settings}]

    def make() -> tuple[Lakes, Uploads]:
        lakes = Lakes(described, {"lake": "escape", "rse": "VEGA"}, FileTokens(None))
        return lakes, Uploads(lakes, tmp_path / "uploads")

    return make


async def test_an_upload_outlives_its_server(
    make_uploads: Callable[[], tuple[Lakes, Uploads]], tmp_path: Path
) -> None:
    source = write(tmp_path / "outlives", {"a": b"a" * 10_000, "b/c": b"c"})
    typed = Typed("alice", password_of("alice"))
    lakes, uploads = make_uploads()
    wanted = {"source": str(source), "dataset": "user.alice:outlives", "prefix": "outlives/"}
    number = uploads.start("escape", wanted)["id"]
    await uploads.close()  # before it has begun
    await lakes.close()
    kept = (tmp_path / "uploads" / f"{number}.json").read_text()
    assert password_of("alice") not in kept

    lakes, uploads = make_uploads()
    assert [(job["id"], job["state"]) for job in uploads.listed()] == [(number, "cut")]
    uploads.resume(number)
    await finished(uploads)
    (job,) = uploads.listed()
    assert (job["state"], job["error"]["code"]) == ("failed", "login")
    await lakes.log_in("escape", typed)
    uploads.resume(number)
    await finished(uploads)
    (job,) = uploads.listed()
    assert (job["state"], job["progress"]["files_done"]) == ("done", 2)
    assert not list((tmp_path / "uploads").iterdir())
    with pytest.raises(LakeError):
        uploads.resume(number)
    await uploads.cancel(number)
    assert uploads.listed() == []
    await lakes.close()


async def test_a_cancelled_upload_leaves_no_parts(
    make_uploads: Callable[[], tuple[Lakes, Uploads]],
    tmp_path: Path,
    rucio: RunningRucio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lakes, uploads = make_uploads()
    await lakes.log_in("escape", Typed("alice", password_of("alice")))
    source = write(tmp_path / "cancelled", {"a": b"a" * 100_000})
    wanted = {"source": str(source), "dataset": "user.alice:cancelled", "prefix": "cancelled/"}
    number = uploads.start("escape", wanted)["id"]
    await uploads.cancel(number)
    assert uploads.listed() == []
    assert not list((rucio.folder / "vega").rglob(f".farlab-{number}*"))
    await lakes.close()


async def finished(uploads: Uploads) -> None:
    """Wait until no upload runs."""
    for job in uploads._known().values():
        if job.task is not None:
            await job.task


def test_a_journal_that_makes_no_sense_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    (tmp_path / "y.json").write_text(json.dumps({"lake": "escape", "plan": {"id": 1}}))
    assert Uploads(Lakes([], None, FileTokens(None)), tmp_path).listed() == []
