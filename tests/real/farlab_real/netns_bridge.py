"""Ports of loopback that lead to the same ports of a network namespace's loopback.

    python -m farlab_real.netns_bridge NAMESPACE PORT...

A server that binds every address is closed in a namespace; with this, URLs on localhost mean the
same servers inside and outside. Prints `ready` when it listens.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import sys
from functools import partial
from pathlib import Path

CLONE_NEWNET = 0x40000000
NAMESPACES = Path("/run/netns")
PART = 1 << 18


def listen(port: int) -> socket.socket:
    """Listen at a port of loopback, here and now."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def enter(namespace: str) -> None:
    """Let every socket that is made from now on be one of the namespace."""
    descriptor = os.open(NAMESPACES / namespace, os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
    os.close(descriptor)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until their end, and then the end."""
    try:
        while part := await reader.read(PART):
            writer.write(part)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Pass one connection on to a port inside."""
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
    for one in (inner_writer, writer):
        one.close()


async def serve(listeners: list[socket.socket]) -> None:
    """Serve all listeners for ever."""
    for listener in listeners:
        handler = partial(join, port=listener.getsockname()[1])
        await asyncio.start_server(handler, sock=listener)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sockets = [listen(int(port)) for port in sys.argv[2:]]
    enter(sys.argv[1])
    asyncio.run(serve(sockets))
