"""Answers that go on for as long as something happens: events, and logs that are followed."""

from __future__ import annotations

import contextlib
import logging

from farlab_sites.carriers import CarrierError
from pydantic import TypeAdapter
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from .models import Event
from .operations import EVENTS, TEXT
from .views import EventView
from .workloads import Workloads

log = logging.getLogger(__name__)

BEAT = 15.0  # seconds between signs of life, for proxies that close what is silent
_EVENT: TypeAdapter[EventView] = TypeAdapter(EventView)


async def send_events(answer: RequestHandler, workloads: Workloads, uid: str, after: int) -> None:
    """Send a workload's events after `after` as server-sent events, until it has ended."""
    _start(answer, EVENTS)
    with contextlib.suppress(StreamClosedError):
        await answer.flush()
        async for event in workloads.events(uid, after, BEAT):
            answer.write(_sse(event) if event else ": still here\n\n")
            await answer.flush()


async def send_log(answer: RequestHandler, workloads: Workloads, uid: str, tail: int) -> None:
    """Send the last lines of a workload's log and what is added to it, until it has ended."""
    _start(answer, TEXT)

    async def send(text: bytes) -> None:
        answer.write(text)
        await answer.flush()

    with contextlib.suppress(StreamClosedError):
        await answer.flush()
        try:
            await workloads.follow_log(uid, tail, send)
        except CarrierError as error:
            log.info("the log of workload %s is cut off: %s", uid, error)
            await send(f"\n[farlab: the site stopped sending this log: {error}]\n".encode())


def _start(answer: RequestHandler, media: str) -> None:
    answer.set_header("Content-Type", f"{media}; charset=utf-8")
    answer.set_header("X-Accel-Buffering", "no")  # a proxy must not wait for more


def _sse(event: Event) -> bytes:
    shown = _EVENT.dump_json(EventView.model_validate(event))
    return b"id: %d\ndata: %s\n\n" % (event.seq, shown)
