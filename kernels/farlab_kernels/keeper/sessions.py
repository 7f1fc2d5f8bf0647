"""A client's session: it outlives its connections, so that a cut costs no message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from farlab_kernels.keeper.proof import Visitor
from farlab_kernels.keeper.spool import Spool
from farlab_kernels.keeper.wire import (
    ACK_DELAY,
    ACK_EVERY,
    HEARTBEAT,
    SILENCE,
    Decoder,
    Kind,
    Packet,
    WireError,
    encode,
)

CHUNK = 1 << 18
"""Bytes that are read, and about what is sent, at once."""
WRITE_LIMIT = 1 << 20
"""Unsent bytes above which a session waits for its client."""

Handle = Callable[[str, Packet], None]


class Session:
    """What is between the keeper and one client.

    `received` is the number of the last packet that the client sent, `acked` that of the last which
    it has. What follows `acked` is in the spool.
    """

    def __init__(self, client: str, spool: Spool, handle: Handle) -> None:
        self.client = client
        self.received = 0
        self.acked = spool.last
        self._sent = spool.last
        self._spool = spool
        self._handle = handle
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._ack_sent = 0
        self._heard = self._spoken = 0.0
        self._instance = ""
        self._retired: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self.acknowledged = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the client is there now."""
        return self._writer is not None

    def admits(self, instance: str) -> bool:
        """Tell whether a process may have this session: not when a later one has taken it over."""
        return instance not in self._retired

    def resume(self, visitor: Visitor, instance: str, seen: int | None) -> None:
        """Go on over a new connection, behind what the client has; the one before it is closed."""
        if self._writer is not None:
            self._writer.close()
        if instance != self._instance:
            self._retired.add(self._instance)
            self._instance = instance
        if seen is not None:
            self.acked = self._sent = min(max(seen, 0), self._spool.last)
        self._writer = visitor.writer
        self._writer.transport.set_write_buffer_limits(high=WRITE_LIMIT)
        self._waiting = None
        self._ack_sent = self.received
        self._heard = self._spoken = self._loop.time()
        self.flush()

    async def serve(self, visitor: Visitor) -> None:
        """Do what the client sends until its connection ends."""
        decoder = Decoder()
        ticking = self._loop.create_task(self._tick(visitor.writer))
        try:
            while data := await visitor.reader.read(CHUNK):
                if self._writer is not visitor.writer:
                    return
                self._heard = self._loop.time()
                for packet in decoder.feed(data):
                    self._take(packet)
                if self.received - self._ack_sent >= ACK_EVERY:
                    self._write([])
        except OSError:
            pass
        finally:
            ticking.cancel()
            if self._writer is visitor.writer:
                self._writer = None

    def _take(self, packet: Packet) -> None:
        if packet.kind is Kind.ACK:
            self.acked = max(self.acked, packet.number)
            self.acknowledged.set()
        elif packet.number > self.received:
            if packet.number != self.received + 1:
                raise WireError(f"packet {packet.number} came behind {self.received}")
            self.received = packet.number
            self._handle(self.client, packet)

    async def _tick(self, writer: asyncio.StreamWriter) -> None:
        """Acknowledge, give a sign of life, and close a connection that gives none."""
        while self._writer is writer:
            await asyncio.sleep(ACK_DELAY)
            now = self._loop.time()
            if now - self._heard > SILENCE:
                writer.transport.abort()
            elif self.received != self._ack_sent or now - self._spoken > HEARTBEAT:
                self._write([])

    def flush(self) -> None:
        """Send what is new, as much as the client takes."""
        if self._writer is None or self._waiting is not None:
            return
        chunks, size = [], 0
        while size < CHUNK and (entries := self._spool.after(self._sent)):
            mine = [entry.data for entry in entries if entry.client in ("", self.client)]
            chunks += mine
            size += sum(map(len, mine))
            self._sent = entries[-1].number
        if chunks:
            self._write(chunks)
        if size >= CHUNK:
            self._waiting = self._loop.create_task(self._go_on(self._writer))

    async def _go_on(self, writer: asyncio.StreamWriter) -> None:
        """Send more when the client has taken what there is."""
        with suppress(OSError):
            await writer.drain()
            await asyncio.sleep(0)  # others' turn
        if self._writer is writer:
            self._waiting = None
            self.flush()

    async def caught_up(self) -> None:
        """Wait until the client, while it is connected, has everything."""
        while self.connected and self.acked < self._spool.last:
            self.acknowledged.clear()
            await self.acknowledged.wait()

    def _write(self, chunks: list[bytes]) -> None:
        if self._writer is None:
            return
        self._spoken = self._loop.time()
        if not chunks or self._ack_sent != self.received:
            chunks.append(encode(Kind.ACK, self.received))
            self._ack_sent = self.received
        self._writer.write(b"".join(chunks))
