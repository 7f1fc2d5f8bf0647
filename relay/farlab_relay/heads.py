"""Reads the heads of HTTP messages from a connection that is passed on afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from farlab_relay import protocol
from farlab_relay.frames import Bytes
from farlab_relay.streams import End, Socket, join

HEAD_END = b"\r\n\r\n"
_MAX_HEAD = 16 * 1024
_MAX_BODY = 4 * 1024


class HeadError(Exception):
    """What came is not the head of an HTTP message."""


@dataclass(frozen=True)
class Head:
    """The words of the first line, the headers (names in lower case), and all of it as it came."""

    words: list[str]
    headers: dict[str, str]
    raw: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Head:
        """Read a head. Raises HeadError, also for a header that is there twice."""
        try:
            first, *lines = raw.decode("ascii").split("\r\n")
            pairs = [line.split(":", 1) for line in lines if line]
            headers = {name.lower(): value.strip() for name, value in pairs}
        except ValueError:
            raise HeadError("not an HTTP message") from None
        words = first.split(" ", 2)
        if len(words) < 2 or len(headers) != len(pairs) or "\n" in raw.decode().replace("\r\n", ""):
            raise HeadError("not an HTTP message that an agent or a relay sends")
        return cls(words, headers, raw)


async def read_head(connection: Socket) -> tuple[Head, bytes]:
    """Return a head and what came after it; the connection is held then. Raises HeadError."""
    data = await _read(connection, b"", lambda data: HEAD_END in data or len(data) > _MAX_HEAD)
    head, border, rest = data.partition(HEAD_END)
    if not border:
        raise HeadError("the head of the HTTP message is not whole, or too long")
    return Head.parse(head), rest


async def read_body(connection: Socket, head: Head, rest: bytes) -> str:
    """Return the text of a short answer, as far as it comes in time."""
    length = head.headers.get("content-length", "0")
    size = min(int(length), _MAX_BODY) if length.isdecimal() else 0
    data = await _read(connection, rest, lambda data: len(data) >= size)
    return data[:size].decode(errors="replace").strip()


async def _read(connection: Socket, start: bytes, enough: Callable[[bytes], bool]) -> bytes:
    """Read until there is enough, the connection ends, or it takes too long."""
    collector = _Collector(start, enough)
    join(connection, collector)
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(collector.complete, protocol.OPEN_TIMEOUT)
    return bytes(collector.data)


class _Collector(End):
    """Joined with a connection for as long as the beginning of it is read."""

    def __init__(self, start: bytes, enough: Callable[[bytes], bool]) -> None:
        super().__init__()
        self.data = bytearray()
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._start = start
        self._enough = enough

    def take(self, data: Bytes) -> None:
        """Keep, and stop the connection once there is enough."""
        self.data += data
        if self._enough(bytes(self.data)):
            self.other.hold()
            self._complete()

    def resume(self) -> None:
        """Begin with what has been read already."""
        self.take(self._start)

    def hold(self) -> None:
        """Nothing to stop: a collector sends nothing."""

    def holds_buffer(self) -> bool:
        """Nothing is: `take` copies."""
        return False

    def finish(self) -> None:
        """Stop: no more is coming."""
        self._complete()

    def cut(self, reason: str) -> None:
        """Stop: no more is coming."""
        self._complete()

    def _complete(self) -> None:
        if not self.complete.done():
            self.complete.set_result(None)
