"""Uploads to an RSE elsewhere: a real Rucio, and a real XRootD door that it knows as an RSE."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from farlab_real.cable import Cable
from farlab_real.door_pair import DoorPair
from farlab_real.rucio_admin import hash_path
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import password_of
from farlab_real.storage_fixtures import IssuedTokens
from farlab_real.xrootd import XrootdDoors
from farlab_server_ext.datalake.endpoint import Endpoint
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.logins import TokenLogins
from farlab_server_ext.datalake.makers import Made, make_rucio
from farlab_server_ext.datalake.registry import Lakes
from farlab_server_ext.datalake.rucio.auth import ByPassword, Password, Service
from farlab_server_ext.datalake.rucio.doors import door_of
from farlab_server_ext.datalake.rucio.lake import RucioLake
from farlab_server_ext.datalake.rucio.paths import Here
from farlab_server_ext.datalake.storage.sending import Begun
from farlab_server_ext.datalake.storage.webdav import WebdavLake
from farlab_server_ext.datalake.tokens import FileTokens, Token
from farlab_server_ext.datalake.uploads import Uploads

IMPLEMENTATION = "rucio.rse.protocols.webdav.Default"
TREE = {
    "zarr.json": b"{}",
    "temperature/c/0/0": b"chunk" * 1000,
    "notes: the first.txt": "Zürich\n".encode(),
    "empty": b"",
}
KILLED = """
import asyncio, os, sys
from pathlib import Path
from farlab_server_ext.datalake.endpoint import Endpoint
from farlab_server_ext.datalake.logins import Login
from farlab_server_ext.datalake.plans import Plan
from farlab_server_ext.datalake.rucio.auth import ByPassword, Password, Service
from farlab_server_ext.datalake.rucio.lake import RucioLake
from farlab_server_ext.datalake.rucio.upload import Upload
from farlab_server_ext.datalake.storage.sending import Begun

url, password, token, ca, number, source, dataset, rse, begun = sys.argv[1:]

class Given:
    async def login(self):
        return Login("Bearer " + token)

async def main():
    who = ByPassword(Service("ESCAPE", url, url), Password("alice", "alice", password))
    opens = lambda title, address: Endpoint(title, address, ca=ca, logins=Given())
    lake = RucioLake("escape", "ESCAPE", who, opens=opens)
    send = lake.client.send

    async def die(method, path, body=None):
        if path == "/replicas/":
            os._exit(9)
        return await send(method, path, body)

    lake.client.send = die
    await Upload(lake, Plan(number, source, dataset, rse=rse), Begun(Path(begun))).run()

asyncio.run(main())
"""


class Far:
    """A server whose Rucio has an RSE at the first door, under a folder of the test's own."""

    def __init__(self, rucio: RunningRucio, pair: DoorPair, folder: Path) -> None:
        self.rucio, self.pair, self.folder = rucio, pair, folder
        self.mark = pair.folder
        self.issue = pair.doors.issuer.token
        parts = urlsplit(pair.doors.one.url)
        self.port = parts.port or 0
        self.path = f"{parts.path}/{self.mark}"
        self.rse = self.add_rse("FAR", self.port)
        self.dataset = f"user.alice:far-{self.mark}"
        self.log_in("alice")

    def add_rse(self, name: str, port: int, *, deterministic: bool = True) -> str:
        """Make an RSE of the test's folder behind a port, which alice may use."""
        rse, admin = f"{name}-{self.mark}".upper(), self.rucio.admin
        admin.add_rse_by(
            rse, "https", "localhost", port, f"{self.path}/", IMPLEMENTATION,
            deterministic=deterministic,
        )  # fmt: skip
        admin.allow("alice", rse)
        return rse

    def opens(self, title: str, url: str) -> Endpoint:
        """Open a door with the test's token."""
        tokens = IssuedTokens(lambda: self.issue())  # noqa: PLW0108 - it changes
        ca = str(self.pair.doors.authority.ca)
        return Endpoint(title, url, ca=ca, logins=TokenLogins(tokens, "", ""))

    def log_in(self, user: str) -> None:
        """Start a server of a user."""
        service = Service("ESCAPE", self.rucio.url, self.rucio.url)
        who = ByPassword(service, Password(user, user, password_of(user)))
        self.lake = RucioLake("escape", "ESCAPE", who, Here("VEGA"), self.opens)
        settings = {"url": self.rucio.url, "identity": {"userpass": {}}}
        self.lakes = Lakes([{"name": "escape", "rucio": settings}], None, FileTokens(None))
        self.lakes._open["escape"] = self.lake
        self.uploads = Uploads(self.lakes, self.folder / "uploads")

    async def stop(self) -> None:
        """Stop it."""
        await self.uploads.close()
        await self.lakes.close()

    async def upload(self, source: Path, **wanted: Any) -> dict[str, Any]:
        """Upload, and return what has become of it."""
        told = {"source": str(source), "dataset": self.dataset, "rse": self.rse, **wanted}
        return await self.ended(self.uploads.start("escape", told)["id"])

    async def resumed(self, number: str) -> dict[str, Any]:
        """Go on, and return what has become of it."""
        self.uploads.resume(number)
        return await self.ended(number)

    async def resumed_at_last(self, number: str) -> None:
        """Go on until it is done: the door may still be busy with what was cut."""
        end = time.monotonic() + 120
        while (job := await self.resumed(number))["state"] != "done":
            assert time.monotonic() < end, job
            await asyncio.sleep(0.1)

    async def ended(self, number: str) -> dict[str, Any]:
        """Wait until an upload has ended."""
        job = self.uploads._job(number)
        if job.task is not None:
            await asyncio.wait([job.task])
        return job.told()

    def there(self) -> dict[str, bytes]:
        """Return what lies behind the door."""
        root = self.pair.path(self.pair.doors.one, "")
        files = (path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}

    async def registered(self, rse: str = "") -> dict[str, bytes]:
        """Return what is in the dataset and available at the RSE, by its path behind the door."""
        if not await self.is_known(self.dataset):
            return {}
        found = (await self.lake.children(self.dataset)).entries
        replicas = await self.lake.replicas_of([entry.path for entry in found])
        there, names = self.there(), {}
        for entry in found:
            (one,) = replicas[entry.path]
            assert (one.rse, one.state) == (rse or self.rse, "available")
            (pfn,) = one.pfns
            name = pfn.partition(f"{self.path}/")[2]
            keys = (await self.lake.details(entry.path)).metadata
            data = there[name]
            assert (entry.size, keys["adler32"]) == (len(data), f"{zlib.adler32(data):08x}")
            assert keys["md5"] == hashlib.md5(data).hexdigest()
            names[name] = data
        return names

    async def is_known(self, name: str) -> bool:
        """Say whether Rucio knows a DID, or a file of alice's."""
        try:
            await self.lake.details(name if ":" in name else f"user.alice:{name}")
        except LakeError as error:
            if error.code != "not-found":
                raise
            return False
        return True


@pytest.fixture
async def far(rucio: RunningRucio, doors: XrootdDoors, tmp_path: Path) -> AsyncIterator[Far]:
    pair = DoorPair(doors)
    made = Far(rucio, pair, tmp_path)
    yield made
    await made.stop()
    await pair.close()


def write(path: Path, content: bytes) -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def tree(folder: Path) -> Path:
    """Write the files of TREE below a folder."""
    for name, data in TREE.items():
        write(folder / name, data)
    return folder


@pytest.mark.parametrize("deterministic", [True, False])
async def test_a_folder_gets_to_an_rse_elsewhere(
    far: Far, tmp_path: Path, *, deterministic: bool
) -> None:
    rse = far.rse if deterministic else far.add_rse("POOLED", far.port, deterministic=False)
    prefix = f"{far.mark}.zarr/"
    source = tree(tmp_path / "field.zarr")
    for _ in range(2):  # the second time, all is there already
        job = await far.upload(source, prefix=prefix, rse=rse, days=9, metadata={"year": 2024})
        assert (job["state"], job["error"]) == ("done", None)
        assert job["progress"]["files_done"] == len(TREE)
        assert job["progress"]["size_done"] == sum(map(len, TREE.values()))
        place = hash_path if deterministic else lambda scope, name: f"{scope}/{name}"
        wanted = {place("user.alice", prefix + name): data for name, data in TREE.items()}
        assert far.there() == wanted
        assert await far.registered(rse) == wanted
    rules = await far.lake.rules_of(far.dataset)
    assert [(rule.rse, rule.comment) for rule in rules] == [(rse, "upload")]
    assert (await far.lake.details(far.dataset)).metadata["year"] == 2024
    assert not list((tmp_path / "uploads").iterdir())


async def test_a_cut_upload_goes_on(far: Far, tmp_path: Path) -> None:
    source = tmp_path / "many"
    for number in range(12):
        write(source / f"{number:02}", secrets.token_bytes(300_000))
    prefix = f"{far.mark}/"
    async with Cable(far.port) as cable:
        rse = far.add_rse("CUT", cable.port)
        cable.cut_after(up=2_500_000)
        job = await far.upload(source, prefix=prefix, rse=rse)
        assert (job["state"], job["error"]["code"]) == ("failed", "unreachable")
        arrived = await far.registered(rse)  # each of them whole
        assert 0 < len(arrived) < 12
        assert job["progress"]["files_done"] == len(arrived)
        cable.mend()
        await far.resumed_at_last(job["id"])
        whole = {
            hash_path("user.alice", prefix + path.name): path.read_bytes()
            for path in source.iterdir()
        }
        assert far.there() == whole
        assert await far.registered(rse) == whole


async def test_what_arrives_damaged_is_not_registered(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / f"{far.mark}.bin", b"x" * 1000)
    look = WebdavLake.size_and_digest

    async def damaged(lake: WebdavLake, path: str, **more: Any) -> Any:
        return (await look(lake, path, **more))[0], "adler32:00000001"

    with monkeypatch.context() as patched:
        patched.setattr(WebdavLake, "size_and_digest", damaged)
        job = await far.upload(source)
    assert (job["state"], job["error"]["code"]) == ("failed", "damaged")
    assert far.there() == {}
    assert not await far.is_known(source.name)
    assert (await far.resumed(job["id"]))["state"] == "done"
    assert list((await far.registered()).values()) == [b"x" * 1000]


async def test_a_door_that_does_not_let_us_says_so(far: Far, tmp_path: Path) -> None:
    source = write(tmp_path / f"{far.mark}.bin", b"x")
    far.issue = lambda: far.pair.doors.issuer.token(scope="storage.read:/")
    job = await far.upload(source)
    assert (job["state"], job["error"]["code"]) == ("failed", "denied")
    assert f"You may not do that at {far.rse} of ESCAPE." in job["error"]["message"]
    assert far.there() == {}
    assert not await far.is_known(source.name)


async def test_a_token_that_ends_is_replaced_once(far: Far, tmp_path: Path) -> None:
    issuer = far.pair.doors.issuer
    source = tree(tmp_path / "field")
    far.issue = lambda: issuer.token(seconds=-10)
    job = await far.upload(source, prefix=f"{far.mark}/")
    assert (job["state"], job["error"]["code"]) == ("failed", "expired")
    assert far.there() == {}
    assert await far.registered() == {}
    given = 0

    def ends_once() -> str:
        nonlocal given
        given += 1
        return issuer.token(seconds=-10) if given == 5 else issuer.token()

    far.issue = ends_once
    job = await far.resumed(job["id"])
    assert (job["state"], job["error"]) == ("done", None)
    assert len(await far.registered()) == len(TREE)


async def test_what_rucio_refuses_is_removed_from_the_door(far: Far, tmp_path: Path) -> None:
    await far.stop()
    far.log_in("bob")  # who may not add replicas
    far.rucio.admin.allow("bob", far.rse)
    source = tree(tmp_path / "bobs")
    job = await far.upload(source, dataset=f"user.bob:{far.mark}", prefix=f"{far.mark}/")
    assert (job["state"], job["error"]["code"]) == ("failed", "denied")
    assert far.there() == {}


async def test_another_file_at_that_place_stays(far: Far, tmp_path: Path) -> None:
    rse = far.add_rse("POOLED", far.port, deterministic=False)
    source = write(tmp_path / f"{far.mark}.bin", b"mine")
    place = f"user.alice/{source.name}"
    far.pair.path(far.pair.doors.one, "user.alice").mkdir()
    far.pair.put(far.pair.doors.one, place, b"hers")
    job = await far.upload(source, rse=rse)
    assert (job["state"], job["error"]["code"]) == ("failed", "conflict")
    await far.uploads.cancel(job["id"])
    assert far.there() == {place: b"hers"}
    assert not await far.is_known(source.name)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_server_that_was_killed_before_it_registered(
    far: Far, tmp_path: Path, *, cancelled: bool
) -> None:
    """The door has the whole file, and Rucio knows nothing: the next server goes on, or removes."""
    source = write(tmp_path / f"{far.mark}.bin", secrets.token_bytes(500_000))
    wanted = {"source": str(source), "dataset": far.dataset, "rse": far.rse}
    number = far.uploads.start("escape", wanted)["id"]
    begun = tmp_path / "uploads" / f"{number}.begun"
    await far.stop()  # before it has begun: another process is killed in its place
    killed = await asyncio.to_thread(
        subprocess.run,
        [
            sys.executable, "-c", textwrap.dedent(KILLED), far.rucio.url, password_of("alice"),
            far.issue(), str(far.pair.doors.authority.ca), number, str(source), far.dataset,
            far.rse, str(begun),
        ],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert killed.returncode == 9, killed.stderr
    place = hash_path("user.alice", source.name)
    assert far.there() == {place: source.read_bytes()}
    assert not await far.is_known(source.name)
    far.log_in("alice")
    assert [(job["id"], job["state"]) for job in far.uploads.listed()] == [(number, "cut")]
    if cancelled:
        await far.uploads.cancel(number)
        assert far.there() == {}
        assert not await far.is_known(source.name)
    else:
        assert (await far.resumed(number))["error"] is None
        assert await far.registered() == far.there() == {place: source.read_bytes()}
    assert not begun.exists()


async def test_what_a_killed_server_has_half_sent_is_sent_anew(far: Far, tmp_path: Path) -> None:
    content = secrets.token_bytes(500_000)
    source = write(tmp_path / f"{far.mark}.bin", content)
    wanted = {"source": str(source), "dataset": far.dataset, "rse": far.rse}
    number = far.uploads.start("escape", wanted)["id"]
    await far.stop()
    place = hash_path("user.alice", source.name)
    Begun(tmp_path / "uploads" / f"{number}.begun").add(place)
    door, folder = far.pair.doors.one, ""
    for name in place.split("/")[:-1]:
        folder = f"{folder}/{name}".strip("/")
        far.pair.path(door, folder).mkdir()
        far.pair.path(door, folder).chmod(0o777)
    far.pair.put(door, place, content[:200_000])
    far.log_in("alice")
    assert (await far.resumed(number))["error"] is None
    assert await far.registered() == far.there() == {place: content}


async def test_what_can_not_be_uploaded_there(far: Far, tmp_path: Path) -> None:
    source = write(tmp_path / f"{far.mark}.bin", b"x")
    tries = [("PSNC", "unsupported", "no WebDAV door"), ("NONE", "not-found", "")]
    for rse, code, words in tries:
        job = await far.upload(source, rse=rse)
        assert (job["state"], job["error"]["code"]) == ("failed", code)
        assert words in job["error"]["message"]
        with pytest.raises(LakeError):
            await far.lake.details(far.dataset)  # nothing was made
        await far.uploads.cancel(job["id"])
    with pytest.raises(LakeError) as refusal:
        await far.upload(source, link=True)
    assert refusal.value.code == "wrong-input"
    far.lake.doors._opens = None
    job = await far.upload(source)
    assert (job["state"], job["error"]["code"]) == ("failed", "login")
    assert "take tokens and certificates only" in job["error"]["message"]
    far.rucio.admin.call("PUT", f"/rses/{far.rse}", {"availability_write": False})
    job = await far.upload(source)
    assert "takes no files now" in job["error"]["message"]
    assert far.there() == {}


def test_the_door_that_an_rse_prefers_for_writing_from_elsewhere() -> None:
    def one(scheme: str, port: int, write: int | None, prefix: str = "/x/") -> dict[str, Any]:
        domains = {"lan": {"write": 1}, "wan": {"read": 1, "write": write}}
        door = {"hostname": "door.example.org", "port": port, "prefix": prefix}
        return {"scheme": scheme, "domains": domains, **door}

    none = [one("root", 1, 1), one("http", 2, 1), one("https", 3, 0), one("davs", 4, None)]
    assert door_of({"protocols": none}) is None
    assert door_of({}) is None
    found = door_of({"protocols": [*none, one("https", 5, 2), one("davs", 6, 1, "/a b/")]})
    assert found is not None
    assert found.url == "https://door.example.org:6/a%20b"
    assert found.start == "davs://door.example.org:6/a b"


class Asked:
    """Notes for what it is asked."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    async def token(self, audience: str, scope: str) -> Token:
        """Return a token."""
        self.pairs.append((audience, scope))
        return Token("a-token")


async def test_doors_get_the_lakes_own_token_and_never_its_password() -> None:
    tokens = Asked()

    def lake(identity: dict[str, Any]) -> Any:
        settings = {"url": "https://rucio.example.org", "ca": "/ca.pem", "identity": identity}
        return make_rucio(Made("escape", "ESCAPE", settings, None, tokens, None))

    opened = lake({"oidc": {"audience": "rucio", "scope": "openid"}}).doors._opens("A", "https://a")
    assert (await opened.logins.login()).header == "Bearer a-token"
    assert (tokens.pairs, opened.title, opened._ca) == ([("rucio", "openid")], "A", "/ca.pem")
    opened = lake({"x509": {"proxy": "/tmp/proxy"}}).doors._opens("A", "https://a")
    assert opened._certificate == "/tmp/proxy"
    assert lake({"userpass": {}}).doors._opens is None
