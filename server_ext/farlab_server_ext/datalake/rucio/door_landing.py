"""An RSE elsewhere: its files are sent through its WebDAV door, with the user's login.

Each file is there whole or not at all, but for doors that have it at its place while it comes
(XRootD). What was begun is noted first, so nobody else's file is ever removed, and what a killed
server has left is found again: registered if it is whole, sent anew if not, removed if cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..lake import LakeError
from ..plans import Plan, Progress
from ..storage.sending import AT_ONCE, Begun, Sender
from .copying import Sums, sums_of
from .did import Did
from .doors import Door
from .landing import Brought, Source, Target, Targets, physical_names
from .paths import protocols_of, relative

if TYPE_CHECKING:
    from .lake import RucioLake


class DoorLanding:
    """What one upload sends to one RSE."""

    batch = 50
    batch_size = 2**30
    _told: dict[str, Any]
    _door: Door
    _sender: Sender

    def __init__(
        self, lake: RucioLake, rse: str, plan: Plan, progress: Progress, begun: Begun
    ) -> None:
        if plan.link:
            words = f"{rse} is not on this machine: it can't get second names of files here."
            raise LakeError("wrong-input", words, "Leave out the link.")
        self._lake, self._plan, self._progress, self._begun = lake, plan, progress, begun
        self.rse = rse

    async def prepare(self) -> None:
        """Find the door."""
        self._told, self._door, store = await self._lake.doors.to_write(self.rse)
        self._sender = Sender(store, self._begun, self._plan.id, self._progress)

    async def targets(self, dids: Sequence[Did]) -> dict[Did, Target]:
        """Return where the files' bytes belong: below the door's folder."""
        protocols, door = protocols_of(self._told), self._door
        targets: dict[Did, Target] = {}
        names = physical_names(self._lake.client, self._told, dids, door.start, door.scheme)
        async for did, pfn in names:
            # Of several doors of one kind, Rucio names any.
            inner = relative(pfn, protocols)
            if inner is None:
                words = f"{self._lake.title} tells no place at {self.rse} for {did}."
                raise LakeError("unsupported", words, "Upload to another RSE.")
            where = inner.lstrip("/")
            targets[did] = Target(where, f"{door.start}/{where}")
        return targets

    async def bring(self, sources: Sequence[Source], targets: Targets) -> Brought:
        """Send files; after a failure those that are on their way arrive, and no others begin."""
        turns, brought = asyncio.Semaphore(AT_ONCE), Brought()

        async def one(source: Source) -> None:
            async with turns:
                if brought.error is None:
                    try:
                        sums = await self._send(source, targets[source.did])
                        brought.sums[source.did] = sums
                    except Exception as error:  # it is raised when the others are registered
                        brought.error = brought.error or error

        tasks = [asyncio.create_task(one(source)) for source in sources]
        try:
            if tasks:
                await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.shield(self.take_back([targets[did] for did in brought.sums]))
            raise
        return brought

    async def place(self, target: Target, sums: Sums) -> None:
        """Do nothing: it has its name already."""

    async def take_back(self, targets: Sequence[Target]) -> None:
        """Remove files, where the door lets us: what stays is found by the next run."""
        for target in targets:
            if target.where in self._begun:
                with suppress(LakeError):
                    await self._sender.remove(target.where)

    async def discard(self, sources: Sequence[Source]) -> None:
        """Remove what was begun, whole or not, unless it is registered."""
        if not self._begun:
            return
        await self.prepare()
        for first in range(0, len(sources), self.batch):
            some = sources[first : first + self.batch]
            targets = await self.targets([source.did for source in some])
            begun = [source for source in some if targets[source.did].where in self._begun]
            replicas = await self._lake.replicas.of([source.did for source in begun])
            for source in begun:
                if not any(one.rse == self.rse for one in replicas[source.did]):
                    where = targets[source.did].where
                    await self._sender.discard(source.path, where, whole=True)

    async def _send(self, source: Source, target: Target) -> Sums:
        """Send a file; return the sums of what is there now."""
        try:
            before = source.path.stat()
            sums = await asyncio.to_thread(sums_of, source.path)
            await self._sender.send(source.path, target.where, sums.size)
            after = source.path.stat()
        except OSError as error:
            words = f"{source.path} can't be read: {error.strerror}."
            fix = "Check that it is there, and that you may."
            raise LakeError("denied", words, fix) from None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            await self.take_back([target])
            words = f"{source.path} has changed while it was sent."
            raise LakeError("conflict", words, "Wait until it is complete, and try again.")
        return sums
