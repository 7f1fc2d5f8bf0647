"""Two ends of a byte stream, joined: what comes in at one goes out at the other.

An end is the TCP connection of a client or a payload (`Socket`), the WebSocket of relay and agent
(`Link` in links.py), or a caller inside this process (`Stream` in inprocess.py). Everything is done
in asyncio's protocol callbacks: no task is woken for a byte, so a small message costs microseconds,
and a large one is received into, framed in, and sent from one buffer.

Back-pressure: an end whose transport holds more than WRITE_LIMIT unsent bytes makes the other stop
reading. Half-close: `finish` says that no more bytes follow in one direction only. An end that
breaks `cut`s the other, whose peer sees a reset, never a clean end of truncated data.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import cast

from farlab_relay.frames import ROOM, Bytes

CHUNK = 256 * 1024
"""Bytes received at once."""
WRITE_LIMIT = 256 * 1024
"""Unsent bytes above which an end makes the other stop reading."""
_SMALL = 16 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


log = logging.getLogger(__name__)


class End(ABC):
    """One end of a stream. `closed` is done when nothing of it is left, with the reason if cut."""

    def __init__(self) -> None:
        self._other: End | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def other(self) -> End:
        """The end this one is joined with."""
        if self._other is None:
            raise RuntimeError("this end of a stream is not joined yet")
        return self._other

    @abstractmethod
    def take(self, data: Bytes) -> None:
        """Send bytes that the other end received."""

    def take_from(self, buffer: memoryview, start: int, stop: int) -> None:
        """Send `buffer[start:stop]`; the ROOM bytes before `start` may be overwritten."""
        self.take(buffer[start:stop])

    @abstractmethod
    def holds_buffer(self) -> bool:
        """Tell whether bytes given to `take` may still be referred to."""

    @abstractmethod
    def finish(self) -> None:
        """Say that no more bytes follow in this direction."""

    @abstractmethod
    def cut(self, reason: str) -> None:
        """Break off at once: the other end is gone."""

    @abstractmethod
    def hold(self) -> None:
        """Stop reading: the other end is full."""

    @abstractmethod
    def resume(self) -> None:
        """Read (again)."""


def join(one: End, two: End) -> None:
    """Join two ends and let the bytes flow; an end that is already gone cuts the other."""
    one._other, two._other = two, one
    for end, other in ((one, two), (two, one)):
        if end.closed.done():
            other.cut(end.closed.result())
        else:
            end.resume()


class ReceiveBuffer(threading.local):
    """Where all ends of a thread's event loop receive, one after the other.

    asyncio asks for a buffer, fills it and hands on what came without letting anything else run,
    so a thousand idle connections need no more memory for it than one.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Leave the buffer to a transport that keeps a view of it, and take another."""
        self.whole = memoryview(bytearray(ROOM + CHUNK))
        self.free = self.whole[ROOM:]


_received = ReceiveBuffer()


class TransportEnd(End, asyncio.BufferedProtocol):
    """What Socket and Link share: an asyncio transport."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        super().__init__()
        self._held = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hold until the other end is there."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_LIMIT)
        self.transport.pause_reading()
        # Before Python 3.12 asyncio starts to read after this method, whatever it says.
        asyncio.get_running_loop().call_soon(self._stay_held)
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def _stay_held(self) -> None:
        if self._held and not self.transport.is_closing():
            self.transport.resume_reading()
            self.transport.pause_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Receive behind the room for a frame's header."""
        return _received.free

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what was received, and the buffer too if it could not all be sent."""
        self._receive(_received.whole, nbytes)
        if nbytes > _SMALL and self._other is not None and self._other.holds_buffer():
            _received.renew()

    @abstractmethod
    def _receive(self, buffer: memoryview, size: int) -> None:
        """Hand on `size` bytes that came behind the ROOM in a buffer."""

    def _write(self, data: Bytes) -> None:
        """Send; little is copied, so that no transport keeps a whole buffer for the sake of it."""
        self.transport.write(bytes(data) if len(data) <= _SMALL else data)

    def holds_buffer(self) -> bool:
        """Tell whether not all could be sent: newer transports keep a view of the rest."""
        return self.transport.get_write_buffer_size() > 0

    def pause_writing(self) -> None:
        """Let the other end wait: this peer is slow."""
        if self._other is not None:
            self._other.hold()

    def resume_writing(self) -> None:
        """Let the other end go on."""
        if self._other is not None:
            self._other.resume()

    def hold(self) -> None:
        """Stop reading."""
        if not self._held and not self.transport.is_closing():
            self._held = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read (again)."""
        if self._held and not self.transport.is_closing():
            self._held = False
            self.transport.resume_reading()

    def close(self) -> None:
        """Close once all is sent; a second time would break Python 3.11's TLS transport."""
        if not self.transport.is_closing():
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if not self.closed.done():
            self.transport.abort()

    def _lost(self, reason: str, *, clean: bool) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
        if self._other is not None and not clean:
            self._other.cut(reason)


class Socket(TransportEnd):
    """The TCP connection of a client, a payload, an upstream or (in a gateway) of an agent."""

    def __init__(self) -> None:
        super().__init__()
        self._read_all = False
        self._sent_all = False

    def _receive(self, buffer: memoryview, size: int) -> None:
        self.other.take_from(buffer, ROOM, ROOM + size)

    def eof_received(self) -> bool:
        """Half-close: bytes may still go the other way (TLS has no half-close)."""
        self._read_all = True
        self.other.finish()
        if self._sent_all:
            self.close()
        return self.transport.can_write_eof()

    def take(self, data: Bytes) -> None:
        """Send as it is."""
        if not self._sent_all and not self.transport.is_closing():
            self._write(data)

    def finish(self) -> None:
        """Half-close, or close if that's all."""
        self._sent_all = True
        if self._read_all or not self.transport.can_write_eof():
            self.close()
        else:
            with contextlib.suppress(OSError):  # gone already: connection_lost follows
                self.transport.write_eof()

    def resume(self) -> None:
        """Read (again), unless all was read: asyncio would find the same end once more."""
        if not self._read_all:
            super().resume()

    def cut(self, reason: str) -> None:
        """Reset the connection, so that its peer can't take what it got for the whole."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cut the other end, unless both directions had ended."""
        reason = str(exc) if exc else "connection closed"
        self._lost(reason, clean=self._read_all and self._sent_all)


class Door:
    """A TCP listener that hands each connection to a coroutine, which joins it with something."""

    def __init__(self, serve: Callable[[Socket], Coroutine[None, None, None]]) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._sockets: set[Socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def listen(self, host: str, port: int) -> int:
        """Listen on an address (port 0: any free one); return the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Visitor(self), host, port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    def welcome(self, visitor: Socket) -> None:
        """Serve one connection in a task of its own."""
        self._sockets.add(visitor)
        visitor.closed.add_done_callback(lambda _: self._sockets.discard(visitor))
        task = asyncio.get_running_loop().create_task(self._serve_or_cut(visitor))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_or_cut(self, visitor: Socket) -> None:
        try:
            await self._serve(visitor)
        except Exception:  # one visitor's trouble must not stay open for ever
            log.exception("a connection to port %s could not be served", self.port)
            visitor.cut("internal error")

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for visitor in list(self._sockets):
            visitor.cut("the relay closed this port")
        endings = [visitor.closed for visitor in self._sockets]
        await asyncio.gather(*self._tasks, *endings, return_exceptions=True)


class _Visitor(Socket):
    """A connection that came in through a door."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._door.welcome(self)
