"""An end of a stream for code in this process that reads and writes it."""

from __future__ import annotations

import asyncio
from collections import deque

from farlab_relay.frames import Bytes
from farlab_relay.streams import WRITE_LIMIT, End


class Stream(End):
    """A connection to a workload's port, as Relay.connect returns it."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._finished = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # For the caller

    async def read(self) -> bytes:
        """Return the next bytes, or b"" when no more follow. Raises ConnectionResetError."""
        await self._readable.wait()
        if self._chunks:
            chunk = self._chunks.popleft()
            self._size -= len(chunk)
            if self._size <= WRITE_LIMIT // 4:
                self.other.resume()
            if not self._chunks and not self._ended and not self.closed.done():
                self._readable.clear()
            return chunk
        self._check()
        return b""

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the peer is slow. Raises ConnectionResetError."""
        await self._writable.wait()
        self._check()
        self.other.take(data)

    def write_eof(self) -> None:
        """Say that no more bytes follow; reading goes on."""
        if not self._finished and not self.closed.done():
            self._finished = True
            self.other.finish()
            self._close_when_done()

    def close(self) -> None:
        """End the stream; what the peer still sends is lost unless both sides had finished."""
        if not self.closed.done():
            self.closed.set_result("closed")
            self.other.cut("the other end was closed")
        self._end()

    def _check(self) -> None:
        if self.closed.done() and not (self._ended and self._finished):
            raise ConnectionResetError(self.closed.result())

    # For the other end

    def take(self, data: Bytes) -> None:
        """Keep for `read`."""
        self._chunks.append(bytes(data))
        self._size += len(data)
        self._readable.set()
        if self._size > WRITE_LIMIT:
            self.other.hold()

    def holds_buffer(self) -> bool:
        """Nothing is: `take` copies."""
        return False

    def finish(self) -> None:
        """Let `read` return the end."""
        self._ended = True
        self._readable.set()
        self._close_when_done()

    def cut(self, reason: str) -> None:
        """Let `read` and `write` raise."""
        if not self.closed.done():
            self.closed.set_result(reason)
        self._end()

    def hold(self) -> None:
        """Let `write` wait."""
        self._writable.clear()

    def resume(self) -> None:
        """Let `write` go on."""
        self._writable.set()

    def _close_when_done(self) -> None:
        if self._ended and self._finished and not self.closed.done():
            self.closed.set_result("both sides have finished")

    def _end(self) -> None:
        self._readable.set()
        self._writable.set()
