"""Transfers by FTS3's REST, which a stand-in speaks; the bytes go between real doors."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from farlab_real.door_pair import DoorPair
from farlab_real.fts_stand_in import FtsStandIn
from farlab_real.storage_fixtures import IssuedTokens
from farlab_real.xrootd import XrootdDoors
from farlab_server_ext.datalake.endpoint import Endpoint
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.logins import TokenLogins
from farlab_server_ext.datalake.storage.webdav import WebdavLake
from farlab_server_ext.datalake.transfers.fts import Fts, Progressed, ended_token
from farlab_server_ext.datalake.transfers.journal import Journal
from farlab_server_ext.datalake.transfers.model import File
from farlab_server_ext.datalake.transfers.tpc import Outcome
from farlab_server_ext.datalake.transfers.transfers import Order, Transfers

MIB = 1024 * 1024


class Desk:
    """Transfers by FTS; a test can end the tokens."""

    def __init__(self, pair: DoorPair, fts: FtsStandIn, journal: Path) -> None:
        self.pair = pair
        self.journal = journal
        self.seconds = 3600.0
        self.lakes = {
            "one": pair.lake(pair.doors.one, self.issue),
            "other": pair.lake(pair.doors.other, self.issue),
        }
        logins = TokenLogins(IssuedTokens(self.issue), "", "")
        self.fts = Fts(Endpoint("FTS", fts.url, logins=logins))
        self.transfers = self.again()

    def again(self) -> Transfers:
        return Transfers(Journal(self.journal), self.lake, fts=lambda _: self.fts, poll=0.2)

    def issue(self) -> str:
        return self.pair.doors.issuer.token(seconds=self.seconds)

    def lake(self, name: str) -> WebdavLake:
        return self.lakes[name]

    def order(self, *names: str) -> Order:
        files = [(name, f"in/{name}") for name in names]
        return Order("one", "other", files, by_fts=True)


@pytest.fixture
async def desk(doors: XrootdDoors, fts: FtsStandIn, tmp_path: Path) -> AsyncIterator[Desk]:
    pair = DoorPair(doors)
    made = Desk(pair, fts, tmp_path / "transfers.sqlite")
    await made.transfers.start()
    yield made
    await made.transfers.close()
    await made.fts.endpoint.close()
    await pair.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.05)


async def test_files_arrive(desk: Desk) -> None:
    contents = {f"f {number}": secrets.token_bytes(MIB) for number in range(3)}
    for name, content in contents.items():
        desk.pair.put(desk.pair.doors.one, name, content)
    transfer = await desk.transfers.submit(desk.order(*contents))
    ended = await desk.transfers.ended(transfer.id)
    assert ended.state == "done", ended.files
    for name, content in contents.items():
        assert desk.pair.arrived(f"in/{name}") == content
    assert len({file.handle for file in ended.files}) == 1


async def test_a_file_that_fails_and_is_tried_again(desk: Desk) -> None:
    one = desk.pair.doors.one
    desk.pair.put(one, "good", b"good")
    desk.pair.put(one, "bad", b"bad")
    desk.pair.path(one, "bad").chmod(0)
    transfer = await desk.transfers.submit(desk.order("good", "bad"))
    ended = await desk.transfers.ended(transfer.id)
    assert ended.state == "partly"
    first, second = ended.files
    assert (first.state, second.state) == ("done", "failed")
    assert second.reason
    desk.pair.path(one, "bad").chmod(0o644)
    await desk.transfers.retry(transfer.id)
    again = await desk.transfers.ended(transfer.id)
    assert again.state == "done", again.files
    assert again.files[0] == first
    assert again.files[1].handle != second.handle
    assert desk.pair.arrived("in/bad") == b"bad"


async def test_an_ended_token_and_a_fresh_one(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", b"content")
    # The token is good when its file is looked at, and has ended when the door sees it.
    real = desk.fts.submit

    async def submit(*args: object, **more: object) -> str:
        desk.seconds = -10 if first else 7200
        first.clear()
        return await real(*args, **more)  # type: ignore[arg-type]

    first = [True]
    desk.fts.submit = submit  # type: ignore[method-assign]
    desk.seconds = 29  # within the margin that a token counts as ended
    transfer = await desk.transfers.submit(desk.order("f"))
    await until(lambda: desk.transfers.get(transfer.id).state == "expired")
    assert desk.pair.arrived("in/f") in (None, b"")
    desk.seconds = 7200
    await until(lambda: desk.transfers.get(transfer.id).state == "done")
    assert desk.pair.arrived("in/f") == b"content"
    assert desk.transfers.get(transfer.id).started == 2


async def test_it_is_found_again_after_a_restart(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", secrets.token_bytes(8 * MIB))
    transfer = await desk.transfers.submit(desk.order("f"))
    await desk.transfers.close()
    desk.transfers = desk.again()
    await desk.transfers.start()
    assert (await desk.transfers.ended(transfer.id)).state == "done"


async def test_a_job_that_fts_has_forgotten(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", b"content")
    transfer = await desk.transfers.submit(desk.order("f"))
    await desk.transfers.close()
    journal = Journal(desk.journal)
    (kept,) = journal.read()
    journal.put(kept.with_file(0, state="active", handle="no-such-job"))
    desk.transfers = desk.again()
    await desk.transfers.start()
    ended = await desk.transfers.ended(transfer.id)
    assert (ended.state, ended.files[0].reason) == ("failed", "FTS does not know it any more.")


async def test_it_is_cancelled(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", secrets.token_bytes(64 * MIB))
    transfer = await desk.transfers.submit(desk.order("f"))
    await desk.transfers.cancel(transfer.id)
    assert desk.transfers.get(transfer.id).state in ("cancelled", "done")
    async with asyncio.timeout(120):
        # The cancelled copy may hold the file for a while at the door.
        while (await desk.transfers.ended(transfer.id)).state != "done":
            await desk.transfers.retry(transfer.id)
            await asyncio.sleep(0.2)


async def test_one_call_for_many_jobs(desk: Desk) -> None:
    for number in range(3):
        desk.pair.put(desk.pair.doors.one, f"f{number}", b"content")
    jobs = [
        await desk.fts.submit(
            desk.lakes["one"],
            desk.lakes["other"],
            [File(f"f{number}", f"f{number}", 7)],
            overwrite=False,
        )
        for number in range(3)
    ]
    assert set(await desk.fts.poll([*jobs, "no-such-job"])) == set(jobs)
    assert await desk.fts.poll(["no-such-job"]) == {}
    assert await desk.fts.poll([]) == {}


async def test_two_jobs_for_one_destination(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", secrets.token_bytes(64 * MIB))
    results = await asyncio.gather(
        *(desk.transfers.submit(desk.order("f")) for _ in range(2)), return_exceptions=True
    )
    taken = [one for one in results if not isinstance(one, BaseException)]
    refused = [one.code for one in results if isinstance(one, LakeError)]
    assert refused in ([], ["conflict"])  # the second came when all was through
    states = {(await desk.transfers.ended(one.id)).state for one in taken}
    assert "done" in states


async def test_what_is_there_is_not_overwritten(desk: Desk) -> None:
    desk.pair.put(desk.pair.doors.one, "f", b"content")
    transfer = await desk.transfers.submit(desk.order("f"))
    await desk.transfers.ended(transfer.id)
    with pytest.raises(LakeError) as caught:
        await desk.transfers.submit(desk.order("f"))
    assert caught.value.code == "conflict"


def test_only_an_ended_token_makes_it_expired() -> None:
    refused = Progressed(Outcome("failed", "TRANSFER failure: status code 403"), 0)
    assert ended_token(refused, 1.0).outcome.state == "expired"
    assert ended_token(refused, None).outcome.state == "failed"
    assert ended_token(refused, 1e12).outcome.state == "failed"
    other = Progressed(Outcome("failed", "No space left"), 0)
    assert ended_token(other, 1.0).outcome.state == "failed"


async def test_rubbish_from_fts(desk: Desk) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        fts = Fts(Endpoint("FTS", f"http://127.0.0.1:{port}"))
        assert await fts.poll(["x"]) == {}
        with pytest.raises(LakeError) as caught:
            await fts.submit(
                desk.lakes["one"], desk.lakes["other"], [File("a", "b")], overwrite=False
            )
        assert caught.value.code in ("bad-answer", "unreachable")
        await fts.endpoint.close()
