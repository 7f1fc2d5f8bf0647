"""What the pods' jobs used: of those that run lately, of those that ended for good."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from farlab_sites.plugin.accounts import own_account
from farlab_sites.plugin.driver import Driver, Job, JobState
from farlab_sites.plugin.store import Record
from farlab_sites.usage import ANNOTATION, Usage, UsageError

log = logging.getLogger(__name__)

Json = dict[str, Any]

LATE = 45.0  # seconds after which the batch system's accounting is not waited for any more
FIRST, SAMPLE = 1.0, 15.0  # seconds between looks at what a running job uses: ever longer
LOOKS = 8.0  # such looks in a second, for all jobs together


def wanted(manifest: object) -> bool:
    """Tell whether whoever asks for a pod wants to know what it used, though it was deleted."""
    meta = manifest.get("metadata") if isinstance(manifest, dict) else None
    notes = meta.get("annotations") if isinstance(meta, dict) else None
    return isinstance(notes, dict) and ANNOTATION in notes


class Samples:
    """Decides when to look at what a running job uses: seldom, for it can take a process."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float, Json]] = {}  # when, the pause after, what

    def due(self, uid: str) -> bool:
        """Tell whether it is time to look again; the more jobs there are, the more seldom."""
        seen = self._last.get(uid)
        if seen is None:
            return True
        return time.monotonic() - seen[0] > max(seen[1], len(self._last) / LOOKS)

    def keep(self, uid: str, report: Json) -> None:
        """Take what the runner reported."""
        pause = min(2 * self._last[uid][1], SAMPLE) if uid in self._last else FIRST
        self._last[uid] = (time.monotonic(), pause, measured(report))

    def of(self, uid: str) -> Json:
        """Return what was reported last."""
        return self._last.get(uid, (0.0, FIRST, {}))[2]

    def forget(self, uid: str) -> None:
        """Drop a job that runs no more."""
        self._last.pop(uid, None)


class Endings:
    """Completes the usage of ended jobs from the batch system's accounting, which comes late."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._since: dict[str, float] = {}

    async def settled(self, pending: Iterable[tuple[Job, Usage]]) -> dict[str, Usage]:
        """Return by uid those usages that are final now, of some that were not."""
        pairs = list(pending)
        if not pairs:
            return {}
        told = await self._driver.usages([job for job, _ in pairs])
        now = time.monotonic()
        settled = {}
        for job, ours in pairs:
            late = now - self._since.setdefault(job.uid, now) > LATE
            theirs = None if told is None else told.get(job.uid)
            final = _final(ours, theirs, given_up=late or told is None)
            if final is not None:
                settled[job.uid] = final
                self._since.pop(job.uid, None)
                if late:
                    log.warning("job %s: the accounting is late; as far as known", job.job_id)
        return settled


def _final(ours: Usage, theirs: Usage | None, *, given_up: bool) -> Usage | None:
    """Return a job's final usage, None as long as it is worth waiting for."""
    if theirs is None or not theirs.final:
        if not given_up:
            return None
        if theirs is None or theirs.ended is None:
            return replace(ours, final=True)
    return replace(
        theirs,
        cpu_s=ours.cpu_s if theirs.cpu_s is None else theirs.cpu_s,
        peak_memory=ours.peak_memory if theirs.peak_memory is None else theirs.peak_memory,
        memory=theirs.memory or ours.memory,
        exit_code=ours.exit_code if theirs.exit_code is None else theirs.exit_code,
        final=True,
    )


def first_usage(record: Record, job: Job, state: JobState, answer: Json, measured: Json) -> Usage:
    """Return what the queue and the job's runner say; the batch system's accounting may follow."""
    ended = _epoch(state.finished_at) if state.phase == "Terminated" else None
    return Usage(
        job_id=record.job_id,
        account=record.account or own_account().name,
        submitted=_epoch(state.submitted_at),
        started=_epoch(state.started_at),
        ended=ended,
        cores=float(job.cpus),
        gpus=float(job.gpus),
        memory=job.memory,
        cpu_s=measured.get("cpu_s"),
        peak_memory=measured.get("peak_memory"),
        state=state.word or state.reason or state.phase,
        exit_code=_exit_code(answer) if state.phase == "Terminated" else None,
        source="runner",
    )


def read(answer: Json | None) -> Usage | None:
    """Return the usage in a pod's answer."""
    try:
        return Usage.from_json(answer["usage"]) if answer and "usage" in answer else None
    except UsageError as error:
        log.warning("a usage that was kept can't be read: %s", error)
        return None


def measured(report: Json) -> Json:
    """Return what the runner measured; its file is the account's, so it may hold anything."""
    said = report.get("usage")
    if not isinstance(said, dict):
        return {}
    found: Json = {}
    for key in ("cpu_s", "cores", "at"):
        if _sane(said.get(key)):
            found[key] = float(said[key])
    for key in ("memory", "peak_memory"):
        if _sane(said.get(key)):
            found[key] = int(said[key])
    return found


def _sane(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _epoch(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _exit_code(answer: Json) -> int | None:
    """Return the first failure's exit code, or 0; None where nothing ended by itself."""
    states = [
        status["state"] for kind in ("initContainers", "containers") for status in answer[kind]
    ]
    codes = [state["terminated"]["exitCode"] for state in states if "terminated" in state]
    return next((code for code in codes if code), 0) if codes else None
