"""The keeper's own connection to the kernel: its only ZeroMQ client, for everyone who talks to it.

A message to the kernel gets its client's name in front of the identities it came with, and the
kernel puts both before its reply, and before what it asks on stdin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from farlab_kernels.keeper.messages import Frames, Signer
from farlab_kernels.keeper.process import KernelProcess
from farlab_kernels.keeper.wire import Kind
from farlab_kernels.keeper.zmtp import SUBSCRIBE, Peer, connect

# The kernel finds the one to ask on stdin by the identity of its shell channel.
_IDENTITY = b"farlab-keeper"
_KINDS = (Kind.IOPUB, Kind.SHELL, Kind.CONTROL, Kind.STDIN)
_RECONNECT = 0.02  # seconds
_REST = 0.002  # seconds
_ASK_AGAIN = 0.5  # seconds
_QUIET = 0.05  # seconds without a message after which a kernel that ended has said all
_QUIET_TRIES = 100


class Channels:
    """The channels of one kernel. `receive` gets what it says, from `open` on.

    `received` is called behind the messages that came together.
    """

    def __init__(
        self, process: KernelProcess, signer: Signer, receive: Callable[[Kind, Frames], None],
        received: Callable[[], None],
    ) -> None:  # fmt: skip
        self._process = process
        self._signer = signer
        self._receive = receive
        self._received = received
        self._count = 0
        self._heard: set[Kind] = set()
        self._opened = False
        self._answer = asyncio.Event()
        self._resting: asyncio.TimerHandle | None = None
        self._connected: list[Peer] = []
        self._peers = {kind: self._peer(kind) for kind in _KINDS}

    def _peer(self, kind: Kind) -> Peer:
        type_ = b"SUB" if kind is Kind.IOPUB else b"DEALER"
        return Peer(
            type_, _IDENTITY, receive=lambda _, frames: self._hear(kind, frames),
            received=self._received,
        )  # fmt: skip

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
        for kind, peer in self._peers.items():
            path = self._process.address(kind.name.lower())
            await connect(path, peer, _RECONNECT)
            self._connected.append(peer)
        self._peers[Kind.IOPUB].send([SUBSCRIBE])
        while not self._answer.is_set():
            self.send(Kind.SHELL, [_IDENTITY, *self._signer.make("kernel_info_request", {})])
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answer.wait(), _ASK_AGAIN)
        self._opened = True

    def rest(self) -> None:
        """Don't look at iopub for a moment: what is published then costs one wake-up together."""
        if self._opened and self._resting is None:
            self._peers[Kind.IOPUB].pause()
            self._resting = asyncio.get_running_loop().call_later(_REST, self.look)

    def look(self) -> None:
        """Look at iopub (again)."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
            self._peers[Kind.IOPUB].resume()

    def send(self, kind: Kind, frames: Frames) -> None:
        """Send to the kernel; the first frame is the client's name."""
        self._peers[kind].send(frames)

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
        self.look()
        for peer in self._connected:
            peer.close()
