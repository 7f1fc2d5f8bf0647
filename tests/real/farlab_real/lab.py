"""A real JupyterLab in a folder of its own, as somebody's laptop has it."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx
from websockets.sync.client import ClientConnection, connect

from farlab_real.processes import Process, free_ports
from farlab_real.running import Running

TOKEN = "the-token-of-this-laptop"
PATIENCE = 90.0


class RunningLab(Running):
    """JupyterLab, with its notebooks in `folder`.

    `environment` is added to this process's, of which Farlab's own variables are left out;
    `options` are further arguments, such as `--FarlabServerApp.catalogue=sites.yaml`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}/"
        known = {name: value for name, value in os.environ.items() if "FARLAB" not in name}
        own = {f"JUPYTER_{kind}_DIR": str(folder / f".{kind}") for kind in
               ("CONFIG", "DATA", "RUNTIME")}  # fmt: skip
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
            *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"),
            # Nothing is asked from outside, neither news nor updates.
            *("--LabApp.news_url=None",
              "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
            *options,
        ]  # fmt: skip
        env = {**known, **own, **environment, "HOME": str(folder)}
        self.process = Process(command, folder / ".log", env)

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        self.process.start()
        self.process.wait_until(self._answers, "JupyterLab")
        return self

    def stop(self) -> None:
        """Stop it; its kernels end with it."""
        self.process.stop()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}api/status", headers=_HEADERS).status_code == 200
        except httpx.HTTPError:
            return False

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API of the Jupyter server; `path` such as `sessions`."""
        return self.call(method, f"api/{path}", body)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the server; `path` such as `farlab/api/workloads`."""
        answer = httpx.request(
            method, f"{self.url}{path}", headers=_HEADERS, json=body, timeout=PATIENCE
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def address(self, notebook: str = "") -> str:
        """Return where a browser opens JupyterLab, and a notebook in it."""
        page = f"lab/tree/{notebook}" if notebook else "lab"
        return f"{self.url}{page}?token={TOKEN}"

    def open_session(self, notebook: str, kernel: str) -> str:
        """Open a notebook with a kernel, as a page does; return the kernel's id."""
        body = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": kernel}}
        return str(self.api("POST", "sessions", body)["kernel"]["id"])

    def run(self, kernel: str, code: str) -> str:
        """Run code in a kernel; return what it prints."""
        url = self.url.replace("http", "ws", 1) + f"api/kernels/{kernel}/channels"
        with connect(url, additional_headers=_HEADERS, max_size=None) as socket:
            return _run(socket, code)


_HEADERS = {"Authorization": f"token {TOKEN}"}


def _run(socket: ClientConnection, code: str) -> str:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3",
              "username": "", "session": uuid.uuid4().hex}  # fmt: skip
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    socket.send(json.dumps({**message, "channel": "shell"}))
    printed: str = ""
    while True:
        said = json.loads(socket.recv(timeout=PATIENCE))
        if said["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        printed += str(said["content"].get("text", ""))
        if said["content"].get("execution_state") == "idle":
            return printed
