"""Upload files and folders to the RSE of this site: copied, registered, in one dataset, kept.

A file and its registration agree, or neither is there: a file gets its final name only when all
its bytes are there, is registered at once, and is removed again if Rucio refuses. All steps can
be repeated, so a resumed upload is the same upload once more; what is done is found done.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..lake import LakeError
from ..plans import Plan, Progress, files_of
from . import metadata
from .copying import Sums, copy, place, sums_of
from .did import NAME_MAX, Did, parse
from .lake import RucioLake
from .paths import Protocol, path_here, protocols_of

BATCH = 200
"""Files that are registered in one call."""
BATCH_SIZE = 2 * 2**30
"""Bytes after which a batch ends."""
COPIES = 4
"""Files that are copied at once."""
NAMES = 40
"""Names in one question for their paths: they are in the address."""


@dataclass(frozen=True)
class Source:
    """One file to upload."""

    path: Path
    did: Did
    size: int


class Target(NamedTuple):
    """Where a file's bytes belong: on this machine, and as Rucio says it."""

    path: Path
    pfn: str


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

    def __init__(self, lake: RucioLake, plan: Plan) -> None:
        if lake.here is None:
            words = f"This server is at no RSE of {lake.title}."
            raise LakeError("wrong-input", words, "Start a server at a site that has one.")
        self._lake, self._plan, self._here = lake, plan, lake.here
        self._dataset = parse(plan.dataset)
        self._stop = threading.Event()
        self.progress = Progress()

    async def run(self) -> None:
        """Upload all; raise LakeError with what can't be. It may be run again."""
        sources = await asyncio.to_thread(sources_of, self._plan)
        metadata.check(self._plan.metadata)
        self.progress.files = len(sources)
        self.progress.size = sum(source.size for source in sources)
        await self._make_dataset()
        try:
            for batch in _batches(sources):
                await self._upload(batch)
        finally:
            self._stop.set()
        if self._plan.metadata:
            await metadata.write(self._lake.client, self._dataset, self._plan.metadata)

    async def _make_dataset(self) -> None:
        """Make the dataset and the rule that keeps it here, unless they are there."""
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
            await rules.add(self._dataset, self._here.rse, self._plan.days, "upload")
        except LakeError as error:
            if error.code != "conflict":
                raise

    async def _upload(self, batch: Sequence[Source]) -> None:
        known = await self._known(batch)
        missing = [source for source in batch if source.did not in known]
        targets = await self._targets([source.did for source in missing])
        sums = await self._copy(missing, targets)
        placed: list[Source] = []
        try:
            for source in missing:
                final = targets[source.did].path
                await asyncio.to_thread(place, self._part(final), final, sums[source.did])
                placed.append(source)
            await self._register(missing, targets, sums)
        except BaseException as error:
            await asyncio.shield(self._take_back(placed, targets, error))
            raise
        await self._attach([source.did for source in batch])
        self.progress.files_done += len(batch)

    async def _known(self, batch: Sequence[Source]) -> set[Did]:
        """Return what is registered here already; raise LakeError if it is something else."""
        rows = await metadata.columns(self._lake.client, [source.did for source in batch])
        by_did = {Did(str(row["scope"]), str(row["name"])): row for row in rows}
        replicas = await self._lake.replicas.of(list(by_did))
        for source in batch:
            row = by_did.get(source.did)
            if row is None:
                continue
            sums = await asyncio.to_thread(sums_of, source.path)
            here = any(one.rse == self._here.rse for one in replicas[source.did])
            if (row.get("bytes"), row.get("adler32")) != (sums.size, sums.adler32) or not here:
                words = f"{source.did} is there already, and is not {source.path}."
                raise LakeError("conflict", words, "Give the upload another prefix.")
            self.progress.size_done += source.size
        return set(by_did)

    async def _targets(self, dids: Sequence[Did]) -> dict[Did, Target]:
        """Return where the files' bytes belong."""
        rse = await self._lake.replicas.rse(self._here.rse)
        protocols = protocols_of(rse)
        targets: dict[Did, Target] = {}
        for start in range(0, len(dids), NAMES):
            some = dids[start : start + NAMES]
            pfns = await self._pfns(some) if rse.get("deterministic") else _chosen(some, protocols)
            for did in some:
                pfn = str(pfns.get(str(did), ""))
                path = path_here(pfn, self._here, protocols)
                if path is None:
                    words = f"{self._lake.title} tells no place at {self._here.rse} for {did}."
                    raise LakeError("unsupported", words, "Upload to another RSE.")
                targets[did] = Target(path, pfn)
        return targets

    async def _pfns(self, dids: Sequence[Did]) -> dict[str, Any]:
        """Return the physical names that the RSE's own algorithm makes."""
        query = [("lfn", str(did)) for did in dids]
        return await self._lake.client.get_with(f"/rses/{self._here.rse}/lfns2pfns", query)

    async def _copy(
        self, sources: Sequence[Source], targets: Mapping[Did, Target]
    ) -> dict[Did, Sums]:
        turns = asyncio.Semaphore(COPIES)

        async def one(source: Source) -> Sums:
            async with turns:
                part = self._part(targets[source.did].path)
                return await asyncio.to_thread(
                    copy,
                    source.path,
                    part,
                    link=self._plan.link,
                    stop=self._stop,
                    progress=self._moved,
                )

        tasks = [asyncio.create_task(one(source)) for source in sources]
        try:
            sums = await asyncio.gather(*tasks)
        except BaseException:
            # The threads of the others end at their next chunk; what they wrote is resumed.
            self._stop.set()
            await asyncio.wait(tasks)
            raise
        return {source.did: one for source, one in zip(sources, sums, strict=True)}

    def _moved(self, size: int) -> None:
        self.progress.size_done += size

    def _part(self, final: Path) -> Path:
        return final.with_name(f".farlab-{self._plan.id}-{_short(final.name)}.part")

    async def _register(
        self, sources: Sequence[Source], targets: Mapping[Did, Target], sums: Mapping[Did, Sums]
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
        body = {"rse": self._here.rse, "files": files}
        await self._lake.client.send("POST", "/replicas/", body)

    async def _take_back(
        self, placed: Sequence[Source], targets: Mapping[Did, Target], error: BaseException
    ) -> None:
        """Remove the files that Rucio does not know; if that can't be found out, none."""
        registered: set[Did] = set()
        if not isinstance(error, LakeError) or error.code in ("unreachable", "bad-answer"):
            try:
                found = await self._lake.replicas.of([source.did for source in placed])
            except LakeError:
                return  # the next run finds them, and registers them
            here = self._here.rse
            registered = {
                did for did, replicas in found.items() if any(one.rse == here for one in replicas)
            }
        for source in placed:
            if source.did not in registered:
                await asyncio.to_thread(targets[source.did].path.unlink, missing_ok=True)

    async def _attach(self, dids: Sequence[Did]) -> None:
        attachment = {**self._dataset.json, "dids": [did.json for did in dids]}
        body = {"attachments": [attachment], "ignore_duplicate": True}
        await self._lake.client.send("POST", "/dids/attachments", body)
        self._lake.forget(self._dataset)

    async def discard(self) -> None:
        """Remove what a cancelled upload has half copied; what is registered stays."""
        sources = await asyncio.to_thread(sources_of, self._plan)
        for batch in _batches(sources):
            targets = await self._targets([source.did for source in batch])
            for target in targets.values():
                await asyncio.to_thread(self._part(target.path).unlink, missing_ok=True)


def _chosen(dids: Sequence[Did], protocols: Sequence[Protocol]) -> dict[str, str]:
    """Return physical names at an RSE that has no algorithm: scope and name below its prefix."""
    door = next((one for one in protocols if one.scheme == "file"), None)
    if door is None:
        return {}
    start = f"file://{door.hostname}{door.prefix.rstrip('/')}"
    return {str(did): f"{start}/{did.scope}/{did.name}" for did in dids}


def _short(name: str) -> str:
    """Return a few letters that stand for a name, which may be as long as a name can be."""
    return hashlib.blake2b(name.encode(), digest_size=6).hexdigest()


def _batches(sources: Sequence[Source]) -> Iterator[list[Source]]:
    batch: list[Source] = []
    size = 0
    for source in sources:
        batch.append(source)
        size += source.size
        if len(batch) == BATCH or size >= BATCH_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
