"""Requests on their way to the kernel's shell channel: few in flight, the rest waiting here.

A kernel that is sent thousands of requests loses replies. So at most WINDOW are with the kernel,
and only one cell of each lane: when a cell fails, those that wait behind it are aborted here, as
the kernel would have done. A lane is the kernel's main shell or one of its subshells, which don't
wait for each other. Comm messages (widgets) pass the cells that wait: a slider works meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from farlab_kernels.keeper.messages import Frames, MessageError, border, read

WINDOW = 50
_LOST_REPLY = 2.0  # seconds after a cell's idle in which its reply is still waited for


@dataclass(slots=True)
class Request:
    """A message for the shell channel; `at` is its delimiter's index.

    `cell`: it is a cell, and so waits for the one before it.
    """

    frames: Frames
    at: int
    header: dict[str, Any]
    lane: str
    cell: bool = False
    comm: str = ""

    @property
    def id(self) -> str:
        """The message's id."""
        return str(self.header.get("msg_id"))

    @property
    def kind(self) -> str:
        """The message's type."""
        return str(self.header.get("msg_type"))

    @classmethod
    def parse(cls, frames: Frames) -> Request:
        """Read a message. Raises MessageError."""
        at = border(frames)
        header = read(frames[at + 2])
        if not isinstance(header.get("msg_id"), str) or not isinstance(header.get("msg_type"), str):
            raise MessageError("a message without an id or a type")
        return cls(frames, at, header, str(header.get("subshell_id") or ""))

    def content(self) -> dict[str, Any]:
        """Read the content. Raises MessageError."""
        return read(self.frames[self.at + 5])


@dataclass(slots=True)
class _Lane:
    waiting: deque[Request] = field(default_factory=deque)
    sent: dict[str, Request] = field(default_factory=dict)
    cell: Request | None = None


class Lanes:
    """Keeps the requests of all clients; `send` gives one to the kernel, `abort` answers one."""

    def __init__(self, send: Callable[[Request], None], abort: Callable[[Request], None]) -> None:
        self._send = send
        self._abort = abort
        self._lanes: dict[str, _Lane] = {}

    def put(self, request: Request) -> None:
        """Take a request, and send it now if it need not wait."""
        if request.kind in ("comm_open", "comm_msg", "comm_close") and self._passes(request):
            self._send(request)
            return
        lane = self._lanes.setdefault(request.lane, _Lane())
        lane.waiting.append(request)
        self._advance(request.lane, lane)

    def _passes(self, request: Request) -> bool:
        """Tell whether a comm message may pass those that wait: not if its comm waits too."""
        lane = self._lanes.get(request.lane)
        if lane is None or not lane.waiting:
            return True
        request.comm = str(request.content().get("comm_id"))
        if request.kind == "comm_open":
            return False
        return all(request.comm != waiting.comm for waiting in lane.waiting)

    def _advance(self, name: str, lane: _Lane) -> None:
        while lane.waiting and len(lane.sent) < WINDOW:
            request = lane.waiting[0]
            if request.cell:
                if lane.cell is not None:
                    break
                lane.cell = request
            lane.waiting.popleft()
            if not request.comm:
                lane.sent[request.id] = request
            self._send(request)
        if not lane.waiting and not lane.sent:
            self._lanes.pop(name, None)

    def _find(self, id_: str) -> tuple[str, _Lane] | None:
        for name, lane in self._lanes.items():
            if id_ in lane.sent:
                return name, lane
        return None

    def replied(self, id_: str, frames: Frames, at: int) -> None:
        """Take note of a reply, whose delimiter is at `at`: the next one may go."""
        found = self._find(id_)
        if found is None:
            return
        name, lane = found
        request = lane.sent.pop(id_)
        if lane.cell is request:
            lane.cell = None
            if lane.waiting and _stops(request, frames, at):
                self._abort_cells(lane)
        self._advance(name, lane)

    def _abort_cells(self, lane: _Lane) -> None:
        waiting, lane.waiting = lane.waiting, deque()
        for request in waiting:
            if request.cell:
                self._abort(request)
            else:
                lane.waiting.append(request)

    def idled(self, id_: str) -> None:
        """Take note of the kernel's idle after a request, which some end with and no reply."""
        found = self._find(id_)
        if found is None:
            return
        name, lane = found
        if lane.cell is not None and lane.cell.id == id_:
            # The reply, on its own way here, says whether the next cell may run.
            asyncio.get_running_loop().call_later(_LOST_REPLY, self._give_up, id_)
        else:
            del lane.sent[id_]
            self._advance(name, lane)

    def _give_up(self, id_: str) -> None:
        found = self._find(id_)
        if found is not None:
            name, lane = found
            del lane.sent[id_]
            lane.cell = None
            self._advance(name, lane)

    def empty(self) -> Iterator[tuple[Request, bool]]:
        """Remove and yield all requests, and whether the kernel has them: it is gone."""
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            yield from ((request, True) for request in lane.sent.values())
            yield from ((request, False) for request in lane.waiting)


def _stops(request: Request, frames: Frames, at: int) -> bool:
    """Tell whether a reply says that the cells behind this one shall not run."""
    try:
        if read(frames[at + 5]).get("status") != "error":
            return False
        asked = request.content()
    except MessageError:
        return False
    return bool(asked.get("stop_on_error", True)) and not asked.get("silent", False)
