"""`%datalake` and `%%offload --data` in a real kernel, with real lakes and a real site."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from farlab_kernels.datalake import at_site
from farlab_kernels.datalake.bring import dids
from farlab_kernels.datalake.errors import LakeError
from farlab_kernels.datalake.openers import attached, cell
from farlab_kernels.datalake.paths import Place
from farlab_real.kernel_parts import Result
from farlab_real.lake_server import LakeServer, service_at
from farlab_real.notebook_kernel import Frontend, notebook, shown
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import DAYS
from farlab_real.service import RunningService

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, rucio: RunningRucio
) -> Iterator[RunningService]:
    """A site whose RSE is PSNC."""
    with service_at(tmp_path_factory.mktemp("service"), rucio, "PSNC") as here:
        yield here


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(lake_server: LakeServer, service: RunningService) -> AsyncIterator[Frontend]:
    """A notebook of the server, whose kernels can be at the site too."""
    async with notebook(**lake_server.environment, **service.environment) as here:
        yield here
        await here.run("%offload stop --all")
        await asyncio.to_thread(service.wait_until_empty)


def texts(result: Result, name: str = "stdout") -> str:
    found = [m["content"] for m in result.of("stream")]
    return "".join(content["text"] for content in found if content["name"] == name)


async def test_looking_around(page: Frontend) -> None:
    lakes = texts(await page.run("%datalake"))
    assert re.search(r"^escape +ESCAPE +rucio +VEGA$", lakes, re.M), lakes
    assert "demo" in texts(await page.run("%datalake ls escape"))
    days = texts(await page.run("%datalake ls demo:days"))
    assert re.search(r"^file +14 B +demo:day-001.csv$", days, re.M), days
    some = await page.run("%datalake ls -n 5 farlab://escape/many:all")
    assert len(texts(some).splitlines()) == 5
    assert "--limit 50" in texts(some, "stderr")


async def test_files_and_datasets_are_copied_here(page: Frontend, tmp_path: Path) -> None:
    await page.run(f"%cd -q {tmp_path}")
    assert texts(await page.run("%datalake get demo:day-001.csv")) == "day-001.csv\n"
    assert (tmp_path / "day-001.csv").read_bytes() == DAYS["day-001.csv"]
    (tmp_path / "days").mkdir()
    # One was cut, another is damaged: its bytes are not those that the checksum says.
    (tmp_path / "days" / "day-002.csv.part").write_bytes(DAYS["day-002.csv"][:5])
    result = await page.run("%datalake get escape/demo:year days")
    assert "12 files" in texts(result), shown(result)
    assert {p.name: p.read_bytes() for p in (tmp_path / "days").iterdir()} == DAYS
    (tmp_path / "days" / "day-003.csv").write_bytes(b"mine")
    (tmp_path / "days" / "day-003.csv.part").write_bytes(b"not")
    assert "is not escape/demo:day-003.csv" in shown(await page.run("%datalake get demo:days days"))
    (tmp_path / "days" / "day-003.csv").unlink()
    assert "not what is registered" in shown(await page.run("%datalake get demo:days days"))
    assert not (tmp_path / "days" / "day-003.csv.part").exists()
    assert (await page.run("%datalake get demo:days days")).status == "ok"


async def test_a_folder_is_put_and_read_again(page: Frontend, tmp_path: Path) -> None:
    await page.run(
        "import numpy as np, xarray as xr\n"
        "field = xr.Dataset({'t': (('y', 'x'), np.ones((4, 5)))})\n"
        f"field.to_zarr('{tmp_path}/put.zarr', consolidated=False)"
    )
    put = f"%datalake put {tmp_path}/put.zarr user.alice:runs --days 7 --meta year=2024 by=ada"
    result = await page.run(put)
    assert "files are in farlab://escape/user.alice:runs" in texts(result), shown(result)
    again = await page.run(put)
    assert again.status == "ok", shown(again)
    listed = texts(await page.run("%datalake ls user.alice:put.zarr"))
    assert "folder" in listed
    assert "user.alice:put.zarr/zarr.json" in listed
    rules = texts(await page.run("%datalake rules user.alice:runs"))
    assert re.search(r"user.alice:runs +VEGA +ok", rules), rules
    opened = await page.run("%datalake open user.alice:put.zarr")
    (payload,) = opened.reply["content"]["payload"]
    result = await page.run(f"{payload['text']}\nprint(float(data['t'].sum()))")
    assert "20.0" in texts(result), shown(result)
    one = tmp_path / "one.csv"
    one.write_text("a\n5\n")
    await page.run(f"%datalake put {one} user.alice:runs")
    opened = await page.run("%datalake open user.alice:one.csv")
    result = await page.run(opened.reply["content"]["payload"][0]["text"])
    assert "5" in shown(result), shown(result)


async def test_an_upload_that_fails_says_why(page: Frontend, tmp_path: Path) -> None:
    (tmp_path / "clash").mkdir()
    (tmp_path / "clash" / "a").write_text("1")
    assert (await page.run(f"%datalake put {tmp_path}/clash user.alice:clash")).status == "ok"
    (tmp_path / "clash" / "a").write_text("2")
    for _ in range(2):  # the second time, the same upload goes on, and ends the same way
        failed = await page.run(f"%datalake put {tmp_path}/clash user.alice:clash")
        assert "is there already, and is not" in shown(failed)
        assert "Give the upload another prefix" in shown(failed)


@pytest.fixture(scope="module")
def kept(rucio: RunningRucio) -> str:
    """A dataset of two files at VEGA."""
    files = {f"kept {number}.txt": b"x" for number in range(2)}
    rucio.admin.put("VEGA", rucio.folder / "vega", "outside", files)
    rucio.admin.add_dataset("outside", "kept")
    rucio.admin.attach("outside", "kept", [("outside", name) for name in files])
    return "outside:kept"


async def test_rules(page: Frontend, kept: str) -> None:
    here = await page.run(f"%datalake rules {kept} --at here --days 3")
    assert texts(here) == f"{kept} is at VEGA\n"
    assert "2 of 2 files there" in shown(here)
    rules = texts(await page.run("%datalake rules"))
    (rule,) = re.findall(rf"^(\w+) +{kept} +VEGA", rules, re.M)
    assert (await page.run(f"%datalake rules escape --remove {rule}")).status == "ok"


async def test_an_interrupt_leaves_the_rule(page: Frontend, kept: str) -> None:
    id_ = page.begin(f"%datalake rules {kept} --at PSNC --days 3")
    await page.until(lambda: "0 of 2 files there" in shown(Result({}, page.of(id_))), "a wait")
    await page.manager.interrupt_kernel()
    result = await page.end(id_)
    assert result.status == "error"
    assert "the lake goes on with it" in texts(result, "stderr")
    assert "Traceback" not in shown(result)
    rules = texts(await page.run("%datalake rules"))
    assert re.search(rf"{kept} +PSNC +replicating +0 of 2", rules), rules


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ls escape/demo:nothing", "demo:nothing"),
        ("ls farlab://escap/demo", "did you mean escape?"),
        ("get", "name what to copy here"),
        ("put /nowhere user.alice:x", "there is no file or folder /nowhere"),
        ("put . user.alice", "is no DID"),
        ("put . user.alice:x --meta year", "--meta takes KEY=VALUE"),
        ("put . store/x:y --days 3", "has no datasets"),
        ("put . store/x:y --rse PSNC", "has no datasets"),
        ("put . user.alice:x --rse PSNC", "no WebDAV door"),
        ("cp demo:days escape/demo:x", "takes no copies"),
        ("cp demo:days", "name where to"),
        ("find demo --meta depth", "KEY=VALUE"),
        ("find farlab://stack", "there is no lake"),
        ("item demo:days --bbox 1,2", "west,south,east,north"),
        ("item demo:day-001.csv", "is no dataset"),
        ("link demo:day-001.csv", "can't do that (link)"),
        ("meta demo:days depth", "KEY=VALUE"),
        ("meta demo:nothing", "demo:nothing"),
        ("mkdir demo:days", "already"),
        ("register escape/x --scope y", "--scope takes LAKE/SCOPE"),
        ("rules demo:days --at NOWHERE", "empty set"),
        ("rules demo:nothing --at here", "demo:nothing"),
        ("rules --remove 00", "name the rule's lake"),
        ("open demo:nothing", "demo:nothing"),
        ("steal demo:days", "invalid choice"),
    ],
)
async def test_mistakes_are_said_in_a_line(page: Frontend, line: str, words: str) -> None:
    result = await page.run(f"%datalake {line}")
    assert words in shown(result)
    assert "Traceback" not in shown(result)


async def test_results_are_put_found_described_and_shared(page: Frontend, tmp_path: Path) -> None:
    (tmp_path / "run.zarr/a").mkdir(parents=True)
    (tmp_path / "run.zarr/zarr.json").write_text("{}")
    (tmp_path / "run.zarr/a/0").write_bytes(b"zero")
    result = await page.run(f"%datalake put {tmp_path}/run.zarr store/runs")
    assert "2 files are in farlab://store/runs" in texts(result), shown(result)
    listed = texts(await page.run("%datalake ls store/runs/run.zarr"))
    assert re.search(r"^file +2 B +runs/run.zarr/zarr.json$", listed, re.M), listed
    again = await page.run(f"%datalake put {tmp_path}/run.zarr store/runs")
    assert again.status == "ok", shown(again)
    (tmp_path / "run.zarr/a/0").write_bytes(b"other")
    clash = await page.run(f"%datalake put {tmp_path}/run.zarr store/runs")
    assert "is there already" in shown(clash)
    result = await page.run("%datalake cp store/runs/run.zarr store/copy/")
    assert "store/runs/run.zarr is at store/copy/run.zarr" in texts(result), shown(result)
    assert "a/0" in texts(await page.run("%datalake ls store/copy/run.zarr/a"))
    result = await page.run("%datalake cp demo:days store/days")
    assert "is at store/days" in texts(result), shown(result)
    link = texts(await page.run("%datalake link store/days/day-001.csv --hours 1"))
    assert httpx.get(link.splitlines()[0]).content == DAYS["day-001.csv"]
    made = await page.run("%datalake mkdir user.alice:found --days 3 --meta project=sea depth=12")
    assert "dataset escape/user.alice:found" in texts(made), shown(made)
    for line in ("--meta project=sea", "'--meta' 'depth>11'", "fou* --kind dataset"):
        found = texts(await page.run(f"%datalake find user.alice {line}"))
        assert "user.alice:found" in found, line
    nothing = texts(await page.run("%datalake find user.alice --meta 'depth>99'"))
    assert nothing == "nothing is found\n"
    shows = texts(await page.run("%datalake meta user.alice:found author=ada depth="))
    assert re.search(r"^author +ada$", shows, re.M), shows
    assert "depth" not in shows
    item = "%datalake item user.alice:found --bbox=-5,40,10,50 --time 2024-01-01/2024-02-01"
    assert '"rucio://' in texts(await page.run(item))
    written = await page.run(f"{item} store/items --meta note=x")
    url = texts(written).strip()
    assert url.endswith("/items/items/found.json"), shown(written)
    assert url in texts(await page.run("%datalake meta user.alice:found"))
    assert "found.json" in texts(await page.run("%datalake ls store/items/items"))
    assert "is no STAC catalogue" in shown(await page.run("%datalake register store/items"))
    client = (
        "from farlab_kernels.datalake.client import ask\n"
        "async def work(client):\n"
        "    await client.attach('escape', 'user.alice:found', ['demo:day-001.csv'])\n"
        "    await client.detach('escape', 'user.alice:found', ['demo:day-001.csv'])\n"
        "    await client.set_many('escape', {'user.alice:found': {'n': 1}})\n"
        "    await client.lifetime('escape', 'user.alice:found', 9)\n"
        "    await client.close_did('escape', 'user.alice:found')\n"
        "    return (await client.details('escape', 'user.alice:found'))\n"
        "told = ask(work)\n"
        "print(told['entry']['state'], told['metadata']['n'])\n"
        "print(told['entry']['more']['item']['lake'])"
    )
    assert "closed 1\nstore" in texts(result := await page.run(client)), shown(result)


async def test_its_help(page: Frontend) -> None:
    (payload,) = (await page.run("%datalake?")).reply["content"]["payload"]
    assert "Look into the DataLake" in payload["data"]["text/plain"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("%datalake ", "rules"),
        ("%datalake ls ", "escape/"),
        ("%datalake ls escape/de", "escape/demo:"),
        ("%datalake ls demo:day-00", "day-001.csv"),
        ("%datalake get farlab://escape/demo:ye", "year"),
        ("%datalake rules demo:days --a", "--at"),
        ("%datalake open x --as p", "pandas"),
        ("%%offload vega --da", "--data"),
    ],
)
async def test_tab(page: Frontend, line: str, found: str) -> None:
    id_ = page.client.complete(line)
    reply = await page.until(lambda: page.replies.get(id_), "a completion")
    content = reply["content"]
    assert found in content["matches"], content


async def test_a_cell_gets_its_data(page: Frontend, rucio: RunningRucio) -> None:
    files = {f"part {number}.csv": f"v\n{number}\n".encode() for number in range(3)}
    rucio.admin.put("PSNC", rucio.folder / "psnc", "outside", files)
    rucio.admin.add_dataset("outside", "parts")
    rucio.admin.attach("outside", "parts", [("outside", name) for name in files])
    result = await page.run(
        "%%offload vega --data outside:parts 'one=escape/outside:part 1.csv'\n"
        "import pandas as pd\n"
        "print(len(data), pd.concat(map(pd.read_csv, data))['v'].sum(), open(one).read()[2:])"
    )
    assert "3 3 1" in texts(result), shown(result)
    assert "3 of 3 files there" in shown(result)
    rules = texts(await page.run("%datalake rules outside:parts"))
    assert re.search(r"outside:parts +PSNC +ok", rules), rules


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--data a:b c:d", "data can't be both a:b and c:d"),
        ("--data demo:days --detach", "leave out --detach"),
        ("--data demo:nothing", "demo:nothing"),
        ("--data store/x:y", "PSNC belongs to escape"),
        ("--data demo", "is no DID"),
    ],
)
async def test_data_that_a_cell_can_not_have(page: Frontend, line: str, words: str) -> None:
    result = await page.run(f"%%offload vega {line}\nprint('not reached')")
    assert words in shown(result)
    assert "not reached" not in texts(result)
    assert "Traceback" not in shown(result)


async def test_no_job_waits_for_its_data(page: Frontend, service: RunningService) -> None:
    await page.run("%offload stop --all")
    await asyncio.to_thread(service.wait_until_empty)
    result = await page.run("%%offload vega --data demo:nothing\nprint('not reached')")
    assert "demo:nothing" in shown(result)
    assert await asyncio.to_thread(service.live) == []


async def test_names_for_data() -> None:
    assert dids(["x=demo:a", "demo:b=c"]) == {"x": "demo:a", "data": "demo:b=c"}
    with pytest.raises(LakeError, match="Name the variables"):
        dids(["demo:a", "demo:b"])


async def test_a_site_finds_files_by_what_follows_the_doors_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "disk" / "demo" / "ab" / "x y.csv"
    file.parent.mkdir(parents=True)
    file.write_text("123")
    prefix = str(tmp_path / "disk")
    door = "https://door.example.org:443/webdav/demo/ab/x%20y.csv"
    assert at_site.find([([door], 3), ([door], 4), ([], None)], prefix) == [str(file), None, None]
    assert at_site.find([([f"file://host:0{file}"], 3)], None) == [str(file)]
    assert at_site.find([([door], 3)], None) == [None]
    assert at_site.find([(["file://host/a/../../etc/passwd"], None)], prefix) == [None]
    monkeypatch.setenv("FARLAB_DATALAKE", json.dumps({"here": {"lake": "l", "rse": "R"}}))
    assert at_site.here() == {"lake": "l", "rse": "R"}
    for nothing in ("", "{", "[]", '{"here": 1}', '{"here": {}}'):
        monkeypatch.setenv("FARLAB_DATALAKE", nothing)
        assert at_site.here() is None


async def test_the_cells_that_open() -> None:
    def of(path: str, *, folder: bool = False, library: str = "") -> str:
        return cell(Place("escape", path), folder=folder, library=library)

    assert "pd.read_csv('farlab://escape/demo:a.csv.gz')" in of("demo:a.csv.gz")
    assert "pd.read_csv('farlab://escape/demo:a.tsv', sep=\"\\t\")" in of("demo:a.tsv")
    assert "xr.open_dataset(fsspec.open('farlab://escape/demo:a.nc')" in of("demo:a.nc")
    assert "h5py.File" in of("demo:a.h5", library="h5py")
    assert "open_zarr" in of("demo:a.zarr", folder=True)
    assert "lake.ls('escape/demo:days'" in of("demo:days", folder=True)
    assert "file.read(100)" in of("demo:it's")
    for code in (of("demo:it's"), of("demo:d", folder=True), of("x", library="h5py")):
        compile(code, "cell", "exec")


async def test_what_rucios_own_extension_attached_is_opened() -> None:
    class Single(str):
        """As the extension's: a text with `path` and `pfn`."""

        path: str | None
        pfn: str | None = None

    def one(path: str | None) -> Single:
        made = Single(path)
        made.path = path
        return made

    several = [one("/data/a.csv"), one("/data/b.csv")]
    known = {"one": one("/data/a.nc"), "all": several, "away": one(None), "own": "a text", "no": []}
    assert "fsspec.open('/data/a.nc')" in (attached("one", known) or "")
    assert "one.path for one in all" in (attached("all", known) or "")
    assert [attached(name, known) for name in ("own", "no", "demo:days")] == [None] * 3
    with pytest.raises(LakeError, match="not on this machine"):
        attached("away", known)
