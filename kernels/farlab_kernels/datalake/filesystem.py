"""`farlab://lake/scope:name` for fsspec, and so for pandas, xarray, Zarr and Dask.

What is on this machine is read from its path, the rest through the Jupyter server. It only reads:
`%datalake put` writes, because a file in a lake needs a dataset, a checksum and a rule.
"""

from __future__ import annotations

import asyncio
import io
import os
import weakref
from contextlib import aclosing, suppress
from typing import Any

from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile

from farlab_kernels.datalake.client import LakeClient, settings
from farlab_kernels.datalake.downloads import download
from farlab_kernels.datalake.errors import LakeError, LakeNotFoundError
from farlab_kernels.datalake.listing import Listing, Row
from farlab_kernels.datalake.paths import PROTOCOL, split, strip

_BLOCK = 4 * 2**20
"""Bytes that are read ahead at least."""
_CLOSING = 2.0  # seconds


class FarlabFileSystem(AsyncFileSystem):  # type: ignore[misc]
    """The lakes of this Jupyter server as folders, the first of them the lakes' names."""

    protocol = PROTOCOL
    root_marker = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._opened: LakeClient | None = None
        self._listing: Listing | None = None

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return strip(os.fspath(path))

    def unstrip_protocol(self, name: str) -> str:
        """Return a name as `fsspec.open` takes it."""
        return f"{PROTOCOL}://{strip(name)}"

    # What AsyncFileSystem builds all else on

    async def _info(self, path: str, **_: Any) -> Row:
        path = self._strip_protocol(path)
        if not path:
            return {"name": "", "type": "directory", "size": 0}
        return await self._look().info(split(path))

    async def _ls(
        self, path: str, detail: bool = True, limit: int | None = None, **_: Any
    ) -> list[Row] | list[str]:
        rows = await self._look().children(split(path), limit)
        return rows if detail else sorted(str(row["name"]) for row in rows)

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        if (start or 0) < 0 or (end or 0) < 0:
            start, end = await self._from_the_front(path, start, end)
        offset = start or 0
        length = None if end is None else max(0, end - offset)
        place = split(path)
        try:
            async with aclosing(self._client().content(*place, offset, length)) as parts:
                return b"".join([part async for part in parts])
        except LakeNotFoundError as error:
            await self._elsewhere(path, error)
            raise

    async def _glob(
        self, path: str, maxdepth: int | None = None, **options: Any
    ) -> list[str] | dict[str, Row]:
        place = split(self._strip_protocol(path))
        look = self._look()
        if not (place.path and await look.is_pattern(place)):
            found: list[str] | dict[str, Row] = await super()._glob(path, maxdepth, **options)
            return found
        rows = {str(row["name"]): row for row in await look.matching(place)}
        return rows if options.get("detail") else sorted(rows)

    async def _get_file(self, rpath: str, lpath: str, callback: Any = None, **_: Any) -> None:
        info = await self._info(rpath)
        if info["type"] == "directory":
            await asyncio.to_thread(os.makedirs, lpath, exist_ok=True)
            return
        if callback is not None:
            callback.set_size(info["size"])
        move = None if callback is None else callback.relative_update
        await download(self._client(), info, lpath, move)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """Open a file: the one on this machine if there is one, else through the server."""
        if mode != "rb":
            raise LakeError(
                "farlab:// can only be read", "`%datalake put` writes.", code="unsupported"
            )
        info = self.info(path)
        if info["type"] == "directory":
            raise IsADirectoryError(f"{self.unstrip_protocol(path)} is no file: it has files in it")
        if (here := info.get("here")) and os.access(here, os.R_OK):
            return LocalFileSystem().open(here, "rb")
        if info["size"] is None:  # a STAC asset: its end is known only when it is read
            return io.BytesIO(self.cat_file(path))
        known = {"block_size", "cache_type", "cache_options"}
        chosen = {name: value for name, value in options.items() if name in known and value}
        chosen.setdefault("block_size", _BLOCK)
        return _LakeFile(self, path, size=info["size"], **chosen)

    async def close(self) -> None:
        """Close the connections, of an instance that an event loop of one's own uses."""
        if self._opened is not None:
            await self._opened.close()

    # What they share

    def _client(self) -> LakeClient:
        """Return the client, a new one where the environment names another server by now."""
        where = settings()
        if self._opened is None or self._opened.settings != where:
            self._opened = LakeClient(where)
            self._listing = Listing(self._opened)
            weakref.finalize(self, _close, asyncio.get_running_loop(), self._opened)
        return self._opened

    def _look(self) -> Listing:
        self._client()
        assert self._listing is not None  # noqa: S101 - made with the client
        return self._listing

    async def _from_the_front(
        self, path: str, start: int | None, end: int | None
    ) -> tuple[int, int]:
        size = int((await self._info(path))["size"] or 0)
        return slice(start, end).indices(size)[:2]

    async def _elsewhere(self, path: str, error: LakeError) -> None:
        """Raise another error if a file is only not here: Zarr takes a missing file for empty."""
        try:
            await self._info(path)
        except LakeNotFoundError:
            return
        raise LakeError(error.message, error.fix, code="not-here", status=error.status) from None


class _LakeFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file that is read in ranges, some of them ahead."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.cat_file(self.path, start, end)
        if len(data) != min(end, self.size) - start:
            words = f"{self.path} has other bytes than when it was opened"
            raise LakeError(words, "Open it again.", code="conflict")
        return data


def _close(loop: asyncio.AbstractEventLoop, client: LakeClient) -> None:
    """Close a client's connections at the end of the process, or when nothing uses it any more."""
    if not loop.is_running():
        return
    closing = asyncio.run_coroutine_threadsafe(client.close(), loop)
    with suppress(RuntimeError):
        if asyncio.get_running_loop() is loop:
            return  # it would wait for itself
    with suppress(Exception):
        closing.result(_CLOSING)
