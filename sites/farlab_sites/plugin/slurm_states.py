"""What the queue says of one job, in the words of the plugin and of the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from farlab_sites.plugin import slurm_words
from farlab_sites.plugin.driver import JobState
from farlab_sites.plugin.slurm_queue import Row, Snapshot

SUBMITTED = JobState("Waiting", reason="", message=f"{slurm_words.waiting('None')}.")


def choose(rows: Sequence[Row]) -> Row:
    """Return the job that runs the pod, of several that were submitted for it.

    The one that is furthest on: the first to run makes all others end without doing anything.
    """
    return min(rows, key=lambda row: (_stage(row), row.job_id))


def spare(rows: Sequence[Row]) -> list[int]:
    """Return the numbers of the jobs that wait though another one runs the pod already."""
    chosen = choose(rows)
    return [row.job_id for row in rows if row.pending and row.job_id != chosen.job_id]


def was_refused(row: Row) -> bool:
    """Say whether the row is what Slurm keeps of a submission that it refused: never a job."""
    return row.state == "FAILED" and not row.node


def _stage(row: Row) -> int:
    if row.state in slurm_words.RUNNING:
        return 0
    return 1 if row.pending else 2


def state_of(row: Row, snapshot: Snapshot, now: datetime) -> JobState:
    """Return the state of a job."""
    return replace(_state(row, snapshot, now), submitted_at=row.submitted, word=row.state)


def _state(row: Row, snapshot: Snapshot, now: datetime) -> JobState:
    if row.pending:
        return _waiting(row, snapshot, now)
    if row.state in slurm_words.RUNNING:
        return _running(row)
    kind, message = slurm_words.ended(row.state, row.reason, row.status)
    return JobState(
        "Terminated",
        reason=kind,
        message=message,
        node=row.node,
        started_at=row.start,
        finished_at=row.end,
        exit_code=_exit_code(row),
    )


def _exit_code(row: Row) -> int | None:
    """Return the exit code where Slurm has one that means something."""
    if row.state in {"COMPLETED", "FAILED"}:
        return slurm_words.exit_code(row.status)
    return None


def _running(row: Row) -> JobState:
    reason = "" if row.state == "RUNNING" else row.state.capitalize()
    message = slurm_words.RUNNING[row.state]
    return JobState("Running", reason=reason, message=message, node=row.node, started_at=row.start)


def _waiting(row: Row, snapshot: Snapshot, now: datetime) -> JobState:
    partition = row.partitions[0]
    place = snapshot.places.get((partition, row.job_id))
    waiting = len(snapshot.waiting.get(partition, ()))
    message = slurm_words.waiting(row.reason)
    if place is not None and row.reason not in slurm_words.NEVER:
        message += f": place {place} of {waiting} in partition {partition}"
        if row.start is not None and row.start > now:
            message += f"; Slurm expects a start {clock(row.start, now)}"
    return JobState(
        "Waiting",
        reason="" if row.reason == "None" else row.reason,
        message=f"{message}.",
        place=place,
        waiting=waiting if place is not None else None,
    )


def clock(moment: datetime, now: datetime) -> str:
    """Return a time in UTC, with the date when it is not today's."""
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    if moment.date() == now.date():
        return f"at {moment:%H:%M} UTC"
    return f"on {moment:%d %B at %H:%M} UTC"
