"""An upload to a WebDAV door: under another name, looked at, then moved to its place.

So a file is there with all its bytes, or not at all, even if this process is killed. XRootD gets it
at its place at once, and loses it again after a failure: its MOVE takes names as they are where
addresses are due, overwrites what it is told not to, and may end the server (5.5.3).
An upload begins anew after a cut: doors that take a part of a file overwrite the rest (XRootD), or
refuse (dCache).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

from ..lake import Entry, LakeError
from .names import folder_of, name_of

if TYPE_CHECKING:
    from .webdav import WebdavLake


def part_of(path: str, mark: str) -> str:
    """Return under which name the upload with this mark sends a file."""
    digits = hashlib.blake2b(name_of(path).encode(errors="surrogatepass"), digest_size=6)
    folder, hidden = folder_of(path), f".farlab-{mark}-{digits.hexdigest()}.part"
    return f"{folder}/{hidden}" if folder else hidden


class Upload:
    """One file on its way."""

    def __init__(self, lake: WebdavLake, path: str, mark: str = "") -> None:
        self._lake = lake
        self._path = path
        self._mark = mark or secrets.token_hex(8)
        self._part = path
        self._adler = 1
        self._sent = 0

    async def run(self, parts: AsyncIterator[bytes], size: int | None) -> Entry:
        """Put all parts there; raise LakeError, and leave nothing, if that can't be."""
        await self._refuse_existing()
        if self._lake.raw_names and "?" in self._path:
            words = f"{self._lake.title} would cut this name at its question mark."
            raise LakeError("wrong-input", words, "Choose another name.")
        if not self._lake.raw_names:
            self._part = part_of(self._path, self._mark)
        try:
            await self._put(parts, size)
            await self._look()
            if self._part != self._path:
                await self._move()
        except BaseException:
            with suppress(LakeError, asyncio.CancelledError):
                await asyncio.shield(self._lake.discard(self._part))
            raise
        checksum = f"adler32:{self._adler:08x}"
        return Entry(
            name_of(self._path), self._path, "file", size=self._sent,
            modified=time.time(), checksum=checksum,
        )  # fmt: skip

    async def _refuse_existing(self) -> None:
        if await self._lake.exists(self._path):
            words = f"{name_of(self._path)} is there already."
            raise LakeError("conflict", words, "Choose another name, or remove it first.")

    async def _put(self, parts: AsyncIterator[bytes], size: int | None) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        if size is not None:
            headers["Content-Length"] = str(size)
        url = self._lake.url(self._part)
        data = self._counted(parts, size)
        # dCache leads to a pool before it takes a byte; XRootD's `100 Continue` breaks clients.
        wait = not self._lake.raw_names
        request = self._lake.endpoint.request("PUT", url, headers=headers, data=data, wait=wait)
        async with request:
            return

    async def _counted(self, parts: AsyncIterator[bytes], size: int | None) -> AsyncIterator[bytes]:
        async for part in parts:
            self._adler = zlib.adler32(part, self._adler)
            self._sent += len(part)
            yield part
        if size is not None and self._sent != size:
            words = f"{name_of(self._path)} has {self._sent} bytes, not {size} as was said."
            raise LakeError("wrong-input", words, "It has changed meanwhile: upload it anew.")

    async def _look(self) -> None:
        """Compare what the door has with what was sent."""
        size, digest = await self._lake.size_and_digest(self._part)
        own = f"adler32:{self._adler:08x}"
        other = digest is not None and digest.startswith("adler32:") and digest != own
        if other or (size is not None and size != self._sent):
            words = f"{name_of(self._path)} has arrived at {self._lake.title} damaged."
            raise LakeError("damaged", words, "Upload it anew.")

    async def _move(self) -> None:
        headers = {"Destination": self._lake.url(self._path), "Overwrite": "F"}
        async with self._lake.endpoint.request("MOVE", self._lake.url(self._part), headers=headers):
            return


async def replace(lake: WebdavLake, path: str, content: bytes) -> None:
    """Put a small file in place of another one; readers see the one or the other."""
    if lake.raw_names:  # its MOVE is of no use: see above
        async with lake.endpoint.request("PUT", lake.url(path), data=content):
            return
    part = part_of(path, secrets.token_hex(8))
    try:
        async with lake.endpoint.request("PUT", lake.url(part), data=content):
            pass
        headers = {"Destination": lake.url(path), "Overwrite": "T"}
        async with lake.endpoint.request("MOVE", lake.url(part), headers=headers):
            return
    except BaseException:
        with suppress(LakeError, asyncio.CancelledError):
            await asyncio.shield(lake.discard(part))
        raise
