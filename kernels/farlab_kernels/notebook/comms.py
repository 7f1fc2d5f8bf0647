"""Widgets of a kernel at a site: their comms are passed on between it and the notebook's frontend.

A comm that the kernel opens gets a stand-in of the same id in the notebook's own kernel. What the
frontend sends to it goes to the kernel with the frontend's own header, so that all that comes of it
has the right parent. The kernel takes it while a cell runs, too (keeper/widgets.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Any, TypeVar

from farlab_kernels.cells import Message
from farlab_kernels.remote import RemoteKernel

Key = TypeVar("Key")
Value = TypeVar("Value")
_MOST = 1000  # cells and messages that are remembered: their output may come late

log = logging.getLogger(__name__)


class StandIn:
    """A comm of the notebook's kernel, in place of one at the site."""

    def __init__(self, comms: Comms, id_: str, target: str) -> None:
        self.comm_id = id_
        self.target_name = target
        self.comms = comms

    def handle_msg(self, message: Message) -> None:
        """Pass a frontend's message on."""
        self.comms.forward(message)

    def handle_close(self, message: Message) -> None:
        """Pass on that the frontend has closed it."""
        self.comms.forward(message)


class Comms:
    """The comms between one kernel at a site, in its event loop, and the notebook's `kernel`."""

    def __init__(self, kernel: Any, remote: RemoteKernel) -> None:
        self._kernel = kernel
        self._remote = remote
        self._loop = asyncio.get_running_loop()
        self._cells: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._forwarded: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._parent: dict[str, Any] = {}
        self._replays: dict[str, set[str]] = {}
        """Cells whose output comes from the spool, and what must be over before that ends."""
        self._stand_ins: dict[str, StandIn] = {}
        remote.channels.listen = self._listen

    # From the kernel at the site

    def adopt(self, cell: str, parent: dict[str, Any]) -> None:
        """Let what comes of a cell, late or from its widgets, belong to this notebook's cell."""
        self._parent = parent
        _remember(self._cells, cell, parent)

    def begin_replay(self, cell: dict[str, Any], parent: dict[str, Any]) -> None:
        """Adopt a cell of the keeper's list, whose output now comes from the spool."""
        self.adopt(cell["id"], parent)
        self._replays[cell["id"]] = {"show"} if cell["idle"] else {"show", "cell"}

    def end_replay(self, cell: str) -> None:
        """Let output count again; if the cell still runs, or its output is on its way, later."""
        self._end_replay(cell, "show")

    def _end_replay(self, cell: str, part: str) -> None:
        awaited = self._replays.get(cell, set())
        awaited.discard(part)
        if not awaited:
            self._replays.pop(cell, None)

    def publish(self, message: Message) -> None:
        """Publish a comm message of a cell that runs now. Any thread."""
        self._publish(message, self._parent_of(message) or self._parent)

    def _parent_of(self, message: Message) -> dict[str, Any] | None:
        id_ = str(message["parent_header"].get("msg_id"))
        return self._cells.get(id_) or self._forwarded.get(id_)

    def _listen(self, message: Message) -> None:
        """Publish what comes outside of cells, if it is this notebook's."""
        kind, parent = message["msg_type"], self._parent_of(message)
        mine = message["content"].get("comm_id") in self._stand_ins
        id_ = str(message["parent_header"].get("msg_id"))
        if id_ in self._replays:
            if message["content"].get("execution_state") == "idle":
                self._end_replay(id_, "cell")
            return
        if kind == "execute_input" or (parent is None and not mine):
            return
        if kind == "status" and id_ not in self._forwarded:
            return
        self._publish(message, parent or self._parent)

    def _publish(self, message: Message, parent: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "comm_open":
            self._stand_in(content["comm_id"], content.get("target_name", ""))
        elif kind == "comm_close":
            self._remove(content["comm_id"])
        if kind in ("comm_open", "comm_msg"):
            self._translate(content)
        self._kernel.session.send(
            self._kernel.iopub_socket, kind, content, parent=parent,
            metadata=message["metadata"], buffers=message["buffers"], ident=_topic(kind, content),
        )  # fmt: skip

    def _translate(self, content: dict[str, Any]) -> None:
        """Let an Output widget capture this notebook's cell instead of the one at the site."""
        data = content.get("data")
        state = data.get("state") if isinstance(data, dict) else None
        parent = self._cells.get(state.get("msg_id", "")) if isinstance(state, dict) else None
        if state is not None and parent is not None:
            state["msg_id"] = parent["header"]["msg_id"]

    def _stand_in(self, id_: str, target: str) -> None:
        stand_in = self._stand_ins[id_] = StandIn(self, id_, target)
        self._kernel.comm_manager.comms[id_] = stand_in

    def _remove(self, id_: str) -> None:
        if self._stand_ins.pop(id_, None) is not None:
            self._kernel.comm_manager.comms.pop(id_, None)

    # From the frontend

    def forward(self, message: Message) -> None:
        """Pass a frontend's message on. Any thread."""
        header = dict(message["header"])
        buffers = [bytes(buffer) for buffer in message.get("buffers") or ()]
        said = {"content": message["content"], "metadata": message.get("metadata") or {}}
        self._loop.call_soon_threadsafe(self._forward, {**said, "header": header}, buffers)

    def _forward(self, message: Message, buffers: list[bytes]) -> None:
        header = message["header"]
        _remember(self._forwarded, str(header["msg_id"]), {"header": dict(header)})
        if header["msg_type"] == "comm_close":
            self._remove(message["content"]["comm_id"])
        header.pop("subshell_id", None)  # the notebook's own kernel's
        about = {"msg_id": header["msg_id"], "msg_type": header["msg_type"], "parent_header": {}}
        self._remote.channels.pass_on("shell", {**about, **message, "buffers": buffers})

    # The end

    def reset(self) -> None:
        """Forget what a kernel had that is gone; the frontend is told that its comms are closed."""
        for id_ in list(self._stand_ins):
            content = {"comm_id": id_, "data": {}}
            message = {"msg_type": "comm_close", "content": content, "metadata": {}, "buffers": []}
            self._publish(message, self._parent)


def _topic(kind: str, content: dict[str, Any]) -> bytes:
    return f"comm-{content['comm_id']}".encode() if "comm_id" in content else kind.encode()


def _remember(known: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    known[key] = value
    if len(known) > _MOST:
        known.popitem(last=False)
