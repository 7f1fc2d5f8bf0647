"""The start of a server as a user follows it: stages, and a log that every page can replay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from .service import Workload

STAGES = ("requested", "submitted", "queued", "starting", "ready")
PERCENT = {"requested": 5, "submitted": 20, "queued": 35, "starting": 70, "ready": 95}
TITLES = {
    "requested": "Handing your request to {site}",
    "submitted": "{site} has accepted the job",
    "queued": "Waiting in the queue of {site}",
    "starting": "Starting JupyterLab at {site}",
    "ready": "JupyterLab is running",
}
LOG_LINES = 12


@dataclass(frozen=True)
class Step:
    """One thing to show while a server starts."""

    stage: str
    text: str
    detail: str = ""
    job_id: str = ""
    node: str = ""
    log_tail: str = ""
    time: float = 0.0  # seconds since the epoch; 0: now

    def event(self) -> dict[str, Any]:
        """Return the event for JupyterHub's progress stream; `farlab` is for our own page."""
        message = f"{self.text}: {self.detail}" if self.detail else self.text
        return {
            "progress": PERCENT.get(self.stage, 0),
            "message": message,
            "farlab": {
                "stage": self.stage,
                "title": self.text,
                "detail": self.detail,
                "job_id": self.job_id,
                "node": self.node,
                "log": self.log_tail,
                "time": self.time,
            },
        }


def steps(workload: Workload, after: int, site_title: str) -> list[Step]:
    """Return what is new in a workload since event number `after`."""
    events = [e for e in workload.get("events") or [] if e.get("seq", 0) > after]
    return [
        Step(
            stage=str(event.get("state", "")),
            text=TITLES.get(str(event.get("state")), "{site}").format(site=site_title),
            detail=_detail(event, str(workload.get("job_id") or "")),
            job_id=str(workload.get("job_id") or ""),
            node=str(workload.get("node") or ""),
            log_tail=tail(str(workload.get("log_tail") or "")),
            time=float(event.get("time") or 0),
        )
        for event in events
        if event.get("state") in STAGES
    ]


def _detail(event: dict[str, Any], job_id: str) -> str:
    """Return what to say about an event: the site's own words where they say more."""
    reason, message = str(event.get("reason") or ""), str(event.get("message") or "")
    if event.get("state") == "submitted" and job_id:
        return f"job {job_id}"
    if event.get("state") == "starting":
        return reason  # the message is the log's last line, which the log shows
    return message or reason


def newest(workload: Workload) -> int:
    """Return the number of a workload's newest event."""
    return max((int(e.get("seq", 0)) for e in workload.get("events") or []), default=0)


def tail(log: str, lines: int = LOG_LINES) -> str:
    """Return a log's last lines."""
    return "\n".join(log.splitlines()[-lines:])


class Feed:
    """The steps of one start. Readers that come late, or twice, get all of them from the first."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._closed = False
        self._news = asyncio.Event()

    def add(self, step: Step) -> None:
        """Show a step; one that says nothing new is dropped."""
        if not self.steps or self.steps[-1] != step:
            self.steps.append(step)
            self._wake()

    def close(self) -> None:
        """End the readers' loops once they have read everything."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def read(self) -> AsyncIterator[Step]:
        """Yield every step, old and new, until the feed is closed."""
        seen = 0
        while True:
            news = self._news
            while seen < len(self.steps):
                seen += 1
                yield self.steps[seen - 1]
            if self._closed:
                return
            await news.wait()
