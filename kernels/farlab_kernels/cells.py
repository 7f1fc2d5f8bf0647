"""A kernel's channels as one asyncio object: what comes back finds the cell it belongs to."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_client.session import Session

from farlab_kernels.keeper.zmtp import SUBSCRIBE, Frames, Peer, connect

Message = dict[str, Any]
"""A Jupyter message: msg_type, header, parent_header, metadata, content, buffers."""
OnOutput = Callable[[Message], None]
OnInput = Callable[[str, bool], str | Awaitable[str]]
"""Answers input(): gets the prompt, and whether it is for a password."""

_KINDS = {"shell": b"DEALER", "control": b"DEALER", "stdin": b"DEALER", "iopub": b"SUB"}
_RECONNECT = 0.02  # seconds
_IDLE_PATIENCE = 2.0  # seconds between a cell's reply and its end, if idle does not come

log = logging.getLogger(__name__)


class Cell:
    """A cell that was sent. `on_output` gets all that it publishes, but its states."""

    def __init__(
        self, id_: str, on_output: OnOutput | None, on_input: OnInput | None,
        interrupt: Callable[[], None],
    ) -> None:  # fmt: skip
        self.id = id_
        self.on_input = on_input
        self._on_output = on_output
        self._interrupt = interrupt
        self._unwanted = self._begun = self._idle = False
        self._reply: dict[str, Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._ended.add_done_callback(_seen)

    @property
    def ended(self) -> bool:
        """Whether the cell has ended, and all its output has arrived."""
        return self._ended.done()

    async def end(self) -> dict[str, Any]:
        """Wait for the end; return the content of the reply, whatever it says."""
        return await asyncio.shield(self._ended)

    def interrupt(self) -> None:
        """Interrupt the cell; one that still waits for its turn, as soon as it begins."""
        self._unwanted = True
        if self._begun and self._reply is None:
            self._interrupt()

    def published(self, message: Message) -> None:
        """Take what the cell has published."""
        kind = message["msg_type"]
        if kind == "status":
            self._change(message["content"]["execution_state"])
        elif kind != "execute_input" and self._on_output is not None:
            try:
                self._on_output(message)
            except Exception as error:  # the caller's own
                self._on_output = None
                if not self.ended:
                    self._ended.set_exception(error)

    def _change(self, state: str) -> None:
        if state == "busy" and not self._begun:
            self._begun = True
            if self._unwanted:
                self._interrupt()
        elif state == "idle":
            self._idle = True
            self._finish()

    def replied(self, content: dict[str, Any]) -> None:
        """Take the reply. The state idle follows, or has come before."""
        self._reply = content
        if not self._finish():
            self._loop.call_later(_IDLE_PATIENCE, self.give_up_idle)

    def give_up_idle(self) -> None:
        """End although the kernel did not say that it is idle."""
        self._idle = True
        self._finish()

    def _finish(self) -> bool:
        if self._idle and self._reply is not None and not self.ended:
            self._ended.set_result(self._reply)
        return self.ended


def _seen(ended: asyncio.Future[dict[str, Any]]) -> None:
    """Let nobody be told of an error that nobody waited for."""
    if not ended.cancelled():
        ended.exception()


class Channels:
    """A kernel's channels, by the content of its connection file, whose transport is ipc.

    `listen` is called with what belongs to none of the cells sent from here: other clients' cells,
    and what widgets do between cells.
    """

    def __init__(self, info: dict[str, Any], interrupt: Callable[[], None]) -> None:
        self.listen: OnOutput | None = None
        self.session = Session(
            key=info["key"].encode(), signature_scheme=info["signature_scheme"], username="farlab"
        )
        self._interrupt = interrupt
        self._cells: dict[str, Cell] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._welcome = asyncio.Event()
        self._info = info
        self._connected: list[Peer] = []
        self._peers = {name: self._peer(name, kind) for name, kind in _KINDS.items()}

    def _peer(self, name: str, kind: bytes) -> Peer:
        # Shell and stdin of one client have the same name.
        identity = b"" if kind == b"SUB" else self.session.bsession
        return Peer(kind, identity, receive=lambda _, frames: self._receive(name, frames))

    async def ready(self) -> None:
        """Connect, and wait until what the kernel publishes is received."""
        for name, peer in self._peers.items():
            await connect(f"{self._info['ip']}-{self._info[f'{name}_port']}", peer, _RECONNECT)
            self._connected.append(peer)
        self._peers["iopub"].send([SUBSCRIBE])
        await self._welcome.wait()

    def close(self) -> None:
        """Close the channels; cells go on."""
        for task in self._tasks:
            task.cancel()
        for peer in self._connected:
            peer.close()

    def new_id(self) -> str:
        """Return an id for a cell."""
        return str(self.session.msg_id)

    def begin(
        self, code: str, *, id_: str = "", on_output: OnOutput | None = None,
        on_input: OnInput | None = None, **options: Any,
    ) -> Cell:  # fmt: skip
        """Send a cell. `options` are fields of an execute_request."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "stop_on_error": True,
            "allow_stdin": on_input is not None,
        }
        cell = Cell(id_ or self.new_id(), on_output, on_input, self._interrupt)
        self._cells[cell.id] = cell
        self.send("shell", "execute_request", {**content, **options}, id_=cell.id)
        return cell

    def send(
        self, channel: str, kind: str, content: dict[str, Any], *, id_: str = "",
        parent: dict[str, Any] | None = None, buffers: list[Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> str:  # fmt: skip
        """Send any message; return its id."""
        message = self.session.msg(kind, content, parent=parent, metadata=metadata)
        if id_:
            message["header"]["msg_id"] = message["msg_id"] = id_
        self.pass_on(channel, {**message, "buffers": buffers or ()})
        return str(message["msg_id"])

    def pass_on(self, channel: str, message: Message) -> None:
        """Send a message with the header that it has, such as a frontend's."""
        frames = [*self.session.serialize(message), *map(bytes, message["buffers"])]
        self._peers[channel].send(frames)

    def _receive(self, channel: str, frames: Frames) -> None:
        _, parts = self.session.feed_identities(frames)
        try:
            message = self.session.deserialize(parts)
        except ValueError as error:
            log.warning("a message is dropped: %s", error)
            return
        if message["msg_type"] == "iopub_welcome":
            self._welcome.set()
            return
        cell = self._cells.get(str(message["parent_header"].get("msg_id")))
        if cell is None:
            if channel == "iopub" and self.listen is not None:
                self.listen(message)
        elif channel == "iopub":
            cell.published(message)
        elif message["msg_type"] == "input_request":
            self._answer(cell, message)
        elif message["msg_type"] == "execute_reply":
            cell.replied(message["content"])
        if cell is not None and cell.ended:
            self._cells.pop(cell.id, None)

    def _answer(self, cell: Cell, message: Message) -> None:
        task = asyncio.get_running_loop().create_task(self._ask(cell, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, cell: Cell, message: Message) -> None:
        """Answer the kernel's question; with nothing, if it can't be."""
        content, value = message["content"], ""
        try:
            if cell.on_input is not None:
                answer = cell.on_input(content["prompt"], content["password"])
                value = await answer if inspect.isawaitable(answer) else answer
        except EOFError:
            cell.interrupt()
            return
        self.send("stdin", "input_reply", {"value": value}, parent=message["header"])
