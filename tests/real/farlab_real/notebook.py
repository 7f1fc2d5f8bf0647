"""A kernel on a user's server, through the hub: what a notebook does, without a browser."""

from __future__ import annotations

import json
import uuid
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from farlab_real.user import HubUser

PATIENCE_S = 90.0


class Kernel:
    """A running kernel; `run` executes code in it."""

    def __init__(self, user: HubUser, server: str = "", kernel: str = "") -> None:
        self.user = user
        self.server = server
        self.id = kernel or self._start()
        self._socket: ClientConnection | None = None

    def _start(self) -> str:
        answer = self.user.post("api/kernels", {"name": "python3"}, self.server)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def connect(self) -> None:
        """Open the kernel's WebSocket."""
        url = self.user.url(f"api/kernels/{self.id}/channels", self.server)
        cookies = self.user.http.cookies.jar
        header = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)
        self._socket = connect(
            url.replace("http", "ws", 1),
            additional_headers={"Cookie": header},
            open_timeout=PATIENCE_S,
            max_size=None,
        )

    def close(self) -> None:
        """Close the WebSocket; the kernel goes on."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def run(self, code: str) -> str:
        """Execute the code and return what it printed; an exception of the code fails the test."""
        assert self._socket is not None
        request = uuid.uuid4().hex
        self._socket.send(json.dumps(_execute_request(request, code)))
        printed = ""
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                printed += content["text"]
            elif message["msg_type"] == "execute_reply":
                assert content["status"] == "ok", content
            elif content.get("execution_state") == "idle":
                return printed

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _execute_request(identity: str, code: str) -> dict[str, Any]:
    header = {
        "msg_id": identity,
        "msg_type": "execute_request",
        "session": identity,
        "username": "",
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": "shell",
        "buffers": [],
    }
