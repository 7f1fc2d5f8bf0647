"""What keeper and link send each other once the connection is proven: numbered packets.

A packet is a message of one of the kernel's channels, as its ZeroMQ frames, or something between
keeper and link themselves. Each side numbers what it sends; after a cut the other side says the
last number it has, and sending goes on behind it: nothing is lost and nothing comes twice.
Numbers only ever grow. The keeper's may have gaps: it numbers for all its clients together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

_HEAD = struct.Struct("!QBHQ")  # bytes behind this field, kind, parts, number
_LENGTH = struct.Struct("!Q")
_REST = _HEAD.size - _LENGTH.size

HEARTBEAT = 5.0
"""Seconds between signs of life on a session."""
SILENCE = 20.0
"""Seconds of silence after which a session's connection is taken for cut."""
ACK_EVERY = 256
"""Packets after which their receipt is acknowledged at once."""
ACK_DELAY = 1.0
"""Seconds after which the receipt of fewer packets is acknowledged."""


class Kind(IntEnum):
    """What a packet holds."""

    SHELL = 0
    CONTROL = 1
    STDIN = 2
    IOPUB = 3
    EVENT = 8
    """JSON from the keeper: what happened to the kernel."""
    ORDER = 9
    """JSON from a link: what to do with the kernel."""
    ACK = 10
    """The number is the last one received; without a number of its own. Also a sign of life."""


class WireError(ConnectionError):
    """The other side sent what is no packet."""


class Packet(NamedTuple):
    """One packet."""

    kind: Kind
    number: int
    parts: list[bytes]


class Writer(Protocol):
    """What is needed of an asyncio.StreamWriter."""

    def write(self, data: bytes) -> None:
        """Send, sooner or later."""

    async def drain(self) -> None:
        """Wait until not too much is unsent."""

    def close(self) -> None:
        """End the connection."""


def encode(kind: Kind, number: int, parts: Sequence[bytes] = ()) -> bytes:
    """Return a packet's bytes."""
    count = len(parts)
    sizes = list(map(len, parts))
    head = _HEAD.pack(_REST + 8 * count + sum(sizes), kind, count, number)
    return b"".join((head, struct.pack(f"!{count}Q", *sizes), *parts))


def decode(data: bytes | bytearray | memoryview) -> Packet:
    """Read one whole packet. Raises WireError."""
    try:
        _, kind, count, number = _HEAD.unpack_from(data)
        sizes = struct.unpack_from(f"!{count}Q", data, _HEAD.size)
        at, parts = _HEAD.size + 8 * count, []
        for size in sizes:
            parts.append(bytes(data[at : at + size]))
            at += size
        packet = Packet(Kind(kind), number, parts)
    except (struct.error, ValueError) as error:
        raise WireError(f"not a packet: {error}") from None
    if at != len(data):
        raise WireError("a packet's parts are not as long as it says")
    return packet


class Decoder:
    """Turns received bytes into packets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that `data` completes. Raises WireError."""
        self._buffer += data
        at, buffer = 0, self._buffer
        while len(buffer) - at >= _LENGTH.size:
            end = at + _LENGTH.size + _LENGTH.unpack_from(buffer, at)[0]
            if len(buffer) < end:
                break
            yield decode(buffer[at:end])
            at = end
        del buffer[:at]
