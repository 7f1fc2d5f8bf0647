"""The relay's side of a workload: who may dial in for it, and what its agent reports."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from typing import Any

from farlab_relay.protocol import AgentEvent

from .journal import Journal
from .models import Change, Workload, now
from .states import State
from .verdicts import payload_ended
from .words import lost_words, running_reason

log = logging.getLogger(__name__)


class Agents:
    """Verifies agents and turns their events into changes of workloads."""

    def __init__(self, journal: Journal, on_exit: Callable[[Workload], None]) -> None:
        self._journal = journal
        self._on_exit = on_exit
        self._known: dict[str, tuple[str, str]] = {}  # uid -> secret's hash, instance
        self._events: asyncio.Queue[tuple[str, AgentEvent]] = asyncio.Queue()
        self._lost: dict[str, float] = {}
        self.exits: dict[str, tuple[float, Change]] = {}  # uid -> when, what it means

    async def verify(self, uid: str, secret: str, instance: str) -> bool:
        """Say whether this agent may speak for a workload: its secret, and the first to come."""
        if not instance:
            return False
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
        known = self._known.get(uid) or await self._recognise(uid, digest, instance)
        if known is None:
            return False
        return hmac.compare_digest(digest, known[0]) and hmac.compare_digest(
            instance.encode(), known[1].encode()
        )

    async def _recognise(self, uid: str, digest: str, instance: str) -> tuple[str, str] | None:
        workload = await self._journal.store.get(uid)
        if workload is None or workload.ended:
            return None
        if not hmac.compare_digest(digest, workload.secret_sha256):
            return None
        first = await self._journal.store.bind_agent(uid, instance)
        self._known[uid] = (workload.secret_sha256, first)
        return self._known[uid]

    def on_event(self, uid: str, event: AgentEvent) -> None:
        """Take an event from the relay; it is worked on in order, apart from the byte streams."""
        self._events.put_nowait((uid, event))

    def lost(self, uid: str) -> str:
        """Return the word about a lost connection, empty when there is none."""
        return lost_words(self._lost[uid]) if uid in self._lost else ""

    def expect(self, workload: Workload) -> None:
        """Wait for the agent of a workload that had one before this service was started."""
        self._lost[workload.uid] = now()

    def forget(self, uid: str) -> None:
        """Drop what is kept of an ended workload: its agent may not come back."""
        self._known.pop(uid, None)
        self._lost.pop(uid, None)
        self.exits.pop(uid, None)

    async def run(self) -> None:
        """Work on events for ever."""
        while True:
            uid, event = await self._events.get()
            try:
                await self._handle(uid, event)
            except Exception:
                log.exception("event %s of workload %s", event.kind, uid)

    async def _handle(self, uid: str, event: AgentEvent) -> None:
        workload = await self._journal.store.get(uid)
        if workload is None or workload.ended:
            return
        if event.kind == "lost":
            self._lost.setdefault(uid, now())
            if uid not in self.exits:  # else the end is told by the watcher
                lost = Change(state=workload.state, reason=self.lost(uid), message="")
                await self._journal.change(uid, lost)
        elif event.kind == "exited":
            self.exits[uid] = (now(), _exit(workload, event.detail))
            self._on_exit(workload)
        else:
            self._lost.pop(uid, None)
            await self._journal.change(uid, _arrival(workload, event))


def _arrival(workload: Workload, event: AgentEvent) -> Change:
    node = _text(event.detail, "node") or workload.node
    arrived = State.READY if event.kind == "ready" else State.STARTING
    # A connection that comes back changes no state.
    state = workload.state if workload.state == State.READY else arrived
    if state == State.READY:
        return Change(state=state, reason="", message="", node=node)
    # What was said while the job waited, such as its place in the queue, is over.
    message = None if workload.state == state else ""
    reason = running_reason(workload, node, "")
    return Change(state=state, reason=reason, message=message, node=node)


def _exit(workload: Workload, detail: dict[str, Any]) -> Change:
    code = detail.get("code")
    known = code if isinstance(code, int) else None
    return payload_ended(workload, known, _text(detail, "message"))


def _text(detail: dict[str, Any], key: str) -> str:
    return str(detail.get(key) or "")[:255]
