"""The state of a pod, from what a plugin says of its containers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from farlab_sites.interlink import Container, Json, Status, Terminated
from farlab_sites.usage import Usage, UsageError

log = logging.getLogger(__name__)

Phase = Literal["Waiting", "Running", "Succeeded", "Failed"]


@dataclass(frozen=True)
class PodStatus:
    """What a site says of one pod. The times are the site's, with their time zone."""

    uid: str
    job_id: str
    phase: Phase
    reason: str = ""
    message: str = ""
    node: str | None = None
    exit_code: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    usage: Usage | None = None  # what its job used, as far as the site knows by now


def pod_status(status: Status) -> PodStatus:
    """Return a pod's state as interLink understands it.

    A pod has ended when all its containers have, or when an init container failed; it has
    failed when one of them did. It runs while any container runs, or waits to run once more;
    until then it waits.
    """
    containers, inits = status.containers or [], status.init_containers or []
    base = PodStatus(
        status.uid, status.job_id, "Waiting", node=status.node, usage=_usage(status.usage)
    )
    failed_init = [end for end in _ends(inits) if end.exit_code]
    ends = _ends(containers)
    if failed_init or (ends and len(ends) == len(containers)):
        return _ended(base, failed_init or ends)
    for container in containers:
        if container.state.running:
            started = container.state.running.started_at
            return replace(base, phase="Running", reason="Running", started_at=started)
    for container in containers:
        if container.state.waiting and container.last and container.last.terminated:
            started = container.last.terminated.started_at
            reason = container.state.waiting.reason
            return replace(base, phase="Running", reason=reason, started_at=started)
    return _waiting(base, inits, containers)


def _usage(said: Json | None) -> Usage | None:
    """Return what a site says that a job used; None where that makes no sense."""
    try:
        return None if said is None else Usage.from_json(said)
    except UsageError as error:
        log.warning("a site tells of a usage that can't be: %s", error)
        return None


def _ends(containers: Iterable[Container]) -> list[Terminated]:
    """Return how those of the containers ended that have."""
    return [item.state.terminated for item in containers if item.state.terminated]


def _ended(base: PodStatus, ends: Sequence[Terminated]) -> PodStatus:
    """Return the state of a pod that ended: the first failure speaks for all."""
    decisive = next((end for end in ends if end.exit_code), ends[0])
    return replace(
        base,
        phase="Failed" if decisive.exit_code else "Succeeded",
        reason=decisive.reason or ("Error" if decisive.exit_code else "Completed"),
        message=decisive.message,
        exit_code=decisive.exit_code,
        started_at=decisive.started_at,
        finished_at=decisive.finished_at,
    )


def _waiting(
    base: PodStatus, inits: Sequence[Container], containers: Sequence[Container]
) -> PodStatus:
    """Return the state of a pod that has not started, with the first reason that is given."""
    for item in inits:
        if item.state.running:
            message = f"the init container {item.name} is running"
            return replace(base, reason="PodInitializing", message=message)
    for item in (*inits, *containers):
        if item.state.waiting:
            waiting = item.state.waiting
            return replace(base, reason=waiting.reason, message=waiting.message)
    return base
