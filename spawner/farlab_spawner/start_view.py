"""What the progress page shows when it is opened; its script goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .progress import STAGES, Step

# Stage: what it is called while it is going on, and afterwards.
NAMES = {
    "requested": ("Handing your request to the site", "Handed to the site"),
    "submitted": ("Accepted by the site", "Accepted by the site"),
    "queued": ("Waiting in the queue", "Waited in the queue"),
    "starting": ("Starting JupyterLab", "Started JupyterLab"),
    "ready": ("Ready: opening it", "Ready"),
}


@dataclass(frozen=True)
class StageView:
    """One stage of the start."""

    name: str
    state: str  # done | now | later
    now: str
    done: str
    detail: str = ""

    @property
    def text(self) -> str:
        """What it is called at the moment."""
        return self.done if self.state == "done" else self.now


@dataclass(frozen=True)
class StartView:
    """A server that is starting."""

    title: str
    summary: str
    stages: tuple[StageView, ...]
    log: str
    limit: str
    api_url: str
    form_url: str


def stage_views(steps: Sequence[Step]) -> tuple[StageView, ...]:
    """Return every stage, with the last detail known of it."""
    reached = max((STAGES.index(step.stage) for step in steps[-1:]), default=0)
    details = {step.stage: step.detail for step in steps}
    job = steps[-1].job_id if steps else ""
    if job:
        details["submitted"] = f"Job {job}"
    return tuple(
        StageView(
            stage,
            "done" if number < reached else "now" if number == reached else "later",
            *NAMES[stage],
            details.get(stage, ""),
        )
        for number, stage in enumerate(STAGES)
    )
