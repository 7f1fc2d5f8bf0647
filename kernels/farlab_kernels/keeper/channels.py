"""The keeper's own connection to the kernel: its only ZeroMQ client, for everyone who talks to it.

A message to the kernel gets its client's name in front of the identities it came with, and the
kernel puts both before its reply, and before what it asks on stdin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import zmq

from farlab_kernels.keeper.messages import Frames, Signer
from farlab_kernels.keeper.process import KernelProcess
from farlab_kernels.keeper.sockets import Socket
from farlab_kernels.keeper.wire import Kind

# The kernel finds the one to ask on stdin by the identity of its shell channel.
_IDENTITY = b"farlab-keeper"
_RECONNECT = 20  # milliseconds
_ASK_AGAIN = 0.5  # seconds
_QUIET = 0.05  # seconds without a message after which a kernel that ended has said all
_QUIET_TRIES = 100


class Channels:
    """The channels of one kernel. `receive` gets what it says, from `open` on."""

    def __init__(
        self, process: KernelProcess, signer: Signer, receive: Callable[[Kind, Frames], None]
    ) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._signer = signer
        self._receive = receive
        self._count = 0
        self._heard: set[Kind] = set()
        self._opened = False
        self._answer = asyncio.Event()
        self._sockets = {
            kind: self._connect(kind, process.address(kind.name.lower()))
            for kind in (Kind.IOPUB, Kind.SHELL, Kind.CONTROL, Kind.STDIN)
        }

    def _connect(self, kind: Kind, address: str) -> Socket:
        raw = self._context.socket(zmq.SUB if kind is Kind.IOPUB else zmq.DEALER)
        raw.setsockopt(zmq.RECONNECT_IVL, _RECONNECT)
        if kind is Kind.IOPUB:
            raw.setsockopt(zmq.SUBSCRIBE, b"")
        else:
            raw.setsockopt(zmq.IDENTITY, _IDENTITY)
        socket = Socket(raw, lambda frames: self._hear(kind, frames))
        socket.connect(address)
        return socket

    def _hear(self, kind: Kind, frames: Frames) -> None:
        self._count += 1
        if self._opened:
            self._receive(kind, frames)
        else:
            self._heard.add(kind)
            if self._heard >= {Kind.SHELL, Kind.IOPUB}:
                self._answer.set()

    async def open(self) -> None:
        """Wait until the kernel answers, and is heard on iopub, where it does not wait for us."""
        while not self._answer.is_set():
            self.send(Kind.SHELL, [_IDENTITY, *self._signer.make("kernel_info_request", {})])
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answer.wait(), _ASK_AGAIN)
        self._opened = True

    def send(self, kind: Kind, frames: Frames) -> None:
        """Send to the kernel; the first frame is the client's name."""
        self._sockets[kind].send(frames)

    async def quiet(self) -> None:
        """Wait until what the kernel said before its end has come in."""
        before = -1
        for _ in range(_QUIET_TRIES):
            if before == self._count:
                return
            before = self._count
            await asyncio.sleep(_QUIET)

    def close(self) -> None:
        """Hang up."""
        for socket in self._sockets.values():
            socket.close()
        self._context.term()
