"""Run code in a kernel of a user's server, through the hub's proxy, as JupyterLab does."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import connect

from farlab_real.user import HubUser


class RemoteKernel:
    """A Python kernel of `user`'s server; `run` returns what the code printed.

    The kernel stays when the connection is lost: `connect` again and its state is there.
    """

    def __init__(self, user: HubUser, server: str = "", *, kernel_id: str = "") -> None:
        self._user = user
        self._server = server
        self._open = ExitStack()
        self.id = kernel_id or self._start()
        self.connect()

    def _start(self) -> str:
        answer = self._user.post("api/kernels", {"name": "python3"}, self._server)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def connect(self) -> None:
        """Open the kernel's WebSocket, in place of one that was lost."""
        url = self._user.url(f"api/kernels/{self.id}/channels", self._server)
        request = self._user.http.build_request("GET", url)
        self.close()
        self._socket = self._open.enter_context(
            connect(
                url.replace("http", "ws", 1),
                additional_headers={"Cookie": request.headers.get("Cookie", "")},
                open_timeout=60,
                max_size=None,
            )
        )

    def run(self, code: str, timeout: float = 60.0) -> str:
        """Run code and return its output; raise AssertionError with the traceback if it fails."""
        sent = self._send(code)
        output = ""
        while True:
            message = json.loads(self._socket.recv(timeout=timeout))
            if message["parent_header"].get("msg_id") != sent:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                output += content["text"]
            elif message["msg_type"] == "error":
                raise AssertionError("\n".join(content["traceback"]))
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return output

    def _send(self, code: str) -> str:
        header: dict[str, Any] = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request"}
        header |= {"session": uuid.uuid4().hex, "username": self._user.name, "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        self._socket.send(json.dumps({**message, "channel": "shell"}))
        return str(header["msg_id"])

    def close(self) -> None:
        """Close the connection; the kernel goes on."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
