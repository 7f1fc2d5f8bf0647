"""The cell that came with the job: it runs as soon as the kernel is there, for nobody who waits.

FARLAB_FIRST_CELL names a folder with the cell's `code` and what it needs, `inputs` (a parcel, see
variables/parcel.py; may be empty).
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farlab_kernels.keeper.lanes import Request
from farlab_kernels.keeper.messages import Signer
from farlab_kernels.variables.handover import NAME

VARIABLE = "FARLAB_FIRST_CELL"
CLIENT = "the-job-itself"
"""The name of the client that such a cell belongs to."""
_PATIENCE = 30.0  # seconds for the kernel to take variables
_PAUSE = 0.02


@dataclass(frozen=True)
class FirstCell:
    """The code of the cell, and the parcel of what it needs."""

    code: str
    inputs: bytes

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> FirstCell | None:
        """Return the cell that came with this job, if one did. Raises OSError, ValueError."""
        named = environment.get(VARIABLE, "")
        if not named:
            return None
        folder = Path(named)
        return cls((folder / "code").read_text(), (folder / "inputs").read_bytes())

    def request(self, key: str) -> Request:
        """Return the request that runs it, signed with the key of the kernel's messages."""
        content = {
            "code": self.code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        made = Signer(key).make("execute_request", content, to=[CLIENT.encode()])
        return Request.parse(made)

    def deliver(self, folder: Path, place: str) -> None:
        """Give the kernel what the cell needs. Blocks. Raises TransferError, OSError."""
        if not self.inputs:
            return
        # Only now: it takes a moment, and most jobs come without a cell.
        from farlab_kernels.variables import parcel  # noqa: PLC0415
        from farlab_kernels.variables.channel import Channel  # noqa: PLC0415

        opened = parcel.unpack(self.inputs)
        ours, theirs = socket.socketpair()
        with theirs:
            hello = json.dumps({"about": opened.sender.to_wire(), "place": place}).encode()
            _hand_over(folder, hello, theirs)
        channel = Channel(ours)
        try:
            opened.deliver(channel)
        finally:
            channel.close()


def _hand_over(folder: Path, hello: bytes, connection: socket.socket) -> None:
    """Pass one end of a connection to the kernel, whose thread for that may still be starting."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            try:
                door.connect(str(folder / NAME))
                socket.send_fds(door, [hello], [connection.fileno()])
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise
        time.sleep(_PAUSE)


def failed(error: Exception) -> dict[str, Any]:
    """Return the content of a reply that says why the cell could not run."""
    name, words = type(error).__name__, f"the cell did not run: {error}"
    return {"status": "error", "ename": name, "evalue": words, "traceback": [f"{name}: {words}"]}
