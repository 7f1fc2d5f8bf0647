"""The list of transfers between real doors: rates, ended tokens, restarts, a killed server."""

from __future__ import annotations

import asyncio
import json
import secrets
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from farlab_real.door_pair import DoorPair
from farlab_real.processes import Process
from farlab_real.xrootd import XrootdDoors
from farlab_server_ext.datalake.lake import Lake, LakeError
from farlab_server_ext.datalake.transfers.journal import Journal
from farlab_server_ext.datalake.transfers.model import File, Transfer
from farlab_server_ext.datalake.transfers.transfers import Order, Transfers

MIB = 1024 * 1024


@pytest.fixture
async def pair(doors: XrootdDoors) -> AsyncIterator[DoorPair]:
    made = DoorPair(doors)
    yield made
    await made.close()


class Desk:
    """A list of transfers between both doors, with tokens that a test can end."""

    def __init__(self, pair: DoorPair, journal: Path) -> None:
        self.pair = pair
        self.journal = journal
        self.seconds = 3600.0
        self.lakes: dict[str, Lake] = {
            "one": pair.lake(pair.doors.one, self.issue),
            "other": pair.lake(pair.doors.other, self.issue),
        }
        self.transfers = Transfers(Journal(journal), self.lake, poll=0.1, settled=3)

    def issue(self) -> str:
        return self.pair.doors.issuer.token(seconds=self.seconds)

    def lake(self, name: str) -> Lake:
        if name not in self.lakes:
            raise LakeError("not-found", f"There is no lake {name}.", "Look at the catalogue.")
        return self.lakes[name]

    def order(self, *names: str, **more: Any) -> Order:
        return Order("one", "other", [(name, f"in/{name}") for name in names], **more)


@pytest.fixture
async def desk(pair: DoorPair, tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(pair, tmp_path / "data" / "transfers.sqlite")
    await made.transfers.start()
    yield made
    await made.transfers.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.05)


async def test_files_arrive(desk: Desk) -> None:
    contents = {f"f{number}": secrets.token_bytes(MIB) for number in range(6)}
    for name, content in contents.items():
        desk.pair.put(desk.pair.doors.one, name, content)
    transfer = await desk.transfers.submit(desk.order(*contents, title="Six files"))
    assert (transfer.title, transfer.state) == ("Six files", "waiting")
    done = await desk.transfers.ended(transfer.id)
    assert done.state == "done"
    for name, content in contents.items():
        assert desk.pair.arrived(f"in/{name}") == content
    (listed,) = await desk.transfers.listed()
    assert (listed["files_done"], listed["bytes_done"]) == (6, 6 * MIB)
    assert listed["actions"] == ["forget"]
    desk.transfers.forget(transfer.id)
    assert await desk.transfers.listed() == []
    assert Journal(desk.journal).read() == []


async def test_some_files_fail_and_only_those_are_tried_again(desk: Desk) -> None:
    one = desk.pair.doors.one
    desk.pair.put(one, "good", b"good")
    desk.pair.put(one, "bad", b"bad")
    (desk.pair.path(one, "bad")).chmod(0)
    transfer = await desk.transfers.submit(desk.order("good", "bad"))
    ended = await desk.transfers.ended(transfer.id)
    assert (ended.state, [file.state for file in ended.files]) == ("partly", ["done", "failed"])
    (desk.pair.path(one, "bad")).chmod(0o644)
    before = ended.files[0]
    await desk.transfers.retry(transfer.id)
    ended = await desk.transfers.ended(transfer.id)
    assert ended.state == "done"
    assert ended.files[0] == before
    assert desk.pair.arrived("in/bad") == b"bad"


async def test_what_is_there_is_never_overwritten_by_trying_again(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", b"content")
    transfer = await desk.transfers.submit(desk.order("f"))
    await desk.transfers.ended(transfer.id)
    desk.pair.put(desk.pair.doors.one, "f", b"newer content")
    transfer = await desk.transfers.submit(desk.order("f"))
    for _ in range(2):
        ended = await desk.transfers.ended(transfer.id)
        assert ended.state == "failed"
        assert "another file" in ended.files[0].reason
        assert desk.pair.arrived("in/f") == b"content"
        await desk.transfers.retry(transfer.id)
    await desk.transfers.ended(transfer.id)


async def test_what_can_not_be_ordered(desk: Desk) -> None:
    orders = [
        (desk.order(), "wrong-input"),
        (desk.order("nothing"), "not-found"),
        (Order("one", "nowhere", [("a", "b")]), "not-found"),
        (desk.order("../../etc/passwd"), "wrong-input"),
        (desk.order("a", by_fts=True), "unsupported"),
    ]
    for order, code in orders:
        with pytest.raises(LakeError) as caught:
            await desk.transfers.submit(order)
        assert caught.value.code == code
    for call in (desk.transfers.cancel("x"), desk.transfers.retry("x")):
        with pytest.raises(LakeError) as caught:
            await call
        assert caught.value.code == "not-found"
    assert await desk.transfers.listed() == []


async def test_an_ended_token_stops_it_and_a_fresh_one_starts_it_again(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", b"content")
    release = asyncio.Event()
    real = desk.lakes["other"].make_folders  # type: ignore[attr-defined]

    async def waits(path: str) -> None:
        await real(path)
        await release.wait()

    desk.lakes["other"].make_folders = waits  # type: ignore[attr-defined]
    transfer = await desk.transfers.submit(desk.order("f"))
    await until(lambda: desk.transfers.get(transfer.id).files[0].state == "active")
    desk.seconds = -10
    release.set()
    ended = await desk.transfers.ended(transfer.id)
    assert (ended.state, ended.as_json()["actions"]) == ("expired", ["retry", "forget"])
    assert "fresh" in ended.files[0].reason or "ended" in ended.files[0].reason
    desk.seconds = 7200
    await until(lambda: desk.transfers.get(transfer.id).state == "done")
    assert desk.transfers.get(transfer.id).started == 2
    assert desk.pair.arrived("in/f") == b"content"


async def test_by_one_click_where_it_shall_not_start_by_itself(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", b"content")
    transfer = await desk.transfers.submit(desk.order("f", renew=False))
    await desk.transfers.ended(transfer.id)
    kept = desk.transfers.get(transfer.id)
    expired = kept.with_file(0, state="expired")
    desk.transfers._kept[transfer.id] = expired
    desk.pair.path(desk.pair.doors.other, "in/f").write_bytes(b"")
    await asyncio.sleep(0.5)  # several looks, none of which may start it
    assert desk.transfers.get(transfer.id).state == "expired"
    await desk.transfers.retry(transfer.id)
    assert (await desk.transfers.ended(transfer.id)).state == "done"
    assert desk.pair.arrived("in/f") == b"content"


async def test_a_transfer_that_will_outlive_its_token(desk: Desk) -> None:
    now = time.time()
    large = File("a", "b", size=10**12)
    small = File("a", "b", size=1000)
    for file, ends, outlives in (
        (large, now + 3600, True),
        (small, now + 3600, False),
        (large, None, False),
    ):
        transfer = Transfer("x", "copy", "one", "other", (file,), ends=ends)
        assert transfer.as_json()["outlives_token"] is outlives


async def test_it_is_cancelled_in_the_middle(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", secrets.token_bytes(64 * MIB))
    transfer = await desk.transfers.submit(desk.order("f"))
    await until(lambda: desk.transfers.get(transfer.id).files[0].state != "waiting")
    with pytest.raises(LakeError):
        desk.transfers.forget(transfer.id)
    await desk.transfers.cancel(transfer.id)
    state = desk.transfers.get(transfer.id).state
    assert state in ("cancelled", "done")
    left = desk.pair.arrived("in/f")
    assert left is None or len(left) == 64 * MIB
    async with asyncio.timeout(120):
        # The door may hold the file for a while.
        while (await desk.transfers.ended(transfer.id)).state != "done":
            await desk.transfers.retry(transfer.id)
    assert len(desk.pair.arrived("in/f") or b"") == 64 * MIB


async def test_changes_are_told(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", b"content")
    changes = desk.transfers.changes()
    await anext(changes)
    await desk.transfers.submit(desk.order("f"))
    async with asyncio.timeout(60):
        await anext(changes)
    await changes.aclose()


class OtherList:
    prefix = "rule:"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def listed(self) -> list[dict[str, Any]]:
        return [{"id": "rule:abc", "created": 5.0}]

    async def cancel(self, identifier: str) -> None:
        self.asked.append(f"cancel {identifier}")

    async def retry(self, identifier: str) -> None:
        self.asked.append(f"retry {identifier}")


async def test_rules_are_in_the_same_list(tmp_path: Path) -> None:
    other = OtherList()
    transfers = Transfers(Journal(tmp_path / "t"), lambda _: NotImplemented, others=[other])
    assert [one["id"] for one in await transfers.listed()] == ["rule:abc"]
    await transfers.cancel("rule:abc")
    await transfers.retry("rule:abc")
    assert other.asked == ["cancel rule:abc", "retry rule:abc"]


def test_the_journal_is_private_and_holds_no_token(tmp_path: Path) -> None:
    path = tmp_path / "data" / "transfers.sqlite"
    journal = Journal(path)
    transfer = Transfer("x", "copy", "one", "other", (File("a", "b", 7, "adler32:0"),), ends=5.0)
    journal.put(transfer)
    assert journal.read() == [transfer]
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"Bearer" not in path.read_bytes()


SERVER = """
import asyncio, json, sys
from pathlib import Path
from farlab_server_ext.datalake.endpoint import Endpoint
from farlab_server_ext.datalake.logins import TokenLogins
from farlab_server_ext.datalake.storage.webdav import WebdavLake
from farlab_server_ext.datalake.tokens import FileTokens
from farlab_server_ext.datalake.transfers.journal import Journal
from farlab_server_ext.datalake.transfers.transfers import Order, Transfers

given = json.loads(sys.argv[1])

async def main():
    logins = TokenLogins(FileTokens(Path(given["token"])), "", "")
    lakes = {
        name: WebdavLake(name, name, Endpoint(name, url, ca=given["ca"], logins=logins))
        for name, url in given["lakes"].items()
    }
    transfers = Transfers(Journal(Path(given["journal"])), lakes.__getitem__)
    await transfers.start()
    files = [(name, "in/" + name) for name in given["files"]]
    transfer = await transfers.submit(Order("one", "other", files))
    async for _ in transfers.changes():
        if any(file.state == "active" for file in transfers.get(transfer.id).files):
            print("active", flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_server_comes_back_with_every_transfer(
    pair: DoorPair, tmp_path: Path
) -> None:
    names = [f"f{number}" for number in range(10)]
    for name in names:
        pair.put(pair.doors.one, name, name.encode() * MIB * 2)
    token = tmp_path / "token"
    token.write_text(pair.doors.issuer.token())
    journal = tmp_path / "transfers.sqlite"
    given = {
        "token": str(token),
        "ca": str(pair.doors.authority.ca),
        "journal": str(journal),
        "files": names,
        "lakes": {
            name: f"{door.url}/{pair.folder}"
            for name, door in (("one", pair.doors.one), ("other", pair.doors.other))
        },
    }
    server = Process([sys.executable, "-c", SERVER, json.dumps(given)], tmp_path / "log")
    server.start()
    try:
        await asyncio.to_thread(
            server.wait_until, lambda: "active" in server.read_log(), "a transfer begins"
        )
        server.kill()
    finally:
        server.stop()
    desk = Desk(pair, journal)
    (kept,) = Journal(journal).read()
    await desk.transfers.start()
    async with asyncio.timeout(200):
        ended = await desk.transfers.ended(kept.id)
    assert ended.state == "done", [file.reason for file in ended.files]
    for name in names:
        assert pair.arrived(f"in/{name}") == name.encode() * MIB * 2
    await desk.transfers.close()
