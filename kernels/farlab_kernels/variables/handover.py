"""How a data connection gets from the keeper to the kernel's process: as a file descriptor.

The keeper proves who came, and passes the connection itself on through a UNIX socket in the private
folder: the bytes that follow go straight into the kernel's memory.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from farlab_kernels.keeper.proof import RefusedError, Visitor

NAME = "data"
"""The socket's name in the folder."""
_MOST = 32 * 1024  # bytes of a hello
_PATIENCE = 10.0  # seconds for the system to connect to the kernel


class Handover:
    """The keeper's part: the handler of data connections."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / NAME)

    async def __call__(self, visitor: Visitor) -> None:
        """Pass a proven visitor on to the kernel. Raises RefusedError when there is none."""
        transport = visitor.writer.transport
        connection = transport.get_extra_info("socket")
        # What the client says next is for the kernel: it must stay in the socket.
        transport.pause_reading()  # type: ignore[attr-defined]
        hello = json.dumps(visitor.hello).encode()
        if len(hello) > _MOST:
            raise RefusedError("the client says too much about itself")
        door = await self._connect()
        try:
            transport.set_write_buffer_limits(0)  # so that `drain` waits for the last byte
            visitor.accept()
            await visitor.writer.drain()
            # The kernel takes it when it gets to it: on its way the connection stays open.
            socket.send_fds(door, [hello], [connection.fileno()])
        finally:
            door.close()

    async def _connect(self) -> socket.socket:
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        door.setblocking(False)
        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.get_running_loop().sock_connect(door, self._path)
        except (OSError, TimeoutError):
            door.close()
            raise RefusedError("the kernel is not there to take variables") from None
        return door


def connections(folder: Path) -> Iterator[tuple[socket.socket, dict[str, Any]]]:
    """Yield, in the kernel's process, each connection and what its client said. Never ends."""
    path = folder / NAME
    path.unlink(missing_ok=True)  # of the kernel before this one
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(path))
        server.listen(64)
        while True:
            door, _ = server.accept()
            with door:
                hello, numbers, _, _ = socket.recv_fds(door, _MOST, 1, socket.MSG_CMSG_CLOEXEC)
            for number in numbers:
                yield socket.socket(fileno=number), json.loads(hello)
