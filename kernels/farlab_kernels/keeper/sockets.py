"""ZeroMQ sockets in asyncio's loop, without a task or a future for each message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import zmq

_BATCH = 200  # messages read before other work gets its turn

Receive = Callable[[list[bytes]], None]


class Socket:
    """A ZeroMQ socket that hands what it receives to a function, message by message.

    Nothing is ever dropped for being too much (high-water marks are off), nor waited for.
    """

    def __init__(self, socket: zmq.Socket[bytes], receive: Receive) -> None:
        socket.linger = 0
        socket.set_hwm(0)
        self._socket = socket
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(socket.fileno(), self._read)

    def connect(self, address: str) -> None:
        """Connect; whether anybody is there does not matter."""
        self._socket.connect(address)

    def bind(self, address: str) -> None:
        """Listen."""
        self._socket.bind(address)

    def send(self, frames: list[bytes]) -> None:
        """Send a message."""
        self._socket.send_multipart(frames, zmq.NOBLOCK)
        # Sending may have used up the file descriptor's only sign that a message came in.
        if self._socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:  # type: ignore[operator, arg-type]
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        for _ in range(_BATCH):
            if self._socket.closed:
                return
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._receive(frames)
        self._loop.call_soon(self._read)

    def close(self) -> None:
        """Close; what is not sent yet is dropped."""
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
