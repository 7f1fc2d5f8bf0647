"""ZeroMQ's wire protocol, as much of it as Jupyter's channels need, in asyncio.

ZMTP 3.0 with the NULL mechanism (https://rfc.zeromq.org/spec/23/), which every libzmq since 4.0
speaks. libzmq itself hands each message to a thread of its own and back, twice for one that is
passed on; and its sockets drop or block when too much waits in them. Here nothing is dropped, and
a message costs one wake-up. Sockets are Unix sockets in private folders: no authentication.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence
from typing import cast

_GREETING = b"\xff" + 8 * b"\0" + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + 32 * b"\0"
_MORE, _LONG, _COMMAND = 1, 2, 4
_SIZE = struct.Struct("!Q")
_SIGNATURE = 10
SUBSCRIBE, UNSUBSCRIBE = b"\x01", b"\x00"

Frames = list[bytes]

log = logging.getLogger(__name__)


def frame(data: bytes, flags: int = 0) -> tuple[bytes, bytes]:
    """Return a frame's header and body."""
    size = len(data)
    if size < 256:
        return bytes((flags, size)), data
    return bytes((flags | _LONG,)) + _SIZE.pack(size), data


def message(frames: Sequence[bytes]) -> bytes:
    """Return a message's bytes."""
    pieces: list[bytes] = []
    last = len(frames) - 1
    for number, data in enumerate(frames):
        pieces += frame(data, _MORE if number < last else 0)
    return b"".join(pieces)


def _command(name: bytes, body: bytes) -> bytes:
    return b"".join(frame(bytes((len(name),)) + name + body, _COMMAND))


def _ready(kind: bytes, identity: bytes) -> bytes:
    body = b""
    for name, value in ((b"Socket-Type", kind), (b"Identity", identity)):
        body += bytes((len(name),)) + name + struct.pack("!I", len(value)) + value
    return _command(b"READY", body)


def _properties(body: bytes) -> dict[bytes, bytes]:
    """Read a READY command's metadata; names are case-insensitive."""
    found, at = {}, 0
    while at < len(body):
        end = at + 1 + body[at]
        name = body[at + 1 : end].lower()
        (size,) = struct.unpack_from("!I", body, end)
        at = end + 4 + size
        found[name] = body[end + 4 : at]
    return found


class Peer(asyncio.Protocol):
    """One connection. `ready`, `receive` and `lost` are called with it (and the frames).

    `received` is called behind the messages that came together. With `cork`, what is sent waits
    until the peers in that list are flushed.
    """

    def __init__(
        self, kind: bytes, identity: bytes = b"", *,
        receive: Callable[[Peer, Frames], None],
        received: Callable[[], None] = lambda: None,
        ready: Callable[[Peer], None] = lambda _: None,
        lost: Callable[[Peer], None] = lambda _: None,
        cork: list[Peer] | None = None,
    ) -> None:  # fmt: skip
        self._kind = kind
        self._mine = identity
        self._receive = receive
        self._on_received = received
        self._on_ready = ready
        self._on_lost = lost
        self._cork = cork
        self._buffer = bytearray()
        self._greeted = False
        self._ready = False
        self._frames: Frames = []
        self._waiting: list[bytes] = []
        self._transport: asyncio.Transport
        self.identity = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_GREETING)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the other side is gone."""
        self._on_lost(self)

    def send(self, frames: Sequence[bytes]) -> None:
        """Send a message, now or as soon as the other side is ready."""
        data = message(frames)
        if self._ready and self._cork is None:
            self._transport.write(data)
            return
        if self._cork is not None and not self._waiting:
            self._cork.append(self)
        self._waiting.append(data)

    def flush(self) -> None:
        """Send what waits, if the other side is ready."""
        if self._ready and self._waiting:
            waiting, self._waiting = self._waiting, []
            self._transport.write(b"".join(waiting))

    def pause(self) -> None:
        """Receive nothing; it stays in the socket's buffer."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Receive again."""
        self._transport.resume_reading()

    def close(self) -> None:
        """Hang up at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what completes messages, and keep the rest."""
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            source = self._buffer
        try:
            rest = self._take(source)
        except (ValueError, struct.error, IndexError) as error:
            log.warning("a local client speaks no ZeroMQ: %s", error)
            self._transport.abort()
            return
        self._on_received()
        if source is self._buffer:
            del self._buffer[:rest]
        elif rest < len(data):
            self._buffer += data[rest:]

    def _take(self, data: bytes | bytearray) -> int:
        """Take all that is complete; return how many bytes that was."""
        at, end = 0, len(data)
        if not self._greeted:
            if data[0] == 0xFF and end < len(_GREETING):
                return 0
            if data[0] != 0xFF or data[_SIGNATURE] < 3 or data[12:17] != b"NULL\0":
                raise ValueError("not ZMTP 3, or a mechanism other than NULL")
            self._greeted = True
            at = len(_GREETING)
            self._transport.write(_ready(self._kind, self._mine))
        while end - at >= 2:
            flags = data[at]
            if flags & _LONG:
                if end - at < 9:
                    break
                begin = at + 9
                stop = begin + _SIZE.unpack_from(data, at + 1)[0]
            else:
                begin = at + 2
                stop = begin + data[at + 1]
            if stop > end:
                break
            at = stop
            self._frames.append(bytes(data[begin:stop]))
            if flags & _MORE:
                continue
            frames, self._frames = self._frames, []
            if flags & _COMMAND:
                self._obey(frames[0])
            else:
                self._receive(self, frames)
        return at

    def _obey(self, command: bytes) -> None:
        name, body = command[1 : 1 + command[0]], command[1 + command[0] :]
        if name == b"READY":
            self.identity = _properties(body).get(b"identity", b"")
            self._ready = True
            self._on_ready(self)
            self.flush()
        elif name == b"PING":
            self._transport.write(_command(b"PONG", body[2:]))
        elif name == b"ERROR":
            raise ValueError(body[1:].decode(errors="replace"))


async def connect(path: str, peer: Peer, retry: float) -> None:
    """Connect a peer to a Unix socket; wait for it, looking every `retry` seconds."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.create_unix_connection(lambda: peer, path)
            return
        except (FileNotFoundError, ConnectionRefusedError):
            await asyncio.sleep(retry)
