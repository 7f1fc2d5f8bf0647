"""The list of transfers: starts them, follows them, and brings them through a restart.

transfers = Transfers(Journal(folder / "transfers.sqlite"), lakes.__getitem__)
await transfers.start()
transfer = await transfers.submit(Order("vega", "psnc", [("a/f", "b/f")]))
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..lake import Lake, LakeError
from ..storage.webdav import WebdavLake
from .fts import Fts, Progressed, ended_token
from .journal import Journal
from .model import ENDED, File, Transfer
from .tpc import BEGUN, SETTLED, Outcome
from .ways import Carrier, carrier, expanded, way_of

LOG = logging.getLogger(__name__)
AT_ONCE = 4
"""Files that doors copy for us at the same time."""
POLL = 5.0
"""Seconds between two looks at FTS, and at tokens that have ended."""
SMOOTH = 0.5
"""How much of a rate the newest one makes."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a user wants carried: pairs of paths in two lakes."""

    source: str
    destination: str
    files: Sequence[tuple[str, str]]
    title: str = ""
    overwrite: bool = False
    renew: bool = True
    by_fts: bool = False


class OtherTransfers(Protocol):
    """Transfers that someone else keeps, such as the rules of a Rucio, in the same list."""

    prefix: str
    """What their names begin with."""

    async def listed(self) -> Sequence[dict[str, Any]]:
        """Return them in the shape of `Transfer.as_json`."""
        ...

    async def cancel(self, identifier: str) -> None:
        """Stop one."""
        ...

    async def retry(self, identifier: str) -> None:
        """Start one again."""
        ...


class Transfers:
    """One user's transfers."""

    def __init__(
        self,
        journal: Journal,
        lake: Callable[[str], Lake],
        *,
        fts: Callable[[str], Fts | None] = lambda _: None,
        others: Sequence[OtherTransfers] = (),
        poll: float = POLL,
        settled: float = SETTLED,
    ) -> None:
        self._journal = journal
        self._lake = lake
        self._fts = fts
        self._others = others
        self._poll = poll
        self._settled = settled
        self._kept: dict[str, Transfer] = {}
        self._running: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._changed = asyncio.Event()
        self._version = 0
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the journal, and go on with what is not through."""
        self._kept = {one.id: one for one in self._journal.read()}
        for transfer in [*self._kept.values()]:
            if transfer.way != "fts":
                self._carry(transfer.id)
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop following; what is on its way is found again by the next `start`."""
        tasks = [*self._running.values(), *([self._watcher] if self._watcher else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._journal.close()

    # -- what is there ----------------------------------------------------------------------------

    async def listed(self) -> list[dict[str, Any]]:
        """Return all of them for the API, the newest first; a list that fails says so."""
        found = [transfer.as_json() for transfer in self._kept.values()]
        for other in self._others:
            found += await other.listed()
        return sorted(found, key=lambda one: -float(one["created"]))

    def get(self, identifier: str) -> Transfer:
        """Return one of our own."""
        try:
            return self._kept[identifier]
        except KeyError:
            words = "There is no such transfer."
            raise LakeError("not-found", words, "Look at the list again.") from None

    async def changes(self) -> AsyncGenerator[None, None]:
        """Yield whenever something has changed, from now on."""
        while True:
            seen = self._version
            yield
            while self._version == seen:
                await self._changed.wait()

    async def ended(self, identifier: str) -> Transfer:
        """Return a transfer when none of its files is on its way any more."""
        async for _ in self.changes():
            transfer = self.get(identifier)
            if all(file.state in ENDED for file in transfer.files):
                return transfer
        raise AssertionError

    # -- what a user does -------------------------------------------------------------------------

    async def submit(self, order: Order) -> Transfer:
        """Take an order, and begin; raise LakeError for what can't work."""
        if not order.files:
            raise LakeError("wrong-input", "That is no file.", "Choose at least one.")
        source, destination = self._lake(order.source), self._lake(order.destination)
        way = way_of(source, destination)
        if order.by_fts:
            self._known_fts(order.destination)
        files = []
        for path, target, entry in await expanded(source, order.files):
            if order.by_fts and not order.overwrite:
                await _refuse_existing(destination, target)
            files.append(File(path, target, entry.size, entry.checksum))
        transfer = Transfer(
            str(uuid.uuid4()),
            "fts" if order.by_fts else way,
            order.source,
            order.destination,
            tuple(files),
            order.title or order.files[0][0],
            order.overwrite,
            order.renew,
        )
        return await self._begin(transfer)

    async def cancel(self, identifier: str) -> None:
        """Stop a transfer, and remove the halves of files that it has left."""
        other = self._other(identifier)
        if other is not None:
            await other.cancel(identifier)
            return
        transfer = self.get(identifier)
        jobs = {file.handle for file in transfer.files if file.state not in ENDED and file.handle}
        if transfer.way == "fts" and jobs:
            await self._known_fts(transfer.destination).cancel([*jobs])
        halves = [file for file in transfer.files if file.state == "active"]
        await self._stop(identifier)
        for number, file in enumerate(self.get(identifier).files):
            if file.state not in ENDED:
                self._set(identifier, number, state="cancelled", reason="You have cancelled it.")
        if transfer.way != "fts":
            copy = self._copy(transfer)
            for file in halves:
                await copy.discard(file)

    async def retry(self, identifier: str) -> None:
        """Start the files again that have not arrived, with the tokens of now."""
        other = self._other(identifier)
        if other is not None:
            await other.retry(identifier)
            return
        transfer = self.get(identifier)
        await self._stop(identifier)
        for number, file in enumerate(transfer.files):
            if file.unfinished:
                handle = BEGUN if file.handle else ""
                changes: dict[str, Any] = {"bytes_done": 0, "rate": 0.0, "handle": handle}
                self._set(identifier, number, state="waiting", reason="", **changes)
        await self._begin(self.get(identifier))

    def forget(self, identifier: str) -> None:
        """Take a transfer that has ended from the list."""
        if any(file.state not in ENDED for file in self.get(identifier).files):
            raise LakeError("conflict", "It is on its way.", "Cancel it first.")
        del self._kept[identifier]
        self._journal.forget(identifier)
        self._tell()

    # -- carrying ---------------------------------------------------------------------------------

    async def _begin(self, transfer: Transfer) -> Transfer:
        """Write a transfer down, and start its files that wait."""
        ends = await self._ends(transfer)
        begun = replace(transfer, ends=ends, started=transfer.started + 1)
        self._kept[transfer.id] = begun
        self._journal.put(begun)
        if begun.way == "fts":
            await self._submit_to_fts(begun)
        else:
            self._carry(begun.id)
        self._tell()
        return self.get(transfer.id)

    async def _ends(self, transfer: Transfer) -> float | None:
        """Return when the first of both tokens ends."""
        ends = []
        for lake in (self._lake(transfer.source), self._lake(transfer.destination)):
            if isinstance(lake, WebdavLake):
                login = await lake.endpoint.logins.login()
                ends += [login.ends] if login.ends is not None else []
        return min(ends, default=None)

    def _copy(self, transfer: Transfer) -> Carrier:
        source, destination = self._lake(transfer.source), self._lake(transfer.destination)
        return carrier(transfer.way, source, destination, self._settled)

    def _carry(self, identifier: str) -> None:
        """Let the doors copy what is not through."""
        for number, file in enumerate(self.get(identifier).files):
            if file.state in ("waiting", "active", "unknown"):
                task = asyncio.create_task(self._carry_file(identifier, number))
                self._running[identifier, number] = task

    async def _carry_file(self, identifier: str, number: int) -> None:
        async with self._at_once:
            transfer = self.get(identifier)
            file = transfer.files[number]
            begun = time.monotonic()
            last = (begun, 0)

            def progress(done: int) -> None:
                nonlocal last
                now = time.monotonic()
                if not self.get(identifier).files[number].handle:
                    self._set(identifier, number, handle=BEGUN)
                if now > last[0]:
                    rate = (done - last[1]) / (now - last[0])
                    self._progress(identifier, number, done, rate)
                    last = now, done

            try:
                copy = self._copy(transfer)
                self._set(identifier, number, state="active")
                outcome = await copy.run(file, overwrite=transfer.overwrite, progress=progress)
            except LakeError as error:  # a lake that is not in the catalogue any more
                outcome = Outcome("failed", f"{error.message} {error.fix}")
            except Exception:
                LOG.exception("Farlab could not copy a file")
                outcome = Outcome("failed", "Farlab has made a mistake; the server's log tells.")
        del self._running[identifier, number]
        self._end(identifier, number, outcome)

    async def _submit_to_fts(self, transfer: Transfer) -> None:
        """Give FTS the files that wait, as one job of their own."""
        waiting = [n for n, file in enumerate(transfer.files) if file.state == "waiting"]
        files = [transfer.files[number] for number in waiting]
        source, destination = self._lake(transfer.source), self._lake(transfer.destination)
        overwrite = transfer.overwrite or transfer.started > 1  # a stub of ours may lie there
        try:
            fts = self._known_fts(transfer.destination)
            job = await fts.submit(source, destination, files, overwrite=overwrite)
            changes = {"handle": job}
        except LakeError as error:
            changes = {"state": "failed", "reason": f"{error.message} {error.fix}"}
        for number in waiting:
            self._set(transfer.id, number, **changes)

    async def _stop(self, identifier: str) -> None:
        tasks = [task for (name, _), task in self._running.items() if name == identifier]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key in [key for key in self._running if key[0] == identifier]:
            del self._running[key]

    # -- watching ---------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            try:
                await self._look_at_fts()
                for transfer in [*self._kept.values()]:
                    if transfer.renew and transfer.state == "expired":
                        await self._renew(transfer)
            except Exception:  # or no transfer would go on until the server starts anew
                LOG.exception("Farlab could not look after its transfers")
            await asyncio.sleep(self._poll)

    async def _look_at_fts(self) -> None:
        """Ask each FTS once for all its jobs."""
        live: dict[str, list[tuple[str, int, File]]] = {}
        for transfer in self._kept.values():
            for number, file in enumerate(transfer.files):
                if transfer.way == "fts" and file.state not in ENDED and file.handle:
                    live.setdefault(transfer.destination, []).append((transfer.id, number, file))
        for destination, files in live.items():
            with suppress(LakeError):  # the next look may succeed
                jobs = sorted({file.handle for _, _, file in files})
                found = await self._known_fts(destination).poll(jobs)
                self._note(files, found)

    def _note(
        self,
        files: Sequence[tuple[str, int, File]],
        found: Mapping[str, Mapping[str, Progressed]],
    ) -> None:
        for identifier, number, file in files:
            told = self._told(identifier, file, found.get(file.handle, {}))
            if told.outcome.state in ENDED:
                self._end(identifier, number, told.outcome)
            elif (told.outcome.state, told.bytes_done) != (file.state, file.bytes_done):
                self._set(identifier, number, state=told.outcome.state, bytes_done=told.bytes_done)

    def _told(self, identifier: str, file: File, job: Mapping[str, Progressed]) -> Progressed:
        """Return what a job says of one of our files."""
        transfer = self.get(identifier)
        try:
            lake = self._lake(transfer.destination)
        except LakeError as error:  # it is not in the catalogue any more
            return Progressed(Outcome("failed", error.message), 0)
        url = lake.url(file.destination) if isinstance(lake, WebdavLake) else ""
        gone = Progressed(Outcome("failed", "FTS does not know it any more."), 0)
        return ended_token(job.get(url, gone), transfer.ends)

    async def _renew(self, transfer: Transfer) -> None:
        """Start a transfer again, if both its tokens are younger now than they were."""
        with suppress(LakeError):  # there is none yet
            ends = await self._ends(transfer)
            if ends is not None and ends > max(transfer.ends or 0, time.time()):
                await self.retry(transfer.id)

    # -- state ------------------------------------------------------------------------------------

    def _progress(self, identifier: str, number: int, done: int, rate: float) -> None:
        """Note how far a file is; that is not worth a write to the disk."""
        file = self._kept[identifier].files[number]
        smooth = rate if not file.rate else file.rate * (1 - SMOOTH) + rate * SMOOTH
        self._kept[identifier] = self._kept[identifier].with_file(
            number, bytes_done=done, rate=smooth
        )
        self._tell()

    def _end(self, identifier: str, number: int, outcome: Outcome) -> None:
        self._set(identifier, number, state=outcome.state, reason=outcome.reason, rate=0.0)

    def _set(self, identifier: str, number: int, **changes: Any) -> None:
        """Change a file, here and on disk."""
        self._kept[identifier] = self._kept[identifier].with_file(number, **changes)
        self._journal.put(self._kept[identifier], [number])
        self._tell()

    def _tell(self) -> None:
        """Wake everyone who waits for a change."""
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _known_fts(self, destination: str) -> Fts:
        fts = self._fts(destination)
        if fts is None:
            words = f"The catalogue names no FTS for {destination}."
            raise LakeError("unsupported", words, "Copy from door to door.")
        return fts

    def _other(self, identifier: str) -> OtherTransfers | None:
        return next((one for one in self._others if identifier.startswith(one.prefix)), None)


async def _refuse_existing(lake: Lake, path: str) -> None:
    """Refuse what FTS would overwrite when it is asked again for its own halves."""
    if isinstance(lake, WebdavLake) and await lake.exists(path):
        words = f"{path} is there already."
        raise LakeError("conflict", words, "Start it with overwriting, or remove that.")
