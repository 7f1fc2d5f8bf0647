"""Upload files and folders to a door or an object store: each file is there whole, or not at all.

What is there already with the same bytes is done, so an upload that was cut is the same upload once
more: an object store gets the parts that it does not have, a door gets the cut file anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from ..lake import Entry, Lake, LakeError
from ..plans import Found, Plan, Progress, files_of
from .names import checked

if TYPE_CHECKING:
    from .s3 import S3Lake
    from .webdav import WebdavLake

    Store = WebdavLake | S3Lake

CHUNK = 2**20
AT_ONCE = 4
"""Files that are sent at once."""


class Begun:
    """The files that an upload has begun to send, kept in a file so that a killed server knows."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        known = file.read_text() if file and file.exists() else ""
        self._names = set(known.split("\0")) - {""}

    def __contains__(self, target: str) -> bool:
        return target in self._names

    def __len__(self) -> int:
        return len(self._names)

    def add(self, target: str) -> None:
        """Note a file, before its first byte is sent."""
        if target not in self._names:
            self._names.add(target)
            if self._file:
                with self._file.open("a") as file:
                    file.write(f"{target}\0")

    def drop(self, target: str) -> None:
        """Take a file back of which no byte was sent."""
        self._names.discard(target)
        if self._file:
            self._file.write_text("".join(f"{name}\0" for name in sorted(self._names)))


class Sender:
    """Sends an upload's files one by one, and removes what it has left."""

    def __init__(self, lake: Store, begun: Begun, mark: str, progress: Progress) -> None:
        self._lake, self._begun, self._mark, self._progress = lake, begun, mark, progress

    async def send(self, path: Path, target: str, size: int) -> None:
        """Send a file, once more where its token has ended; what is there already is done."""
        try:
            await self._send(path, target, size)
        except LakeError as error:
            if error.code != "expired":
                raise
            await self._send(path, target, size)  # with the token of now, if there is one

    async def discard(self, path: Path, target: str, *, whole: bool = False) -> None:
        """Remove what was half sent of a file, and with `whole` what was wholly sent, too."""
        if target not in self._begun:
            return
        await self._lake.abandon(target, self._mark)
        there = await _entry(self._lake, target)
        if there is None:
            return
        size = await asyncio.to_thread(_size, path)
        same = whole and await asyncio.to_thread(_same, path, size, there)
        if same or await self._is_half(path, size, there):
            await self._lake.discard(target)

    async def remove(self, target: str) -> None:
        """Remove a file without looking."""
        await self._lake.discard(target)

    async def _send(self, path: Path, target: str, size: int) -> None:
        """Send a file; only where one is there already is it looked at what that is."""
        try:
            await self._write(path, target, size)
        except LakeError as error:
            if error.code != "conflict":
                raise
            there = await _entry(self._lake, target)
            if there is not None and await asyncio.to_thread(_same, path, size, there):
                self._progress.size_done += size
                return
            if there is None or not await self._is_half(path, size, there):
                words = f"{target} is there already, and is not {path}."
                raise LakeError("conflict", words, "Choose another folder or prefix.") from None
            await self._lake.discard(target)
            await self._write(path, target, size)

    async def _write(self, path: Path, target: str, size: int) -> None:
        known, sent = target in self._begun, 0

        def moved(more: int) -> None:
            nonlocal sent
            sent += more
            self._progress.size_done += more

        self._begun.add(target)
        try:
            async with aclosing(_parts(path, moved)) as parts:
                await self._lake.write(target, parts, size, mark=self._mark)
        except BaseException as error:
            self._progress.size_done -= sent
            if not known and isinstance(error, LakeError) and error.code == "conflict":
                self._begun.drop(target)  # what is there is not ours
            raise

    async def _is_half(self, path: Path, size: int, there: Entry) -> bool:
        """Return whether an entry is what a killed server has left of this very upload.

        Only doors that take a file at its place at once can have that: its bytes are then the
        first ones of the file.
        """
        if there.kind != "file" or there.size is None or there.size >= size:
            return False
        if there.path not in self._begun:
            return False
        return there.size == 0 or await asyncio.to_thread(_same, path, there.size, there)


class Sending:
    """One upload to a storage lake as it runs."""

    def __init__(self, lake: Store, plan: Plan, begun: Begun) -> None:
        _refuse_what_only_rucio_has(lake, plan)
        self._plan, self.progress = plan, Progress()
        self._sender = Sender(lake, begun, plan.id, self.progress)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Upload all; raise LakeError with what can't be. It may be run again."""
        files = await asyncio.to_thread(files_of, self._plan)
        targets = [self._target(file) for file in files]
        sizes = [await asyncio.to_thread(_size, file.path) for file in files]
        self.progress.files, self.progress.size = len(files), sum(sizes)
        try:
            async with asyncio.TaskGroup() as group:
                for file, target, size in zip(files, targets, sizes, strict=True):
                    group.create_task(self._turn(file.path, target, size))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None

    async def discard(self) -> None:
        """Remove what a cancelled upload has half done; what is complete stays."""
        for file in await asyncio.to_thread(files_of, self._plan):
            await self._sender.discard(file.path, self._target(file))

    def _target(self, file: Found) -> str:
        folder = self._plan.folder.strip("/")
        return checked(f"{folder}/{file.name}" if folder else file.name)

    async def _turn(self, path: Path, target: str, size: int) -> None:
        async with self._turns:
            await self._sender.send(path, target, size)
        self.progress.files_done += 1


def _refuse_what_only_rucio_has(lake: Lake, plan: Plan) -> None:
    if plan.dataset or plan.metadata or plan.days is not None or plan.link or plan.rse:
        words = f"{lake.title} has no datasets, and keeps files for good."
        fix = "Give a folder, and neither a dataset nor metadata, days, RSE or link."
        raise LakeError("wrong-input", words, fix)


async def _entry(lake: Lake, path: str) -> Entry | None:
    """Return what is at a path; None if nothing is."""
    try:
        return (await lake.details(path)).entry
    except LakeError as error:
        if error.code == "not-found":
            return None
        raise


def _same(path: Path, size: int, there: Entry) -> bool:
    """Return whether an entry has the first `size` bytes of a file, as far as its lake tells."""
    if there.kind != "file" or there.size != size:
        return False
    kind, _, digits = (there.checksum or "").partition(":")
    if kind not in ("adler32", "md5"):
        return False
    adler, md5, left = 1, hashlib.md5(usedforsecurity=False), size
    with path.open("rb") as file:
        while left and (part := file.read(min(CHUNK, left))):
            adler = zlib.adler32(part, adler)
            md5.update(part)
            left -= len(part)
    return digits == (f"{adler:08x}" if kind == "adler32" else md5.hexdigest())


async def _parts(path: Path, moved: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    """Yield a file's bytes, read in another thread."""
    try:
        file = await asyncio.to_thread(path.open, "rb")
        with file:
            while part := await asyncio.to_thread(file.read, CHUNK):
                yield part
                moved(len(part))
    except OSError as error:
        words = f"{path} can't be read: {error.strerror}."
        raise LakeError("denied", words, "Check that it is there, and that you may.") from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        words = f"{path} can't be read: {error.strerror}."
        raise LakeError("not-found", words, "Look at the folder again.") from None
