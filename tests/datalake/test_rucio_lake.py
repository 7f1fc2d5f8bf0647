"""What a Rucio lake can do beside listings: details, metadata, replicas, rules, datasets."""

from __future__ import annotations

import json

import pytest
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import DAYS, OpenLake
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.previews import preview
from farlab_server_ext.datalake.rucio.paths import Here, Protocol, path_here, relative


async def test_details_of_a_file(open_lake: OpenLake, rucio: RunningRucio) -> None:
    found = await open_lake().details("demo:day-003.csv")
    assert found.entry.kind == "file"
    assert found.entry.checksum
    assert found.entry.modified is not None
    assert found.metadata["account"] == "root"
    assert "demo:days" in [parent.path for parent in found.parents]
    assert found.here is not None
    assert found.here.startswith(str(rucio.folder / "vega"))


async def test_details_of_a_dataset(open_lake: OpenLake) -> None:
    found = await open_lake().details("demo:days")
    assert (found.entry.kind, found.entry.state, found.here) == ("dataset", "open", None)
    assert [parent.path for parent in found.parents] == ["demo:year"]


async def test_details_of_nothing(open_lake: OpenLake) -> None:
    for path, code in (
        ("demo:nothing", "not-found"),
        ("demo", "wrong-input"),
        (":x", "wrong-input"),
    ):
        with pytest.raises(LakeError) as refusal:
            await open_lake().details(path)
        assert refusal.value.code == code


async def test_elsewhere_a_file_has_no_path(open_lake: OpenLake) -> None:
    lake = open_lake(here=Here("PSNC"))
    assert (await lake.details("demo:day-003.csv")).here is None
    with pytest.raises(LakeError, match="it is at VEGA") as refusal:
        await lake.read("demo:day-003.csv")
    assert refusal.value.code == "not-found"


async def test_the_catalogues_prefix_comes_before_the_rses(
    open_lake: OpenLake, rucio: RunningRucio
) -> None:
    (rucio.folder / "mount").symlink_to(rucio.folder / "vega")
    lake = open_lake(here=Here("VEGA", str(rucio.folder / "mount")))
    found = await lake.details("demo:day-003.csv")
    assert found.here is not None
    assert found.here.startswith(str(rucio.folder / "mount"))
    assert await lake.read("demo:day-003.csv", 4, 5) == b"value"


async def test_replicas_of_the_rows_on_the_screen(open_lake: OpenLake) -> None:
    found = await open_lake().replicas_of([f"demo:{name}" for name in DAYS])
    assert len(found) == len(DAYS)
    for replicas in found.values():
        here = next(one for one in replicas if one.rse == "VEGA")
        assert (here.state, here.problem) == ("available", None)
        assert here.path
        assert here.pfns[0].startswith("file://localhost/")


async def test_a_share_of_a_dataset(open_lake: OpenLake) -> None:
    shares = await open_lake().shares_of("demo:days")
    assert ("VEGA", 12, 12) in [(one.rse, one.files, one.files_there) for one in shares]


async def test_a_vanished_file_is_told(open_lake: OpenLake, rucio: RunningRucio) -> None:
    files = {"gone.txt": b"gone", "short.txt": b"short"}
    written = rucio.admin.put("VEGA", rucio.folder / "vega", "play", files)
    written["gone.txt"].unlink()
    written["short.txt"].write_bytes(b"s")
    found = await open_lake().replicas_of(["play:gone.txt", "play:short.txt"])
    assert "there is no" in str(found["play:gone.txt"][0].problem)
    assert "has 1 bytes, not the 5" in str(found["play:short.txt"][0].problem)
    assert found["play:gone.txt"][0].path is None
    with pytest.raises(LakeError) as refusal:
        await open_lake().read("play:gone.txt")
    assert refusal.value.code == "damaged"


async def test_a_non_deterministic_rse_tells_its_own_paths(
    open_lake: OpenLake, rucio: RunningRucio
) -> None:
    path = rucio.folder / "pool" / "as it likes" / "file.nc"
    path.parent.mkdir()
    path.write_bytes(b"pool")
    replica = {"scope": "play", "name": "pooled.nc", "bytes": 4, "adler32": "04570167"}
    rucio.admin.register("POOL", [{**replica, "pfn": f"file://localhost{path}"}])
    found = await open_lake(here=Here("POOL")).details("play:pooled.nc")
    assert found.here == str(path)


@pytest.mark.parametrize("name", ["../../../../secret", "a/../../../../../secret", "../x"])
async def test_no_name_leads_out_of_the_prefix(
    open_lake: OpenLake, rucio: RunningRucio, name: str
) -> None:
    (rucio.folder / "secret").write_text("secret")
    rucio.admin.register(
        "VEGA", [{"scope": "outside", "name": name, "bytes": 6, "adler32": "08b50286"}]
    )
    found = await open_lake().replicas_of([f"outside:{name}"])
    assert found[f"outside:{name}"][0].path is None
    assert "no file below" in str(found[f"outside:{name}"][0].problem)
    with pytest.raises(LakeError):
        await open_lake().read(f"outside:{name}")


DOORS = (
    Protocol("davs", "door.example", 443, "/data/rucio"),
    Protocol("root", "door.example", 1094, "//data/rucio/"),
    Protocol("file", "localhost", 0, "/mnt/data/"),
)


@pytest.mark.parametrize(
    ("pfn", "inner"),
    [
        ("davs://door.example:443/data/rucio/demo/ab/cd/f", "demo/ab/cd/f"),
        ("root://door.example:1094//data/rucio/demo/ab/cd/f", "demo/ab/cd/f"),
        ("file://localhost/mnt/data/demo/f 1%2F", "demo/f 1%2F"),
        ("davs://door.example:443/data/rucio2/f", None),
        ("davs://elsewhere.example:443/data/rucio/f", None),
        ("davs://door.example:443/data/rucio/../f", None),
        ("davs://door.example:443/data/rucio/", None),
        ("gsiftp://door.example/data/rucio/f", None),
        ("/mnt/data/f", None),
        ("", None),
    ],
)
def test_physical_names(pfn: str, inner: str | None) -> None:
    assert relative(pfn, DOORS) == inner
    here = Here("X", "/dcache/itw")
    expected = None if inner is None else f"/dcache/itw/{inner}"
    found = path_here(pfn, here, DOORS)
    assert (None if found is None else str(found)) == expected


async def test_datasets_are_made_filled_and_closed(open_lake: OpenLake) -> None:
    lake = open_lake()
    await lake.create("user.alice:box", "container")
    made = await lake.create("user.alice:set", "dataset")
    assert (made.kind, made.path) == ("dataset", "user.alice:set")
    await lake.attach("user.alice:set", ["demo:day-001.csv", "demo:day-002.csv"])
    await lake.attach("user.alice:box", ["user.alice:set"])
    inside = await lake.children("user.alice:set")
    assert [entry.path for entry in inside.entries] == ["demo:day-001.csv", "demo:day-002.csv"]
    await lake.detach("user.alice:set", ["demo:day-001.csv"])
    inside = await lake.children("user.alice:set")
    assert [entry.path for entry in inside.entries] == ["demo:day-002.csv"]
    await lake.close_did("user.alice:set")
    assert (await lake.details("user.alice:set")).entry.state == "closed"
    with pytest.raises(LakeError) as refusal:
        await lake.attach("user.alice:set", ["demo:day-001.csv"])
    assert refusal.value.code == "conflict"
    with pytest.raises(LakeError) as refusal:
        await lake.create("user.alice:set", "dataset")
    assert refusal.value.code == "conflict"


async def test_metadata_is_written_read_and_removed(open_lake: OpenLake) -> None:
    lake = open_lake()
    await lake.create("user.alice:described", "dataset")
    await lake.set_metadata("user.alice:described", {"colour": "röt", "n": 3, "good": True})
    found = (await lake.details("user.alice:described")).metadata
    assert (found["colour"], found["n"], found["good"]) == ("röt", 3, True)
    assert list(found)[:3] == ["colour", "good", "n"]
    await lake.set_metadata("user.alice:described", {"colour": None, "n": 4})
    found = (await lake.details("user.alice:described")).metadata
    assert "colour" not in found
    assert found["n"] == 4


@pytest.mark.parametrize(
    "changes", [{"a.b": 1}, {"": 1}, {"a b": 1}, {"x": [1]}, {"x": "y" * 5000}]
)
async def test_metadata_that_could_not_be_searched_is_refused(
    open_lake: OpenLake, changes: dict[str, object]
) -> None:
    with pytest.raises(LakeError) as refusal:
        await open_lake().set_metadata("demo:days", changes)
    assert refusal.value.code == "wrong-input"


async def test_anothers_scope_is_denied(open_lake: OpenLake) -> None:
    lake = open_lake("bob")
    await open_lake().create("user.alice:hers", "dataset")
    tries = (
        lake.create("user.alice:mine", "dataset"),
        lake.attach("user.alice:hers", ["demo:day-001.csv"]),
        lake.set_metadata("user.alice:hers", {"colour": "blue"}),
        lake.close_did("user.alice:hers"),
    )
    for attempt in tries:
        with pytest.raises(LakeError) as refusal:
            await attempt
        assert refusal.value.code == "denied", refusal.value
        assert "permission" in refusal.value.fix


async def test_a_rule_from_beginning_to_end(open_lake: OpenLake, rucio: RunningRucio) -> None:
    lake = open_lake(here=Here("PSNC"))
    await lake.create("user.alice:wanted", "dataset")
    await lake.attach("user.alice:wanted", ["demo:day-001.csv", "demo:day-002.csv"])
    rule = await lake.make_available("user.alice:wanted", 7)
    assert (rule.state, rule.replicating, rule.rse) == ("replicating", 2, "PSNC")
    assert rule.ends is not None
    with pytest.raises(LakeError) as refusal:
        await lake.make_available("user.alice:wanted", 7)
    assert refusal.value.code == "conflict"
    longer = await lake.rules.extend(rule.id, 30)
    assert longer.ends is not None
    assert longer.ends > rule.ends + 20 * 86_400
    assert rule.id in [one.id for one in await lake.rules.mine()]
    assert [one.id for one in await lake.rules_of("user.alice:wanted")] == [rule.id]
    with rucio.sql() as connection:
        state = {"state": "S", "error": "the door of PSNC is full", "id": rule.id}
        connection.execute(
            "UPDATE rules SET state = %(state)s, error = %(error)s, locks_stuck_cnt = 2, "
            "locks_replicating_cnt = 0 WHERE id = %(id)s",
            state,
        )
        connection.execute("UPDATE locks SET state = 'S' WHERE rule_id = %(id)s", state)
    stuck = await lake.rules.one(rule.id)
    assert (stuck.state, stuck.stuck, stuck.error) == ("stuck", 2, "the door of PSNC is full")
    reasons = await lake.rules.why(rule.id)
    assert {reason["did"] for reason in reasons} == {"demo:day-001.csv", "demo:day-002.csv"}
    assert all("the door of PSNC is full" in reason["reason"] for reason in reasons)
    await lake.rules.retry(rule.id)
    await lake.rules.remove(rule.id)
    ended = await lake.rules.one(rule.id)
    assert ended.ends is not None
    assert ended.ends < rule.ends


@pytest.mark.parametrize(
    ("user", "rse", "days", "code"),
    [
        ("bob", "VEGA", 7, "full"),
        ("alice", "NOWHERE", 7, "wrong-input"),
        ("alice", "VEGA", 0, "wrong-input"),
        ("alice", "VEGA", 10**6, "wrong-input"),
    ],
)
async def test_a_rule_that_can_not_be(
    open_lake: OpenLake, user: str, rse: str, days: int, code: str
) -> None:
    with pytest.raises(LakeError) as refusal:
        await open_lake(user).make_available("demo:days", days, rse)
    assert refusal.value.code == code, refusal.value


async def test_a_made_up_rule_is_not_asked_for(open_lake: OpenLake) -> None:
    for rule, code in (("../accounts", "wrong-input"), ("0" * 32, "not-found")):
        with pytest.raises(LakeError) as refusal:
            await open_lake().rules.one(rule)
        assert refusal.value.code == code


async def test_previews(open_lake: OpenLake, rucio: RunningRucio) -> None:
    files = {
        "note.txt": "Zürich\n".encode(),
        "zarr.json": b'{"shape":[3]}',
        "raw.bin": b"\0\1\2",
        "dot.png": b"\x89PNG not really",
        "big.txt": b"line\n" * 40_000,
        "broken.parquet": b"no parquet",
    }
    rucio.admin.put("VEGA", rucio.folder / "vega", "play", files)
    lake = open_lake()

    async def look(name: str) -> tuple[str, str, bool]:
        seen = await preview(lake, await lake.details(f"play:{name}"))
        return seen.kind, seen.text, seen.whole

    assert await look("note.txt") == ("text", "Zürich\n", True)
    assert json.loads((await look("zarr.json"))[1]) == {"shape": [3]}
    assert (await look("raw.bin"))[0] == "none"
    assert (await look("dot.png"))[0] == "image"
    assert (await look("big.txt"))[2] is False
    assert (await look("broken.parquet"))[0] == "none"
    table = await preview(lake, await lake.details("demo:day-001.csv"))
    assert (table.columns, table.rows) == (("day", "value"), (("1", "1"),))
    assert (await preview(lake, await lake.details("demo:days"))).kind == "none"
