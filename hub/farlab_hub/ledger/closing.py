"""How a record goes on with what a site says of the job: pure functions of both.

A site's clock and ours differ, either may go back, and an answer may be nonsense: what can't be
true is refused and told, and no duration is ever negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from farlab_sites.accounting import SiteAccounting
from farlab_sites.carriers import PodStatus
from farlab_sites.usage import Usage

from ..models import Workload
from ..states import State
from .energy import Draw, energy
from .records import HEARTBEAT, UsageRecord

DAY = 86400.0
STATUS = "status"
"""The `source` of a record that only the state of the pod is known for."""

LOST = ("Lost", "Deleted")
"""Reasons of workloads whose end nobody saw."""

# What no job of today has: such an answer is nonsense.
_MOST = {
    "cores": 1e6,
    "gpus": 1e5,
    "memory": 2.0**55,
    "cpu_s": 1e12,
    "peak_memory": 2.0**55,
    "energy_j": 1e15,
}


@dataclass(frozen=True)
class Told:
    """What is known of a job by now; `problems` say what was refused of it."""

    usage: Usage | None
    started: float | None
    ended: float | None
    problems: tuple[str, ...] = ()


def told(record: UsageRecord, status: PodStatus | None, now: float) -> Told:
    """Return what a site's answer says, without what can't be true."""
    usage = status.usage if status is not None else None
    problems = list(_too_much(usage)) if usage is not None else []
    usage = _without(usage, [name for name, _ in problems]) if usage is not None else None
    words = [text for _, text in problems]
    started = usage.started if usage is not None else None
    ended = usage.ended if usage is not None else None
    if status is not None and started is None and status.started_at is not None:
        started = status.started_at.timestamp()
    if status is not None and ended is None and status.finished_at is not None:
        ended = status.finished_at.timestamp()
    early, late = record.submitted - DAY, now + DAY
    for name, when in (("started", started), ("ended", ended)):
        if when is not None and not early <= when <= late:
            words.append(f"{name} at {when:.0f}, but it was asked for at {record.submitted:.0f}")
    started = started if started is not None and early <= started <= late else record.started
    ended = ended if ended is not None and early <= ended <= late else None
    return Told(usage, started, ended, tuple(words))


def _too_much(usage: Usage) -> Iterator[tuple[str, str]]:
    for name, most in _MOST.items():
        value = getattr(usage, name)
        if value is not None and value > most:
            yield name, f"{name} {value:g}: no job has that much"


def _without(usage: Usage, names: list[str]) -> Usage:
    nothing: dict[str, Any] = {"cores": 0.0, "gpus": 0.0, "memory": 0}
    refused: dict[str, Any] = {name: nothing.get(name) for name in names}
    return replace(usage, **refused)


def begun(record: UsageRecord, said: Told, now: float) -> UsageRecord:
    """Return the record of a job that was seen running."""
    job_id = (said.usage.job_id if said.usage else "") or record.job_id
    started = said.started if said.started is not None else now
    heartbeat = max(record.heartbeat, now, started)
    state = str(State.STARTING)
    running = replace(record, started=started, heartbeat=heartbeat, job_id=job_id, state=state)
    return _given(running, said.usage)


def closed(
    record: UsageRecord,
    workload: Workload,
    said: Told,
    *,
    now: float,
    site: SiteAccounting,
    status: PodStatus | None,
    last: bool,
) -> UsageRecord:
    """Return the record of a workload that has ended; `last`: its site will tell no more."""
    usage, started = said.usage, said.started
    ended, source = said.ended, (usage.source if usage and usage.ended else STATUS)
    if ended is None:
        ended, source = _end(record, workload, status, now)
    ended = max(ended, started if started is not None else record.submitted)
    whole = _given(record, usage)
    draw = Draw(whole.cores, whole.gpus, whole.memory)
    joules = usage.energy_j if usage is not None else None
    drawn = energy(site, draw, started if started is not None else ended, ended, joules)
    return replace(
        whole,
        started=started,
        ended=ended,
        heartbeat=max(record.heartbeat, ended),
        cpu_s=usage.cpu_s if usage else record.cpu_s,
        peak_memory=usage.peak_memory if usage else record.peak_memory,
        energy_kwh=drawn.kwh,
        energy_source=drawn.source,
        co2e_g=drawn.co2e_g,
        job_id=(usage.job_id if usage else "") or workload.job_id or record.job_id,
        state=str(workload.state),
        reason=workload.reason,
        exit_code=workload.exit_code if usage is None else usage.exit_code,
        source=source[:16],
        final=last or bool(usage and usage.final),
    )


def _end(
    record: UsageRecord, workload: Workload, status: PodStatus | None, now: float
) -> tuple[float, str]:
    """Return when a job ended that its site does not say it of."""
    if status is None and record.ended is not None:
        return record.ended, record.source
    if workload.state == State.CANCELLED and status is not None:
        return now, STATUS  # it is taken away just now
    if status is None and record.started is not None and workload.reason in LOST:
        return record.heartbeat, HEARTBEAT
    return min(workload.updated, now), STATUS


def _given(record: UsageRecord, usage: Usage | None) -> UsageRecord:
    """Return a record with what the batch system says that the job was given."""
    if usage is None:
        return record
    return replace(
        record,
        cores=round(usage.cores or record.cores, 3),
        gpus=round(usage.gpus or record.gpus, 3),
        gpu_type=usage.gpu_type or record.gpu_type,
        memory=usage.memory or record.memory,
        account=usage.account or record.account,
    )
