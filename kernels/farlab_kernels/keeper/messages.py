"""Jupyter's messages as ZeroMQ frames: read what routing needs, sign what the keeper says itself.

Frames are `[identity ..., delimiter, signature, header, parent header, metadata, content, buffer
...]` (https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

DELIMITER = b"<IDS|MSG>"
_PROTOCOL = "5.4"
DEAD = "DeadKernelError"
"""The name of the error that ends a cell whose kernel is gone."""

Frames = list[bytes]
# Within a JSON string the quotes would be escaped: these are keys.
_KIND = re.compile(rb'"msg_type": ?"(\w+)"')
_STATE = re.compile(rb'"execution_state": ?"(\w+)"')


class MessageError(Exception):
    """Frames that are no Jupyter message."""


def border(frames: Sequence[bytes]) -> int:
    """Return the delimiter's index. Raises MessageError."""
    try:
        at = frames.index(DELIMITER)
    except ValueError:
        at = len(frames)
    if len(frames) < at + 6:
        raise MessageError("no Jupyter message")
    return at


def kind_of(header: bytes) -> str:
    """Return a header's message type, without reading it all. "": it has none."""
    found = _KIND.search(header)
    return found[1].decode() if found else ""


def state_of(content: bytes) -> str:
    """Return a status message's state, without reading it all."""
    found = _STATE.search(content)
    return found[1].decode() if found else ""


def read(frame: bytes) -> dict[str, Any]:
    """Read one of the four JSON objects of a message. Raises MessageError."""
    try:
        value = json.loads(frame)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise MessageError("a part of a Jupyter message is no JSON object")
    return value


class Reader:
    """Reads parent headers: of many messages, one after the other, it is the same."""

    def __init__(self) -> None:
        self._last: tuple[bytes, dict[str, Any]] = (b"", {})

    def read(self, frame: bytes) -> dict[str, Any]:
        """Read a parent header. Raises MessageError."""
        if frame != self._last[0]:
            self._last = frame, read(frame)
        return self._last[1]


class Signer:
    """Makes and checks messages that are signed with one key."""

    def __init__(self, key: str) -> None:
        self._base = hmac.new(key.encode(), digestmod=hashlib.sha256)
        self._session = uuid.uuid4().hex

    def _signature(self, parts: Sequence[bytes]) -> bytes:
        mac = self._base.copy()
        for part in parts:
            mac.update(part)
        return mac.hexdigest().encode()

    def signed(self, frames: Sequence[bytes], at: int) -> bool:
        """Tell whether a message with its delimiter at `at` is signed with this key."""
        expected = self._signature(frames[at + 2 : at + 6])
        return hmac.compare_digest(expected, frames[at + 1])

    def mine(self, parent: dict[str, Any]) -> bool:
        """Tell whether a message answers one that was made here."""
        return parent.get("session") == self._session

    def make(
        self, kind: str, content: dict[str, Any], *, parent: bytes = b"{}", to: Sequence[bytes] = ()
    ) -> Frames:
        """Return a new message; `parent` is the header of the one it answers."""
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": kind,
            "username": "farlab",
            "session": self._session,
            "date": datetime.now(UTC).isoformat(),
            "version": _PROTOCOL,
        }
        body = [json.dumps(header).encode(), parent, b"{}", json.dumps(content).encode()]
        return [*to, DELIMITER, self._signature(body), *body]

    def end(
        self, kind: str, header: bytes, to: Sequence[bytes], content: dict[str, Any]
    ) -> tuple[Frames, list[Frames]]:
        """Return the reply (to send on shell) and iopub messages that end a request.

        `content` is the reply's: a status and, where the status is "error", the error.
        """
        reply = self.make(kind.removesuffix("_request") + "_reply", content, parent=header, to=to)
        published = []
        if content["status"] == "error" and kind == "execute_request":
            error = {name: content[name] for name in ("ename", "evalue", "traceback")}
            published.append(self.make("error", error, parent=header, to=[b"error"]))
        idle = {"execution_state": "idle"}
        published.append(self.make("status", idle, parent=header, to=[b"status"]))
        return reply, published


def dead(reason: str) -> dict[str, Any]:
    """Return the content of a reply that says: the kernel is gone, for that reason."""
    lines = [f"{DEAD}: {reason}"]
    return {"status": "error", "ename": DEAD, "evalue": reason, "traceback": lines}


ABORTED = {"status": "aborted"}
"""The content of a reply to a cell that does not run because one before it failed."""
