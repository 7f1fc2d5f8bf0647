"""What those who run a hub, or a group in it, look at: starts, waits, images, the ledger itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, or_, select

from ..states import ENDED, State
from ..tables import EventRow, WorkloadRow
from . import writing
from .queries import Span, Whose
from .rollup import DAY
from .tables import DayRow, RejectRow, table_of

NEWEST = 20_000  # records that starts and waits are taken from
SHOWN = 100
LATE = 300.0  # seconds after an end from which a missing last word is a gap
SILENT = 600.0  # seconds without a heartbeat
DUPLICATE_DAYS = 35

R = writing.RECORDS.c


@dataclass(frozen=True)
class Starts:
    """How workloads started at a site; times in seconds."""

    site: str
    asked: int
    started: int
    failed: int
    """That failed before they were ready; what was cancelled before counts neither way."""
    success: float | None
    first_cell_p50: float | None
    """From the request until it was ready."""
    first_cell_p90: float | None
    wait_p50: float | None
    """From the request until the batch system started the job."""
    wait_p90: float | None
    wait_p99: float | None


@dataclass(frozen=True)
class ImageUse:
    """What was run with an image."""

    image: str
    workloads: int
    core_hours: float
    gpu_hours: float


@dataclass(frozen=True)
class Gap:
    """Something that the ledger does not know yet, and since when."""

    uid: str
    owner: str
    site: str
    job_id: str
    since: float
    problem: str


@dataclass(frozen=True)
class LastRecord:
    """The newest that the ledger has of a site."""

    site: str
    heartbeat: float
    ended: float | None
    live: int


@dataclass(frozen=True)
class Duplicate:
    """Records of different workloads that name the same job of a site."""

    site: str
    job_id: str
    uids: tuple[str, ...]


@dataclass(frozen=True)
class Rejected:
    """What a site said and the ledger refused."""

    time: float
    site: str
    uid: str
    problem: str


def starts(connection: Connection, span: Span, whose: Whose) -> list[Starts]:
    """Return how workloads started at each site, of the newest that were asked for in a time."""
    ready = (
        select(func.min(EventRow.time))
        .where(EventRow.workload == R.uid, EventRow.state == State.READY)
        .scalar_subquery()
    )
    query = select(R.site, R.submitted, R.started, R.state, ready.label("ready"))
    query = _of(query, whose).where(
        R.submitted >= span.first * DAY,
        R.submitted < (span.last + 1) * DAY,
        or_(R.ended.is_(None), R.ended >= span.first * DAY),
    )
    query = query.order_by(R.submitted.desc()).limit(NEWEST)
    sites: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        sites.setdefault(row.site, []).append(row)
    return [_starts(site, rows) for site, rows in sorted(sites.items())]


def _starts(site: str, rows: Sequence[Any]) -> Starts:
    first = sorted(max(0.0, row.ready - row.submitted) for row in rows if row.ready is not None)
    waits = sorted(max(0.0, row.started - row.submitted) for row in rows if row.started is not None)
    failed = sum(row.ready is None and row.state == State.FAILED for row in rows)
    return Starts(
        site=site,
        asked=len(rows),
        started=len(first),
        failed=failed,
        success=len(first) / (len(first) + failed) if first or failed else None,
        first_cell_p50=percentile(first, 50),
        first_cell_p90=percentile(first, 90),
        wait_p50=percentile(waits, 50),
        wait_p90=percentile(waits, 90),
        wait_p99=percentile(waits, 99),
    )


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return a percentile of ordered values: the smallest that so many are not above."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def images(connection: Connection, span: Span, whose: Whose) -> list[ImageUse]:
    """Return the images that most core hours were used with, of what ended in a time."""
    seconds = R.ended - func.coalesce(R.started, R.ended)
    core, gpu = func.sum(R.cores * seconds), func.sum(R.gpus * seconds)
    query = _of(select(R.image, func.count(), core, gpu), whose).where(
        R.ended >= span.first * DAY, R.ended < (span.last + 1) * DAY
    )
    query = query.group_by(R.image).order_by(core.desc(), R.image).limit(SHOWN)
    return [
        ImageUse(image, count, float(cores or 0) / 3600, float(gpus or 0) / 3600)
        for image, count, cores, gpus in connection.execute(query)
    ]


def active_users(connection: Connection, today: int, whose: Whose) -> dict[str, int]:
    """Return how many users used something in the last day, week and month."""
    days = table_of(DayRow).c
    counts = {}
    for name, length in (("day", 1), ("week", 7), ("month", 30)):
        query = select(days.owner).where(days.day > today - length, days.day <= today)
        alive = select(R.owner).where(R.ended.is_(None), R.started.is_not(None))
        query = query.where(days.vo == whose.group) if whose.group is not None else query
        query = query.where(days.owner == whose.owner) if whose.owner is not None else query
        everyone = query.union(_of(alive, whose)).subquery()
        counts[name] = connection.scalar(select(func.count()).select_from(everyone)) or 0
    return counts


def _of(query: Any, whose: Whose) -> Any:
    query = query.where(R.vo == whose.group) if whose.group is not None else query
    return query.where(R.owner == whose.owner) if whose.owner is not None else query


def last_records(connection: Connection) -> list[LastRecord]:
    """Return the newest that is known of each site."""
    alive = func.count().filter(R.ended.is_(None))
    query = select(R.site, func.max(R.heartbeat), func.max(R.ended), alive).group_by(R.site)
    return [
        LastRecord(site, heartbeat, ended, int(live or 0))
        for site, heartbeat, ended, live in connection.execute(query.order_by(R.site))
    ]


def gaps(connection: Connection, now: float) -> list[Gap]:
    """Return what the ledger does not know of workloads, though it should by now."""
    return [*_unfinished(connection, now - LATE), *_silent(connection, now - SILENT)]


def _unfinished(connection: Connection, before: float) -> Iterable[Gap]:
    """Yield workloads that have ended and whose record is not complete."""
    query = (
        select(R.uid, R.owner, R.site, WorkloadRow.job_id, WorkloadRow.updated)
        .join(WorkloadRow, WorkloadRow.uid == R.uid)
        .where(R.final.is_(False), WorkloadRow.state.in_([*ENDED]), WorkloadRow.updated < before)
        .order_by(WorkloadRow.updated)
        .limit(SHOWN)
    )
    words = "it has ended, and its site has still to say what it used"
    for uid, owner, site, job_id, since in connection.execute(query):
        yield Gap(uid, owner, site, job_id, since, words)


def _silent(connection: Connection, before: float) -> Iterable[Gap]:
    """Yield workloads that were not seen for long, though they are not known to have ended."""
    query = (
        select(R.uid, R.owner, R.site, R.job_id, R.heartbeat)
        .where(R.ended.is_(None), R.started.is_not(None), R.heartbeat < before)
        .order_by(R.heartbeat)
        .limit(SHOWN)
    )
    words = "it was running, and its site has not said so since"
    for uid, owner, site, job_id, since in connection.execute(query):
        yield Gap(uid, owner, site, job_id, since, words)


def lag(connection: Connection, now: float) -> tuple[int, float]:
    """Return how many ended workloads have no complete record, and since when the oldest, in s."""
    query = (
        select(func.count(), func.min(WorkloadRow.updated))
        .select_from(writing.RECORDS)
        .join(WorkloadRow, WorkloadRow.uid == R.uid)
        .where(R.final.is_(False), WorkloadRow.state.in_([*ENDED]))
    )
    count, oldest = connection.execute(query).one()
    return count, max(0.0, now - oldest) if oldest is not None else 0.0


def duplicates(connection: Connection, now: float) -> list[Duplicate]:
    """Return the jobs of the last weeks that more than one record names."""
    recent = (R.ended.is_(None) | (R.ended >= now - DUPLICATE_DAYS * DAY)) & (R.job_id != "")
    twice = (
        select(R.site, R.job_id)
        .where(recent)
        .group_by(R.site, R.job_id)
        .having(func.count() > 1)
        .limit(SHOWN)
        .subquery()
    )
    query = select(R.site, R.job_id, R.uid).join(
        twice, (twice.c.site == R.site) & (twice.c.job_id == R.job_id)
    )
    found: dict[tuple[str, str], list[str]] = {}
    for site, job_id, uid in connection.execute(query.where(recent).order_by(R.uid)):
        found.setdefault((site, job_id), []).append(uid)
    return [Duplicate(site, job_id, tuple(uids)) for (site, job_id), uids in sorted(found.items())]


def rejects(connection: Connection) -> list[Rejected]:
    """Return what was refused, the newest first."""
    table = table_of(RejectRow).c
    query = select(table.time, table.site, table.workload, table.problem)
    rows = connection.execute(query.order_by(table.id.desc()).limit(SHOWN))
    return [Rejected(*row) for row in rows]
