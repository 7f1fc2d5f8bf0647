"""The way of each message: from clients to the kernel, from it to the spool and the clients."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from farlab_kernels.keeper.cells import Cells
from farlab_kernels.keeper.channels import Channels
from farlab_kernels.keeper.history import History
from farlab_kernels.keeper.lanes import Lanes, Request
from farlab_kernels.keeper.messages import (
    ABORTED,
    Frames,
    MessageError,
    Reader,
    Signer,
    border,
    dead,
    kind_of,
    read,
    state_of,
)
from farlab_kernels.keeper.proof import RefusedError, Visitor
from farlab_kernels.keeper.sessions import Session
from farlab_kernels.keeper.spool import LIMIT, Entry, Spool
from farlab_kernels.keeper.states import KernelState, OrderName
from farlab_kernels.keeper.wire import Kind, Packet, decode, encode

_LAZY = 0.002
"""Seconds that what no client waits for may wait for company."""

log = logging.getLogger(__name__)


class Router:
    """Between one keeper's kernels and its clients. `order` is asked to do things to the kernel.

    Before `open`, and between `close` and the next `open`, requests wait here; when `state` is
    "dead" they are answered at once.
    """

    def __init__(self, folder: Path, signer: Signer, order: Callable[[OrderName], None]) -> None:
        self.signer = signer
        self.state = KernelState("starting", 0)
        self._order = order
        self._parents = Reader()
        self._busy = False  # the last that was published is a cell's, which has not ended
        self._idled = ""  # the request that the kernel was last idle after
        self._replied = ""  # the request whose reply came, and whose idle is to follow
        self.cells = Cells()
        limit = min(LIMIT, shutil.disk_usage(folder).free // 4)
        self.spool = Spool(folder, floor=self._floor, note=self._note, limit=limit)
        self.history = History(self.spool, self.cells)
        self._sessions: dict[str, Session] = {}
        self._channels: Channels | None = None
        self._lanes = Lanes(self._to_shell, lambda request: self._end(request, ABORTED))
        self._held: list[Request] = []
        self._loop = asyncio.get_running_loop()
        self._flushing: asyncio.Handle | None = None
        self._flushing_lazily: asyncio.TimerHandle | None = None

    # The cell that came with the job

    def hold(self, request: Request) -> None:
        """Take a cell that nobody waits for, before there is a kernel; all it says is kept."""
        client = request.frames[0].decode()
        self._sessions[client] = Session(client, self.spool, self._handle)
        request.cell = True
        self.cells.begin(request.id, client, str(request.content()["code"]))
        self._held.insert(0, request)

    def give_up(self, request: Request, content: dict[str, Any]) -> None:
        """Answer a held cell in the kernel's place: it will not run."""
        if request in self._held:
            self._held.remove(request)
            self._end(request, content)

    # The kernel comes and goes

    def open(self, channels: Channels) -> None:
        """Let requests pass to a kernel."""
        self._channels = channels
        held, self._held = self._held, []
        for request in held:
            self._lanes.put(request)

    def close(self, reason: str) -> None:
        """End what the kernel was to do: what it has begun with `reason`, the rest as aborted."""
        self._channels = None
        for request, begun in list(self._lanes.empty()):
            self._end(request, dead(reason) if begun else ABORTED)

    def announce(self, state: KernelState) -> None:
        """Tell everyone how the kernel is."""
        self.state = state
        if state.state in ("dead", "ended"):
            held, self._held = self._held, []
            for request in held:
                self._end(request, dead(state.reason))
        number = self.spool.last + 1
        data = encode(Kind.EVENT, number, [json.dumps(asdict(state)).encode()])
        self._add(Entry(number, "", "", False, data))

    # What the kernel says

    def hear(self, kind: Kind, frames: Frames) -> None:
        """Take a message of the kernel."""
        try:
            if kind is Kind.IOPUB:
                self._published(frames)
            else:
                self._answered(kind, frames)
        except MessageError as error:
            log.warning("the kernel said something on %s that is none: %s", kind.name, error)

    def _published(self, frames: Frames) -> None:
        at = border(frames)
        kind = kind_of(frames[at + 2])
        parent = self._parents.read(frames[at + 3])
        if self.signer.mine(parent) or kind == "iopub_welcome":
            return
        id_ = str(parent.get("msg_id", ""))
        state = state_of(frames[at + 5]) if kind == "status" else ""
        self._busy = parent.get("msg_type") == "execute_request" and state != "idle"
        lazy = state == "busy" or kind == "execute_input"
        self._say(Kind.IOPUB, frames, cell=id_, output=kind != "status", lazy=lazy)
        if state == "idle":
            if self._replied == id_:
                self._replied = ""
            self._idled = id_
            cell = self.cells.get(id_)
            if cell is not None:
                cell.idle = True
            self._lanes.idled(id_)

    def _answered(self, kind: Kind, frames: Frames) -> None:
        client = frames.pop(0).decode(errors="replace")
        at = border(frames)
        parent = self._parents.read(frames[at + 3])
        if self.signer.mine(parent):
            return
        id_ = str(parent.get("msg_id", ""))
        if kind is Kind.SHELL and self._idled != id_:
            self._replied = id_
        self._say(kind, frames, client=client, cell=id_, lazy=self._replied == id_)
        if kind is Kind.SHELL:
            cell = self.cells.get(id_)
            if cell is not None:
                cell.status = str(read(frames[at + 5]).get("status"))
            self._lanes.replied(id_, frames, at)

    def _say(
        self, kind: Kind, frames: Frames, *, cell: str, client: str = "", output: bool = False,
        lazy: bool = False,
    ) -> None:  # fmt: skip
        """Put a message into the spool."""
        number = self.spool.last + 1
        entry = Entry(number, client, cell, output, encode(kind, number, frames))
        self.cells.said(cell, number)
        self._add(entry, lazy=lazy)

    def _add(self, entry: Entry, *, lazy: bool = False) -> None:
        self.spool.append(entry)
        if not lazy:
            if self._flushing is None:
                self._flushing = self._loop.call_soon(self._flush)
        elif self._flushing_lazily is None:
            self._flushing_lazily = self._loop.call_later(_LAZY, self._flush)

    def settle(self) -> None:
        """Send at once what has been heard.

        While a cell runs, and until it has replied, nobody waits for what it publishes: it may
        come in company. An idle follows its reply at once, and so they go together.
        """
        if self._channels is not None:
            if self._busy and not self._replied:
                self._channels.rest()
            elif self._replied:
                self._channels.look()
        if self._flushing is not None:
            self._flushing.cancel()
            self._flush()

    def _flush(self) -> None:
        if self._flushing_lazily is not None:
            self._flushing_lazily.cancel()
        self._flushing = self._flushing_lazily = None
        for session in self._sessions.values():
            session.flush()
        self.history.grow()

    # What clients say

    async def serve(self, visitor: Visitor) -> None:
        """Serve a connection of the kind "session".

        `{"kind": "session", "client": id, "instance": id, "seen": number}`: the same client goes on
        with its session, over any connection, and in another process; `seen` is the number of the
        last packet it has (absent: the last that it acknowledged, or for a new one the last there
        is).
        """
        hello = visitor.hello
        client, instance = str(hello.get("client") or ""), str(hello.get("instance") or "")
        if not client or not instance:
            raise RefusedError("a session needs a client and an instance")
        session = self._sessions.get(client)
        if session is None:
            session = self._sessions[client] = Session(client, self.spool, self._handle)
        if not session.admits(instance):
            raise RefusedError("another process has taken over this session")
        seen = hello.get("seen")
        seen = seen if isinstance(seen, int) else session.acked
        visitor.accept(received=session.received, seen=seen, kernel=asdict(self.state))
        session.resume(visitor, instance, seen)
        await session.serve(visitor)

    def _handle(self, client: str, packet: Packet) -> None:
        try:
            if packet.kind is Kind.ORDER:
                self._obey(read(packet.parts[0]))
                return
            request = Request.parse([client.encode(), *packet.parts])
            if not self.signer.signed(request.frames, request.at):
                raise MessageError("it is not signed with this kernel's key")
            take = {
                Kind.SHELL: self._request,
                Kind.CONTROL: self._control,
                Kind.STDIN: self._input,
            }
            take[packet.kind](request)
        except (MessageError, LookupError) as error:
            log.warning("a message of client %s was dropped: %s", client, error)

    def _obey(self, order: dict[str, Any]) -> None:
        name = order.get("order")
        if name not in ("interrupt", "restart", "end"):
            raise MessageError(f"there is no order {name}")
        self._order(name)

    def _request(self, request: Request) -> None:
        if request.kind == "execute_request":
            code = request.content().get("code")
            if isinstance(code, str):  # the kernel answers no other
                request.cell = True
                self.cells.begin(request.id, request.frames[0].decode(), code)
        if self.state.state in ("dead", "ended"):
            self._end(request, dead(self.state.reason))
        elif self._channels is None:
            self._held.append(request)
        else:
            self._lanes.put(request)

    def _to_shell(self, request: Request) -> None:
        if self._channels is not None:
            self._channels.send(Kind.SHELL, request.frames)
            if request.cell:
                self._channels.rest()

    def _input(self, request: Request) -> None:
        if self._channels is not None:
            self._channels.send(Kind.STDIN, request.frames)

    def _control(self, request: Request) -> None:
        if request.kind == "interrupt_request":
            self._order("interrupt")
            self._reply(Kind.CONTROL, request, {"status": "ok"})
            return
        if request.kind == "shutdown_request":
            restart = bool(request.content().get("restart"))
            self._order("expect-restart" if restart else "expect-end")
            if self._channels is None:
                self._reply(Kind.CONTROL, request, {"status": "ok", "restart": restart})
        if self._channels is not None:
            self._channels.send(Kind.CONTROL, request.frames)
        elif request.kind != "shutdown_request":
            self._reply(Kind.CONTROL, request, dead(self.state.reason or "it is starting"))

    def _reply(self, kind: Kind, request: Request, content: dict[str, Any]) -> None:
        reply, _ = self._ending(request, content)
        self._say(kind, reply, client=request.frames[0].decode(), cell=request.id)

    def _end(self, request: Request, content: dict[str, Any]) -> None:
        """Answer a request in the kernel's place."""
        if not request.kind.endswith("_request"):
            return
        reply, published = self._ending(request, content)
        cell = self.cells.get(request.id)
        if cell is not None:
            cell.status, cell.idle = content["status"], True
        for frames in published[:-1]:
            self._say(Kind.IOPUB, frames, cell=request.id, output=True)
        self._say(Kind.SHELL, reply, client=request.frames[0].decode(), cell=request.id)
        self._say(Kind.IOPUB, published[-1], cell=request.id)

    def _ending(self, request: Request, content: dict[str, Any]) -> tuple[Frames, list[Frames]]:
        header, to = request.frames[request.at + 2], request.frames[1 : request.at]
        return self.signer.end(request.kind, header, to, content)

    # The spool's questions

    def _floor(self) -> int:
        acked = [session.acked for session in self._sessions.values()]
        return min([self.cells.floor(self.spool.last), *acked])

    def _note(self, count: int, last: Entry) -> Entry:
        """Say in a cell's output that some of it was dropped."""
        parts = decode(last.data).parts
        parent = parts[border(parts) + 3]
        text = (
            f"[farlab: {count:,} messages of output were dropped at the site, where nobody read "
            "them in time and the spool is full]\n"
        )
        content = {"name": "stderr", "text": text}
        frames = self.signer.make("stream", content, parent=parent, to=[b"stream.stderr"])
        return Entry(last.number, "", last.cell, True, encode(Kind.IOPUB, last.number, frames))

    async def farewell(self, patience: float) -> None:
        """Wait until the clients that are connected have everything."""
        self._flush()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                for session in self._sessions.values():
                    await session.caught_up()
