"""A connection that asyncio has opened, as a socket for threads that block."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any

from farlab_kernels.keeper.wire import Writer

_CHUNK = 1 << 18


async def take_over(reader: asyncio.StreamReader, writer: Writer) -> tuple[socket.socket, bytes]:
    """Return the connection's socket, and what was already read from it.

    What has no socket of its own, such as TLS or a WebSocket, is copied through a pair of them.
    """
    transport: Any = getattr(writer, "transport", None)
    own = transport.get_extra_info("socket") if transport is not None else None
    if own is None or transport.get_extra_info("sslcontext") is not None:
        return _pair(reader, writer), b""
    transport.pause_reading()
    transport.set_write_buffer_limits(0)
    await writer.drain()
    reader.feed_eof()
    begun = await reader.read()
    connection = socket.socket(fileno=os.dup(own.fileno()))
    writer.close()
    return connection, begun


_pumping: set[asyncio.Task[None]] = set()


def _pair(reader: asyncio.StreamReader, writer: Writer) -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    task = asyncio.get_running_loop().create_task(_pump(reader, writer, theirs))
    _pumping.add(task)
    task.add_done_callback(_pumping.discard)
    return ours


async def _pump(reader: asyncio.StreamReader, writer: Writer, end: socket.socket) -> None:
    """Copy both ways until either side ends."""
    loop = asyncio.get_running_loop()

    async def inward() -> None:
        while data := await reader.read(_CHUNK):
            await loop.sock_sendall(end, data)

    async def outward() -> None:
        while data := await loop.sock_recv(end, _CHUNK):
            writer.write(data)
            await writer.drain()

    tasks = [loop.create_task(inward()), loop.create_task(outward())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        end.close()
        with suppress(OSError):
            writer.close()
