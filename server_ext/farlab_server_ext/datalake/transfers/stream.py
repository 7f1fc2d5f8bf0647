"""Copies through this server: for lakes that can't fetch from each other, such as into an S3."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from ..lake import Lake, LakeError
from .model import File, FileState
from .tpc import BEGUN, Facts, Outcome, Progress

if TYPE_CHECKING:
    from ..storage.s3 import S3Lake
    from ..storage.webdav import WebdavLake

    Store = WebdavLake | S3Lake


class StreamedCopy:
    """Reads from any lake with bytes, and writes to a storage."""

    def __init__(self, source: Lake, destination: Store) -> None:
        self._source = source
        self._destination = destination

    async def run(self, file: File, *, overwrite: bool, progress: Progress) -> Outcome:
        """Copy a file, and return what has become of it; raise nothing but cancellation."""
        try:
            return await self._run(file, overwrite or file.handle == BEGUN, progress)
        except LakeError as error:
            state: FileState = "expired" if error.code == "expired" else "failed"
            return Outcome(state, f"{error.message} {error.fix}")

    async def discard(self, file: File) -> None:
        """Remove what a stopped copy has left."""
        with suppress(LakeError):
            await self._destination.abandon(file.destination, _mark(file))
            there = await facts_of(self._destination, file.destination)
            if there is not None and there.size != file.size:
                await self._destination.discard(file.destination)

    async def _run(self, file: File, overwrite: bool, progress: Progress) -> Outcome:
        wanted = await facts_of(self._source, file.source)
        if wanted is None:
            return Outcome("failed", f"{file.source} is not there any more.")
        there = await facts_of(self._destination, file.destination)
        if there is not None:
            if there.same_as(wanted):
                return Outcome("done", "It was there already.")
            if not overwrite:
                words = f"{file.destination} is there already, and is another file."
                return Outcome("failed", f"{words} Start it with overwriting, or remove that.")
            await self._destination.discard(file.destination)
        progress(0)
        sums = _Sums(progress)
        async with aclosing(sums.of(self._source, file.source)) as parts:
            entry = await self._destination.write(
                file.destination, parts, wanted.size, mark=_mark(file)
            )
        arrived = Facts(entry.size, entry.checksum)
        if sums.differ(wanted) or sums.differ(arrived):
            await self._destination.discard(file.destination)
            return Outcome("failed", "What has arrived is not what its checksum says.")
        return Outcome("done")


class _Sums:
    """Counts and sums bytes that pass."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._md5, self._adler, self._size = hashlib.md5(usedforsecurity=False), 1, 0

    async def of(self, lake: Lake, path: str) -> AsyncGenerator[bytes, None]:
        """Yield a file's bytes."""
        async for part in lake.stream(path):
            self._md5.update(part)
            self._adler = zlib.adler32(part, self._adler)
            self._size += len(part)
            yield part
            self._progress(self._size)

    def differ(self, facts: Facts) -> bool:
        """Return whether what has passed is not what facts say."""
        own = (f"md5:{self._md5.hexdigest()}", f"adler32:{self._adler:08x}")
        return any(facts.differs_in_checksum(Facts(self._size, one)) for one in own)


async def facts_of(lake: Lake, path: str) -> Facts | None:
    """Return what a lake tells of a file; None if there is none."""
    try:
        entry = (await lake.details(path)).entry
    except LakeError as error:
        if error.code == "not-found":
            return None
        raise
    return Facts(entry.size, entry.checksum)


def _mark(file: File) -> str:
    """Return a word by which the half of a file is found again after a restart."""
    pair = f"{file.source}\0{file.destination}".encode(errors="surrogatepass")
    return hashlib.blake2b(pair, digest_size=8).hexdigest()
