"""The link's side of a resumable session: whatever happens to connections, no message is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from farlab_kernels.keeper.proof import introduce
from farlab_kernels.keeper.wire import (
    ACK_DELAY,
    ACK_EVERY,
    HEARTBEAT,
    SILENCE,
    Decoder,
    Kind,
    Packet,
    Writer,
    encode,
)

OpenStream = Callable[[int], Awaitable[tuple[asyncio.StreamReader, Writer]]]
"""Opens a connection to a port of the kernel's workload. Raises OSError or TimeoutError where
trying again may help, EndedError where the workload has ended."""

_CHUNK = 1 << 18
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0

log = logging.getLogger(__name__)


class EndedError(Exception):
    """There is no kernel any more; says why."""


class Connection:
    """Keeps connected to the keeper.

    `receive` gets each of its packets, once and in order; `received` is called behind those that
    came together; `on_change` when a connection begins or ends. `client` names the session;
    `seen` is the last packet the client has, None: the keeper knows.
    """

    def __init__(
        self, open_stream: OpenStream, port: int, key: str, *, receive: Callable[[Packet], None],
        received: Callable[[], None], client: str, seen: int | None, on_change: Callable[[], None],
    ) -> None:  # fmt: skip
        self._open_stream = open_stream
        self._port = port
        self._key = key
        self._receive = receive
        self._received = received
        self._on_change = on_change
        self.client = client
        self.seen = seen
        self._instance = uuid.uuid4().hex
        self._number = 0
        self._unacknowledged: deque[tuple[int, bytes]] = deque()
        self._unsent: list[bytes] = []
        self._early: list[tuple[Kind, Sequence[bytes]]] = []
        self._writer: Writer | None = None
        self._ack_sent = 0
        self._spoken = 0.0
        self._loop = asyncio.get_running_loop()
        self.first_answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._writer is not None

    async def open(
        self, hello: dict[str, Any]
    ) -> tuple[asyncio.StreamReader, Writer, dict[str, Any]]:
        """Open one more connection, of any kind, and return the keeper's answer with it."""
        reader, writer = await self._open_stream(self._port)
        try:
            answer = await introduce(reader, writer, self._key, hello)
        except BaseException:
            writer.close()
            raise
        return reader, writer, answer

    async def run(self) -> None:
        """Stay connected. Raises RefusedError, or EndedError, when that can't be."""
        delay = _FIRST_DELAY
        while True:
            try:
                await self._session()
                delay = _FIRST_DELAY
            except (OSError, TimeoutError, EOFError) as error:
                log.debug("no connection to the kernel's keeper: %s", error)
            # Not all at the same moment, when many links lost the same relay.
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311
            delay = min(2 * delay, _LONGEST_DELAY)

    async def _session(self) -> None:
        """Connect, go on where the connection before this one ended, and receive until it ends."""
        hello = {"kind": "session", "client": self.client, "instance": self._instance}
        reader, writer, answer = await self.open({**hello, "seen": self.seen})
        self._resume(writer, answer)
        ticking = asyncio.create_task(self._tick())
        try:
            decoder = Decoder()
            async with asyncio.timeout(SILENCE) as patience:
                while data := await reader.read(_CHUNK):
                    patience.reschedule(self._loop.time() + SILENCE)
                    for packet in decoder.feed(data):
                        self._take(packet)
                    self._received()
        finally:
            ticking.cancel()
            self._writer = None
            _hang_up(writer)
            self._on_change()

    def _resume(self, writer: Writer, answer: dict[str, Any]) -> None:
        received = int(answer["received"])
        if not self.first_answer.done():
            self.seen = int(answer["seen"])
            self._number = received
            self.first_answer.set_result(answer)
            for kind, parts in self._early:
                self.send(kind, parts)
        self._acknowledged(received)
        self._ack_sent = self.seen or 0
        self._spoken = self._loop.time()
        self._writer = writer
        self._unsent = [data for _, data in self._unacknowledged]
        self._flush()
        self._on_change()

    def _acknowledged(self, number: int) -> None:
        while self._unacknowledged and self._unacknowledged[0][0] <= number:
            self._unacknowledged.popleft()

    def _take(self, packet: Packet) -> None:
        if packet.kind is Kind.ACK:
            self._acknowledged(packet.number)
        elif self.seen is None or packet.number > self.seen:
            self.seen = packet.number
            self._receive(packet)
            if packet.kind is Kind.EVENT or self.seen - self._ack_sent >= ACK_EVERY:
                self._acknowledge()

    def _acknowledge(self) -> None:
        if self._writer is not None:
            self._ack_sent = self.seen or 0
            self._spoken = self._loop.time()
            self._writer.write(encode(Kind.ACK, self._ack_sent))

    def send(self, kind: Kind, parts: Sequence[bytes]) -> None:
        """Send a packet; now, or when there is a connection again."""
        if not self.first_answer.done():  # which says what the first number is
            self._early.append((kind, parts))
            return
        self._number += 1
        data = encode(kind, self._number, parts)
        self._unacknowledged.append((self._number, data))
        if self._writer is not None:
            if not self._unsent:
                self._loop.call_soon(self._flush)
            self._unsent.append(data)

    def _flush(self) -> None:
        if self._writer is not None and self._unsent:
            self._spoken = self._loop.time()
            self._writer.write(b"".join(self._unsent))
        self._unsent = []

    async def _tick(self) -> None:
        """Acknowledge, and give a sign of life."""
        while True:
            await asyncio.sleep(ACK_DELAY)
            quiet = self._loop.time() - self._spoken
            if self.seen != self._ack_sent or quiet > HEARTBEAT:
                self._acknowledge()


def _hang_up(writer: Writer) -> None:
    """End a connection, also one whose other end takes nothing any more."""
    if isinstance(writer, asyncio.StreamWriter) and writer.transport.get_write_buffer_size():
        writer.transport.abort()
    else:
        writer.close()
