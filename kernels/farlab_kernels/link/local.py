"""Local ZeroMQ sockets and a connection file: what a Jupyter client takes for a kernel."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from farlab_kernels.keeper.messages import Frames, Signer
from farlab_kernels.keeper.sockets import Socket
from farlab_kernels.keeper.wire import Kind

_PORTS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}
_LONGEST_FOLDER = 80  # a socket's path has at most 107 bytes


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
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: dict[str, Socket] = {}
        self.info = self._describe(key)
        self.file = self._folder / "kernel.json"
        self.file.write_text(json.dumps(self.info))
        for kind in (Kind.SHELL, Kind.CONTROL, Kind.STDIN):
            self._open(kind.name.lower(), zmq.ROUTER, self._sender(kind, send))
        self._open("iopub", zmq.XPUB, self._welcome)
        self._open("hb", zmq.ROUTER, self._beat)

    def _describe(self, key: str) -> dict[str, Any]:
        about = {"transport": "ipc", "ip": str(self._folder / "kernel"), "key": key}
        ports = {f"{name}_port": number for name, number in _PORTS.items()}
        return {**about, **ports, "signature_scheme": "hmac-sha256", "kernel_name": ""}

    def _open(self, name: str, kind: int, receive: Callable[[Frames], None]) -> None:
        raw = self._context.socket(kind)
        if kind == zmq.ROUTER:
            # A client that connects again is the one that counts, as with ipykernel.
            raw.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._sockets[name] = Socket(raw, receive)
        self._sockets[name].bind(f"ipc://{self.info['ip']}-{_PORTS[name]}")

    def _sender(self, kind: Kind, send: Callable[[Kind, Frames], None]) -> Callable[[Frames], None]:
        return lambda frames: send(kind, frames)

    def deliver(self, kind: Kind, frames: Frames) -> None:
        """Give the kernel's message to the client it is for, or on iopub to all."""
        self._sockets[kind.name.lower()].send(frames)

    def _welcome(self, frames: Frames) -> None:
        """Tell a client that it has subscribed to iopub, as ipykernel 7 does."""
        if frames[0][:1] == b"\x01":
            topic = frames[0][1:]
            content = {"subscription": topic.decode(errors="replace")}
            welcome = self._signer.make("iopub_welcome", content, to=[topic] if topic else [])
            self._sockets["iopub"].send(welcome)

    def _beat(self, frames: Frames) -> None:
        if self._alive():
            self._sockets["hb"].send(frames)

    def close(self) -> None:
        """Close the sockets and remove the folder."""
        for socket in self._sockets.values():
            socket.close()
        self._context.term()
        shutil.rmtree(self._folder, ignore_errors=True)
