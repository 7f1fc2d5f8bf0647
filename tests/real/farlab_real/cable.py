"""A network cable that can be cut: a port of loopback that leads to another one.

    async with Cable(port) as cable:
        cable.cut_after(up=100_000)     # bytes that still reach the server
        ... cable.port ...
        cable.mend()

What is cut stays so: new connections are refused until it is mended.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

PART = 16384


class Cable:
    """Passes bytes both ways until they are used up."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._left: dict[str, float] = {}
        self.passed = {"up": 0, "down": 0}
        self.port = 0
        self.mend()

    def mend(self) -> None:
        """Let everything through from now on."""
        self._left = {"up": float("inf"), "down": float("inf")}
        self.broken = False

    def cut_after(self, *, up: float = float("inf"), down: float = float("inf")) -> None:
        """Let so many more bytes through to the server, or from it."""
        self._left = {"up": up, "down": down}

    def cut(self) -> None:
        """End all connections, and take no new ones."""
        self.broken = True
        for writer in self._writers:
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.broken:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ends = {writer, far_writer}
        self._writers |= ends
        await asyncio.gather(
            self._pump("up", reader, far_writer), self._pump("down", far_reader, writer)
        )
        self._writers -= ends
        for one in ends:
            one.close()

    async def _pump(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while part := await reader.read(PART):
                self._left[way] -= len(part)
                if self._left[way] < 0:
                    self.cut()
                    return
                self.passed[way] += len(part)
                writer.write(part)
                await writer.drain()
            writer.write_eof()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()
        self._server.close()
        await self._server.wait_closed()
