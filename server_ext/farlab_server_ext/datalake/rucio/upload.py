"""Upload files and folders to an RSE: brought there, registered, in one dataset, kept.

A file and its registration agree, or neither is there: a file gets its final name only when all
its bytes are there, is registered at once, and is removed again if Rucio refuses. All steps can
be repeated, so a resumed upload is the same upload once more; what is done is found done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..lake import LakeError
from ..plans import Plan, Progress, files_of
from ..storage.sending import Begun
from . import metadata
from .copying import Sums, sums_of
from .did import NAME_MAX, Did, parse
from .door_landing import DoorLanding
from .folder_landing import FolderLanding
from .lake import RucioLake
from .landing import Landing, Source, Targets


def sources_of(plan: Plan) -> list[Source]:
    """Return the files of a plan, in order; raise LakeError for names that no DID can have."""
    scope = parse(plan.dataset).scope
    return [_source(found.path, Did(scope, found.name)) for found in files_of(plan)]


def _source(path: Path, did: Did) -> Source:
    steps = did.name.split("/")
    readable = did.name.isprintable() and not any("\ud800" <= char <= "\udfff" for char in did.name)
    if len(did.name) > NAME_MAX or not readable or ".." in steps or did.name.startswith("/"):
        words = f"{str(path)[:300]!r} can't be a name in Rucio."
        raise LakeError("wrong-input", words, f"Rename it, in at most {NAME_MAX} characters.")
    return Source(path, did, path.stat().st_size)


class Upload:
    """One upload as it runs."""

    def __init__(self, lake: RucioLake, plan: Plan, begun: Begun | None = None) -> None:
        self._lake, self._plan = lake, plan
        self._dataset = parse(plan.dataset)
        self.progress = Progress()
        self._landing = self._landing_of(begun)

    def _landing_of(self, begun: Begun | None) -> Landing:
        lake, plan, here = self._lake, self._plan, self._lake.here
        if here is not None and plan.rse in ("", here.rse):
            return FolderLanding(lake, here, plan, self.progress)
        if not plan.rse:
            words = f"This server is at no RSE of {lake.title}."
            fix = "Name an RSE, or start a server at a site that has one."
            raise LakeError("wrong-input", words, fix)
        begun = Begun() if begun is None else begun
        return DoorLanding(lake, plan.rse, plan, self.progress, begun)

    async def run(self) -> None:
        """Upload all; raise LakeError with what can't be. It may be run again."""
        sources = await asyncio.to_thread(sources_of, self._plan)
        metadata.check(self._plan.metadata)
        self.progress.files = len(sources)
        self.progress.size = sum(source.size for source in sources)
        await self._landing.prepare()
        await self._make_dataset()
        for batch in self._batches(sources):
            await self._upload(batch)
        if self._plan.metadata:
            await metadata.write(self._lake.client, self._dataset, self._plan.metadata)

    async def _make_dataset(self) -> None:
        """Make the dataset and the rule that keeps it at the RSE, unless they are there."""
        refused: LakeError | None = None
        try:
            await self._lake.create(self._plan.dataset, "dataset")
        except LakeError as error:
            refused = error  # which tells more than that it is not there
        try:
            entry = (await self._lake.details(self._plan.dataset)).entry
        except LakeError as error:
            raise refused or error from None
        if entry.kind != "dataset" or entry.state == "closed":
            words = f"{self._dataset} is {'closed' if entry.state == 'closed' else 'no dataset'}."
            raise LakeError("conflict", words, "Choose another dataset.")
        try:
            rules = self._lake.rules
            await rules.add(self._dataset, self._landing.rse, self._plan.days, "upload")
        except LakeError as error:
            if error.code != "conflict":
                raise

    async def _upload(self, batch: Sequence[Source]) -> None:
        known = await self._known(batch)
        missing = [source for source in batch if source.did not in known]
        targets = await self._landing.targets([source.did for source in missing])
        brought = await self._landing.bring(missing, targets)
        arrived = [source for source in missing if source.did in brought.sums]
        placed: list[Source] = []
        try:
            for source in arrived:
                await self._landing.place(targets[source.did], brought.sums[source.did])
                placed.append(source)
            await self._register(arrived, targets, brought.sums)
        except BaseException as error:
            await asyncio.shield(self._take_back(placed, targets, error))
            raise
        there = known | brought.sums.keys()
        if there:
            await self._attach([source.did for source in batch if source.did in there])
        self.progress.files_done += len(there)
        if brought.error is not None:
            raise brought.error

    async def _known(self, batch: Sequence[Source]) -> set[Did]:
        """Return what is registered there already; raise LakeError if it is something else."""
        rows = await metadata.columns(self._lake.client, [source.did for source in batch])
        by_did = {Did(str(row["scope"]), str(row["name"])): row for row in rows}
        replicas = await self._lake.replicas.of(list(by_did))
        for source in batch:
            row = by_did.get(source.did)
            if row is None:
                continue
            sums = await asyncio.to_thread(sums_of, source.path)
            here = any(one.rse == self._landing.rse for one in replicas[source.did])
            if (row.get("bytes"), row.get("adler32")) != (sums.size, sums.adler32) or not here:
                words = f"{source.did} is there already, and is not {source.path}."
                raise LakeError("conflict", words, "Give the upload another prefix.")
            self.progress.size_done += source.size
        return set(by_did)

    async def _register(
        self, sources: Sequence[Source], targets: Targets, sums: Mapping[Did, Sums]
    ) -> None:
        if not sources:
            return
        files = [
            {
                **source.did.json,
                "pfn": targets[source.did].pfn,
                "bytes": sums[source.did].size,
                "adler32": sums[source.did].adler32,
                "md5": sums[source.did].md5,
            }
            for source in sources
        ]
        body = {"rse": self._landing.rse, "files": files}
        await self._lake.client.send("POST", "/replicas/", body)

    async def _take_back(
        self, placed: Sequence[Source], targets: Targets, error: BaseException
    ) -> None:
        """Remove the files that Rucio does not know; if that can't be found out, none."""
        registered: set[Did] = set()
        if not isinstance(error, LakeError) or error.code in ("unreachable", "bad-answer"):
            try:
                found = await self._lake.replicas.of([source.did for source in placed])
            except LakeError:
                return  # the next run finds them, and registers them
            rse = self._landing.rse
            registered = {
                did for did, replicas in found.items() if any(one.rse == rse for one in replicas)
            }
        left = [targets[source.did] for source in placed if source.did not in registered]
        await self._landing.take_back(left)

    async def _attach(self, dids: Sequence[Did]) -> None:
        attachment = {**self._dataset.json, "dids": [did.json for did in dids]}
        body = {"attachments": [attachment], "ignore_duplicate": True}
        await self._lake.client.send("POST", "/dids/attachments", body)
        self._lake.forget(self._dataset)

    async def discard(self) -> None:
        """Remove what a cancelled upload has half brought; what is registered stays."""
        await self._landing.discard(await asyncio.to_thread(sources_of, self._plan))

    def _batches(self, sources: Sequence[Source]) -> Iterator[list[Source]]:
        batch: list[Source] = []
        size = 0
        for source in sources:
            batch.append(source)
            size += source.size
            if len(batch) == self._landing.batch or size >= self._landing.batch_size:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch
