"""The states of a workload and the steps between them, as data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a workload is on its way."""

    REQUESTED = "requested"
    SUBMITTED = "submitted"
    QUEUED = "queued"
    STARTING = "starting"
    READY = "ready"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({State.FINISHED, State.FAILED, State.CANCELLED})
LIVE = frozenset(State) - ENDED

# A job may be seen running before the plugin's answer to /create is read, so `requested` may jump;
# Slurm may put a running job back into its queue, so `starting` may go back. Nothing leaves an end.
STEPS: Mapping[State, frozenset[State]] = {
    State.REQUESTED: frozenset({State.SUBMITTED, State.QUEUED, State.STARTING, State.READY})
    | ENDED,
    State.SUBMITTED: frozenset({State.QUEUED, State.STARTING, State.READY}) | ENDED,
    State.QUEUED: frozenset({State.STARTING, State.READY}) | ENDED,
    State.STARTING: frozenset({State.QUEUED, State.READY}) | ENDED,
    State.READY: ENDED,
    State.FINISHED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}


def may_step(old: State, new: State) -> bool:
    """Say whether a workload in `old` may go to `new` (staying is always possible)."""
    return old == new or new in STEPS[old]
