"""Local ZeroMQ sockets and a connection file: what a Jupyter client takes for a kernel."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farlab_kernels.keeper.messages import Frames, Signer
from farlab_kernels.keeper.wire import Kind
from farlab_kernels.keeper.zmtp import SUBSCRIBE, UNSUBSCRIBE, Peer

_PORTS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}
_LONGEST_FOLDER = 80  # a socket's path has at most 107 bytes
_BACKLOG = 256


class _Router:
    """A ROUTER socket: each message comes with its client's identity in front, and goes by it."""

    def __init__(self, receive: Callable[[Frames], None], cork: list[Peer]) -> None:
        self._receive = receive
        self._cork = cork
        self.peers: dict[bytes, Peer] = {}

    def __call__(self) -> Peer:
        """Make the protocol of a new connection."""
        return Peer(
            b"ROUTER", receive=self._hear, ready=self._welcome, lost=self._forget, cork=self._cork
        )

    def _welcome(self, peer: Peer) -> None:
        peer.identity = peer.identity or b"\0" + secrets.token_bytes(8)
        # A client that connects again is the one that counts, as with ipykernel.
        before = self.peers.pop(peer.identity, None)
        self.peers[peer.identity] = peer
        if before is not None:
            before.close()

    def _hear(self, peer: Peer, frames: Frames) -> None:
        self._receive([peer.identity, *frames])

    def _forget(self, peer: Peer) -> None:
        if self.peers.get(peer.identity) is peer:
            del self.peers[peer.identity]

    def send(self, frames: Frames) -> None:
        """Send to the client that the first frame names, if it is there."""
        peer = self.peers.get(frames[0])
        if peer is not None:
            peer.send(frames[1:])


class _Publisher:
    """An XPUB socket. `subscribed` is called with a client that has subscribed, and the topic."""

    def __init__(self, subscribed: Callable[[Peer, bytes], None], cork: list[Peer]) -> None:
        self._subscribed = subscribed
        self._cork = cork
        self.peers: dict[Peer, list[bytes]] = {}

    def __call__(self) -> Peer:
        """Make the protocol of a new connection."""
        return Peer(
            b"XPUB", receive=self._hear, ready=self._welcome, lost=self._forget, cork=self._cork
        )

    def _welcome(self, peer: Peer) -> None:
        self.peers[peer] = []

    def _hear(self, peer: Peer, frames: Frames) -> None:
        what, topic = frames[0][:1], frames[0][1:]
        if what == SUBSCRIBE:
            self.peers[peer].append(topic)
            self._subscribed(peer, topic)
        elif what == UNSUBSCRIBE and topic in self.peers[peer]:
            self.peers[peer].remove(topic)

    def _forget(self, peer: Peer) -> None:
        self.peers.pop(peer, None)

    def send(self, frames: Frames) -> None:
        """Send to every client that has subscribed to what the first frame begins with."""
        for peer, topics in self.peers.items():
            if any(map(frames[0].startswith, topics)):
                peer.send(frames)


class LocalEnd:
    """The sockets, in a private folder. `send` gets what clients say.

    While `alive` answers True so does the heartbeat.
    """

    def __init__(
        self, key: str, send: Callable[[Kind, Frames], None], alive: Callable[[], bool]
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="farlab-link-"))
        if len(str(self._folder)) > _LONGEST_FOLDER:
            self._folder.rmdir()
            self._folder = Path(tempfile.mkdtemp(prefix="farlab-link-", dir="/tmp"))
        self._alive = alive
        self._signer = Signer(key)
        self._cork: list[Peer] = []
        self._routers = {
            kind: _Router(self._sender(kind, send), self._cork)
            for kind in (Kind.SHELL, Kind.CONTROL, Kind.STDIN)
        }
        self._iopub = _Publisher(self._welcome, self._cork)
        self._heart = _Router(self._beat, self._cork)
        self._servers: list[asyncio.Server] = []
        self.info = self._describe(key)
        self.file = self._folder / "kernel.json"

    def _describe(self, key: str) -> dict[str, Any]:
        about = {"transport": "ipc", "ip": str(self._folder / "kernel"), "key": key}
        ports = {f"{name}_port": number for name, number in _PORTS.items()}
        return {**about, **ports, "signature_scheme": "hmac-sha256", "kernel_name": ""}

    async def open(self) -> None:
        """Listen, and write the connection file."""
        ends: dict[str, _Router | _Publisher] = {"iopub": self._iopub, "hb": self._heart}
        ends |= {kind.name.lower(): router for kind, router in self._routers.items()}
        loop = asyncio.get_running_loop()
        for name, end in ends.items():
            path = f"{self.info['ip']}-{_PORTS[name]}"
            self._servers.append(await loop.create_unix_server(end, path, backlog=_BACKLOG))
        self.file.write_text(json.dumps(self.info))

    def _sender(self, kind: Kind, send: Callable[[Kind, Frames], None]) -> Callable[[Frames], None]:
        return lambda frames: send(kind, frames)

    def deliver(self, kind: Kind, frames: Frames) -> None:
        """Give the kernel's message to the client it is for, or on iopub to all; see `flush`."""
        if kind is Kind.IOPUB:
            self._iopub.send(frames)
        else:
            self._routers[kind].send(frames)

    def flush(self) -> None:
        """Send what was delivered: one write for each client's channel, one right after another.

        A client in another thread of this process would otherwise keep this one from going on
        as soon as it has the first message.
        """
        for peer in self._cork:
            peer.flush()
        self._cork.clear()

    def _welcome(self, peer: Peer, topic: bytes) -> None:
        """Tell a client that it has subscribed to iopub, as ipykernel 7 does."""
        content = {"subscription": topic.decode(errors="replace")}
        to = [topic] if topic else []
        peer.send(self._signer.make("iopub_welcome", content, to=to))
        self.flush()

    def _beat(self, frames: Frames) -> None:
        if self._alive():
            self._heart.send(frames)
            self.flush()

    def close(self) -> None:
        """Close the sockets and remove the folder."""
        for server in self._servers:
            server.close()
        for end in (*self._routers.values(), self._heart):
            for peer in list(end.peers.values()):
                peer.close()
        for peer in list(self._iopub.peers):
            peer.close()
        shutil.rmtree(self._folder, ignore_errors=True)
