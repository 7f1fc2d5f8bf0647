"""Reads the keeper's spool: what a cell has said while nobody listened, or to somebody else."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from farlab_kernels.keeper.messages import border, read
from farlab_kernels.keeper.wire import Decoder, Kind, Packet, Writer

_CHUNK = 1 << 18
_RETRY = 1.0

Open = Callable[..., Awaitable[tuple[asyncio.StreamReader, Writer, dict[str, Any]]]]


@dataclass(frozen=True)
class Message:
    """A message of the kernel, as jupyter_client has it, and its number in the spool."""

    number: int
    channel: str
    header: dict[str, Any]
    parent_header: dict[str, Any]
    metadata: dict[str, Any]
    content: dict[str, Any]
    buffers: list[bytes]

    @property
    def kind(self) -> str:
        """The message's type."""
        return str(self.header.get("msg_type"))

    @classmethod
    def parse(cls, packet: Packet) -> Message:
        """Read a packet of one of the kernel's channels. Raises MessageError."""
        at = border(packet.parts)
        header, parent, metadata, content = map(read, packet.parts[at + 2 : at + 6])
        channel = packet.kind.name.lower()
        buffers = packet.parts[at + 6 :]
        return cls(packet.number, channel, header, parent, metadata, content, buffers)


async def list_cells(open_: Open) -> list[dict[str, Any]]:
    """Return what cells there were and are. Raises RefusedError, OSError, TimeoutError."""
    async for packet in _packets(open_, "cells"):
        cells: list[dict[str, Any]] = json.loads(packet.parts[0])
        return cells
    raise ConnectionError("the connection ended before the list of cells")


async def replay(open_: Open, cell: str, since: int, *, follow: bool) -> AsyncIterator[Message]:
    """Yield the messages of a cell behind `since`, over as many connections as it takes."""
    while True:
        try:
            async for packet in _packets(open_, "history", cell=cell, since=since, follow=follow):
                if packet.kind is Kind.EVENT:
                    if "done" in json.loads(packet.parts[0]):
                        return
                    continue
                since = packet.number
                yield Message.parse(packet)
        except (OSError, TimeoutError):
            pass
        await asyncio.sleep(_RETRY * random.uniform(0.5, 1))  # noqa: S311


async def _packets(open_: Open, kind: str, **hello: Any) -> AsyncIterator[Packet]:
    reader, writer, _ = await open_(kind, **hello)
    decoder = Decoder()
    try:
        while data := await reader.read(_CHUNK):
            for packet in decoder.feed(data):
                yield packet
    finally:
        writer.close()
