"""`farlab://` through fsspec, pandas, xarray and Zarr, with a real Jupyter server and Rucio."""

from __future__ import annotations

import asyncio
from hashlib import md5
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from aiohttp import web
from aiohttp.test_utils import TestServer
from farlab_kernels.datalake import transfers
from farlab_kernels.datalake.client import LakeClient, ask
from farlab_kernels.datalake.downloads import download, target_of
from farlab_kernels.datalake.errors import LakeDeniedError, LakeError, LakeNotFoundError
from farlab_kernels.datalake.filesystem import FarlabFileSystem
from farlab_kernels.datalake.paths import choose, split
from farlab_kernels.datalake.transfers import rule_words
from farlab_kernels.service.settings import Settings
from farlab_real.lake_server import BUCKET, LakeServer
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import DAYS, MANY
from farlab_real.versitygw import RunningVersitygw


@pytest.fixture
def lake(lake_server: LakeServer, monkeypatch: pytest.MonkeyPatch) -> FarlabFileSystem:
    """The file system as a kernel of the server has it."""
    for name, value in lake_server.environment.items():
        monkeypatch.setenv(name, value)
    return fsspec.filesystem("farlab")


def put(source: Path, dataset: str, **more: Any) -> dict[str, Any]:
    """Upload a folder, as the magic does."""
    wanted = {"lake": "escape", "source": str(source), "dataset": dataset}
    wanted |= {"prefix": f"{source.name}/", "days": None, "metadata": {}, "link": False, **more}
    return ask(lambda client: transfers.put(client, wanted, print))


def test_fsspec_knows_it(lake: FarlabFileSystem) -> None:
    assert isinstance(lake, FarlabFileSystem)
    assert fsspec.get_filesystem_class("farlab") is FarlabFileSystem
    assert lake.unstrip_protocol("escape/demo:days") == "farlab://escape/demo:days"


def test_lakes_scopes_datasets_and_files_are_a_tree(lake: FarlabFileSystem) -> None:
    assert lake.ls("farlab://", detail=False) == ["escape", "store"]
    assert "escape/demo" in lake.ls("escape", detail=False)
    in_scope = {row["name"]: row["kind"] for row in lake.ls("escape/demo")}
    assert in_scope["escape/demo:days"] == "dataset"
    assert in_scope["escape/demo:year"] == "container"
    days = lake.ls("farlab://escape/demo:days", detail=False)
    assert days == [f"escape/demo:{name}" for name in DAYS]
    assert sorted(lake.find("escape/demo:year")) == days
    assert lake.isdir("escape/demo:days")
    assert lake.isfile("escape/demo:day-001.csv")
    assert lake.info("escape/demo:day-001.csv")["size"] == 14
    assert not lake.exists("escape/demo:nothing")
    assert not lake.exists("escape/demo:day")
    assert lake.exists("escape/demo")


def test_a_large_dataset_is_listed_page_by_page(lake: FarlabFileSystem) -> None:
    assert len(lake.ls("escape/many:all", detail=False, limit=1500)) == 1500
    names = lake.ls("escape/many:all", detail=False)
    assert len(set(names)) == len(names) >= MANY


def test_pandas_reads_a_file_of_this_machine(lake: FarlabFileSystem) -> None:
    assert pd.read_csv("farlab://escape/demo:day-007.csv")["value"].tolist() == [1]
    with lake.open("escape/demo:day-007.csv") as file:
        assert Path(file.name).read_bytes() == DAYS["day-007.csv"]
    frames = [pd.read_csv(f"farlab://{name}") for name in lake.ls("escape/demo:days", False)]
    assert pd.concat(frames)["day"].tolist() == [*range(12)]


def test_ranges_come_through_the_server(
    lake: FarlabFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DAYS["day-003.csv"]
    assert lake.cat_file("escape/demo:day-003.csv", 4, 9) == whole[4:9]
    assert lake.cat_file("escape/demo:day-003.csv", -4) == whole[-4:]
    assert lake.cat_file("escape/demo:day-003.csv", 3, 3) == b""
    paths = [f"escape/demo:day-00{day}.csv" for day in range(5)]
    assert list(lake.cat(paths).values()) == [*DAYS.values()][:5]
    # As on a machine that does not see the server's files.
    monkeypatch.setattr("farlab_kernels.datalake.filesystem.os.access", lambda *_: False)
    with lake.open("escape/demo:day-003.csv", block_size=4) as file:
        file.seek(4)
        assert file.read(5) == whole[4:9]
        assert file.seek(-3, 2) == len(whole) - 3
        assert file.read() == whole[-3:]
    assert pd.read_csv("farlab://escape/demo:day-003.csv")["day"].tolist() == [3]


def test_xarray_reads_netcdf(
    lake: FarlabFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = xr.Dataset({"t": (("y", "x"), np.arange(20_000.0).reshape(100, 200))})
    (tmp_path / "fields").mkdir()
    field.to_netcdf(tmp_path / "fields" / "t.nc", engine="scipy")
    put(tmp_path / "fields", "user.alice:netcdf")
    for access in (True, False):
        monkeypatch.setattr("os.access", lambda *_, access=access: access)
        url = "farlab://escape/user.alice:fields/t.nc"
        with fsspec.open(url) as file, xr.open_dataset(file, engine="scipy") as found:
            assert found["t"].sum().item() == field["t"].sum().item()


def test_zarr_keeps_its_paths_and_is_opened_by_name(lake: FarlabFileSystem, tmp_path: Path) -> None:
    field = xr.Dataset({"t": (("y", "x"), np.arange(600.0).reshape(20, 30)), "n": ("y", [1] * 20)})
    chunks = {"t": {"chunks": (10, 10)}}
    field.to_zarr(tmp_path / "climate.zarr", consolidated=False, encoding=chunks)
    # Into a dataset of the same name, and into one of another name.
    for folder, dataset in (("climate.zarr", "climate.zarr"), ("weather.zarr", "climates")):
        source = tmp_path / folder
        if not source.exists():
            (tmp_path / "climate.zarr").rename(source)
        job = put(source, f"user.alice:{dataset}")
        assert job["progress"]["files"] == job["progress"]["files_done"]
        url = f"escape/user.alice:{folder}"
        inside = {name.removeprefix(url) for name in lake.ls(url, detail=False)}
        assert inside == {"/zarr.json", "/t", "/n"}
        assert lake.isdir(f"{url}/t")
        assert f"{url}/t/c/0/0" in lake.find(url)
        assert lake.glob(f"{url}/t/c/1/*") == [f"{url}/t/c/1/{x}" for x in range(3)]
        found = xr.open_zarr(f"farlab://{url}", consolidated=False)
        xr.testing.assert_equal(found.load(), field)


def test_a_file_that_is_elsewhere_is_not_taken_for_missing(
    lake: FarlabFileSystem, rucio: RunningRucio
) -> None:
    rucio.admin.put("PSNC", rucio.folder / "psnc", "outside", {"far.csv": b"a\n1\n"})
    for read in (lake.cat_file, lambda path: lake.open(path).read()):
        with pytest.raises(LakeError, match="it is at PSNC") as refusal:
            read("escape/outside:far.csv")
        assert refusal.value.code == "not-here"
        assert not isinstance(refusal.value, FileNotFoundError)


def test_patterns_of_names(lake: FarlabFileSystem) -> None:
    some = [f"escape/demo:day-00{day}.csv" for day in range(10)]
    assert lake.glob("escape/demo:day-00*.csv") == some
    assert lake.glob("farlab://escape/demo:day-00[12].csv") == some[1:3]
    assert lake.glob("escape/demo:nothing*") == []
    with fsspec.open_files("farlab://escape/demo:day-00*.csv") as files:
        assert b"".join(file.read() for file in files) == b"".join([*DAYS.values()][:10])


def test_names_with_everything_in_them(lake: FarlabFileSystem, tmp_path: Path) -> None:
    names = ["a b.csv", "a%2Fb.csv", "x#1?y=z&.csv", "a:b.csv", "s*[1].csv", "ü 😀.csv", "+'.csv"]
    (tmp_path / "names").mkdir()
    for name in names:
        (tmp_path / "names" / name).write_text(f"v\n{name!r}\n")
    put(tmp_path / "names", "user.alice:names")
    listed = lake.ls("escape/user.alice:names", detail=False)
    assert sorted(listed) == sorted(f"escape/user.alice:names/{name}" for name in names)
    for name in names:
        path = f"escape/user.alice:names/{name}"
        assert lake.cat_file(path).decode() == f"v\n{name!r}\n"
        with fsspec.open(f"farlab://{path}") as file:
            assert file.read().decode() == f"v\n{name!r}\n"


def test_a_cut_download_goes_on(tmp_path: Path) -> None:
    """The server ends each connection after three bytes, as it does when its lake fails."""
    offsets: list[int] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        offset = int(request.query["offset"])
        offsets.append(offset)
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"0123456789"[offset : offset + 3])
        if offset + 3 < 10:
            assert request.transport is not None
            request.transport.abort()
        return answer

    async def through() -> None:
        app = web.Application()
        app.router.add_get("/lakes/l/content", serve)
        async with (
            TestServer(app) as server,
            LakeClient(Settings(str(server.make_url("/")), "t")) as client,
        ):
            row = {"name": "l/f", "size": 10, "checksum": "md5:" + md5(b"0123456789").hexdigest()}
            target = await download(client, row, tmp_path / "f")
            assert target.read_bytes() == b"0123456789"

    asyncio.run(through())
    assert offsets[0] == 0
    assert len(offsets) > 1


def test_what_is_said_of_a_rule() -> None:
    rule = {"did": "a:b", "rse": "X", "ok": 1, "replicating": 0, "stuck": 2, "state": "stuck"}
    assert rule_words(rule) == "a:b at X: 1 of 3 files there; stuck: it is not said why"
    told = {**rule, "error": "no", "reasons": [{"reason": "No source."}]}
    assert rule_words(told).endswith("stuck: No source.")


def test_an_object_store_is_a_tree_too(lake: FarlabFileSystem, s3_server: RunningVersitygw) -> None:
    folder = s3_server.bucket(BUCKET) / "run 1"
    folder.mkdir()
    (folder / "mean.csv").write_text("mean\n3\n")
    assert "store/run 1" in [name.rstrip("/") for name in lake.ls("store", detail=False)]
    assert lake.ls("store/run 1", detail=False) == ["store/run 1/mean.csv"]
    assert pd.read_csv("farlab://store/run 1/mean.csv")["mean"].tolist() == [3]
    assert lake.cat_file("store/run 1/mean.csv", 2, 4) == b"an"


def test_fsspec_downloads(lake: FarlabFileSystem, tmp_path: Path) -> None:
    lake.get("escape/demo:day-001.csv", str(tmp_path / "one.csv"))
    assert (tmp_path / "one.csv").read_bytes() == DAYS["day-001.csv"]


async def test_asyncio(lake_server: LakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lake_server.environment.items():
        monkeypatch.setenv(name, value)
    async with LakeClient() as client:
        names = [row["name"] async for row in client.entries("escape", "demo:days", 3)]
        assert names == [*DAYS][:3]
        parts = [part async for part in client.content("escape", "demo:day-001.csv", 4, 5)]
        assert b"".join(parts) == DAYS["day-001.csv"][4:9]
    lake = FarlabFileSystem(asynchronous=True, skip_instance_cache=True)
    found = await asyncio.gather(*(lake._cat_file(f"escape/demo:{name}") for name in DAYS))
    assert found == [*DAYS.values()]
    await lake.close()


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("nowhere/demo:x", LakeNotFoundError, "there is no lake nowhere"),
        ("escape/demo:nothing", LakeNotFoundError, "demo:nothing"),
        ("escape/demo:../../etc/passwd", LakeNotFoundError, "demo:"),
        ("store/nothing.csv", LakeNotFoundError, "nothing.csv"),
        ("escape/demo:days", IsADirectoryError, "has files in it"),
    ],
)
def test_what_can_not_be_opened(
    lake: FarlabFileSystem, path: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        lake.open(path)


def test_it_only_reads(lake: FarlabFileSystem) -> None:
    with pytest.raises(LakeError, match="%datalake put"):
        lake.open("escape/demo:new.csv", "wb")


def test_a_login_that_is_missing(lake: FarlabFileSystem, lake_server: LakeServer) -> None:
    lake_server.log_out("escape")
    try:
        with pytest.raises(LakeDeniedError, match="not logged in to ESCAPE") as refusal:
            lake.ls("escape/demo")
        assert "panel" in refusal.value.fix
    finally:
        lake_server.log_in()


def test_a_server_that_is_away_or_refuses(
    lake: FarlabFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARLAB_DATALAKE_TOKEN", "another")
    with pytest.raises(LakeError, match="restart this kernel"):
        lake.ls("escape")
    monkeypatch.setenv("FARLAB_DATALAKE_URL", "http://127.0.0.1:9/")
    with pytest.raises(LakeError, match="does not answer"):
        lake.ls("escape")
    monkeypatch.delenv("FARLAB_DATALAKE_URL")
    with pytest.raises(LakeError, match="not known where the DataLake is"):
        lake.ls("escape")


def test_names_may_leave_out_the_lake() -> None:
    lakes = [{"name": "escape", "rse": "VEGA"}, {"name": "store", "rse": None}]
    assert choose(lakes, "demo:days") == ("escape", "demo:days")
    assert choose(lakes, "store/a/b") == ("store", "a/b")
    assert choose(lakes, "farlab://escape/demo:a/b") == ("escape", "demo:a/b")
    with pytest.raises(LakeNotFoundError, match="did you mean escape"):
        choose(lakes, "farlab://escap/demo:days")
    with pytest.raises(LakeNotFoundError, match="there is no lake"):
        choose([{"name": "a"}, {"name": "b"}], "demo:days")


@pytest.mark.parametrize("name", ["demo:../x", "demo:a/../../x", "demo:..", "demo:a\0b"])
def test_a_download_never_leaves_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="leads out"):
        target_of({"name": f"escape/{name}"}, split("escape/demo:days"), tmp_path)
    absolute = target_of({"name": "escape/demo:/etc/x"}, split("escape/demo:days"), tmp_path)
    assert absolute == tmp_path / "etc" / "x"
