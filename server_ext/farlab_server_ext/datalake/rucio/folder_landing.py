"""The RSE of this site: its files are in a folder of this machine, and are copied there."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..lake import LakeError
from ..plans import Plan, Progress
from .copying import Sums, copy, place
from .did import Did
from .landing import Brought, Source, Target, Targets, physical_names
from .paths import Here, path_here, protocols_of

if TYPE_CHECKING:
    from .lake import RucioLake

COPIES = 4
"""Files that are copied at once."""


class FolderLanding:
    """Copies of one upload."""

    batch = 200
    batch_size = 2 * 2**30

    def __init__(self, lake: RucioLake, here: Here, plan: Plan, progress: Progress) -> None:
        self._lake, self._here, self._plan, self._progress = lake, here, plan, progress
        self._stop = threading.Event()
        self.rse = here.rse

    async def prepare(self) -> None:
        """Do nothing: a folder needs no door."""

    async def targets(self, dids: Sequence[Did]) -> dict[Did, Target]:
        """Return where the files' bytes belong."""
        rse = await self._lake.replicas.rse(self.rse)
        protocols = protocols_of(rse)
        door = next((one for one in protocols if one.scheme == "file"), None)
        start = f"file://{door.hostname}{door.prefix.rstrip('/')}" if door else ""
        targets: dict[Did, Target] = {}
        async for did, pfn in physical_names(self._lake.client, rse, dids, start):
            path = path_here(pfn, self._here, protocols)
            if path is None:
                words = f"{self._lake.title} tells no place at {self.rse} for {did}."
                raise LakeError("unsupported", words, "Upload to another RSE.")
            targets[did] = Target(str(path), pfn)
        return targets

    async def bring(self, sources: Sequence[Source], targets: Targets) -> Brought:
        """Copy all to names of their own beside the final ones."""
        turns = asyncio.Semaphore(COPIES)

        async def one(source: Source) -> Sums:
            async with turns:
                part, link = self._part(targets[source.did]), self._plan.link
                return await asyncio.to_thread(
                    copy, source.path, part, link=link, stop=self._stop, progress=self._moved
                )

        tasks = [asyncio.create_task(one(source)) for source in sources]
        try:
            sums = await asyncio.gather(*tasks)
        except BaseException:
            # The threads of the others end at their next chunk; what they wrote is resumed.
            self._stop.set()
            await asyncio.wait(tasks)
            raise
        return Brought({source.did: one for source, one in zip(sources, sums, strict=True)})

    async def place(self, target: Target, sums: Sums) -> None:
        """Give a copy its final name."""
        await asyncio.to_thread(place, self._part(target), Path(target.where), sums)

    async def take_back(self, targets: Sequence[Target]) -> None:
        """Remove files."""
        for target in targets:
            await asyncio.to_thread(Path(target.where).unlink, missing_ok=True)

    async def discard(self, sources: Sequence[Source]) -> None:
        """Remove what is half copied."""
        for target in (await self.targets([source.did for source in sources])).values():
            await asyncio.to_thread(self._part(target).unlink, missing_ok=True)

    def _moved(self, size: int) -> None:
        self._progress.size_done += size

    def _part(self, target: Target) -> Path:
        final = Path(target.where)
        return final.with_name(f".farlab-{self._plan.id}-{_short(final.name)}.part")


def _short(name: str) -> str:
    """Return a few letters that stand for a name, which may be as long as a name can be."""
    return hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
