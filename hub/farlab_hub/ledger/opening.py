"""The record of a workload that was only asked for: what it will be given, and whose it is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from farlab_sites.entitlements import is_member
from farlab_sites.manifest import FLAGS, GPU
from farlab_sites.plugin.quantities import parse_quantity

from ..identity.person import Person
from ..models import NewWorkload, Workload
from ..states import State
from .records import UsageRecord

_GPU_TYPE = re.compile(r"\bgpu:([A-Za-z0-9_.-]+):\d")


def attributed(
    site_groups: Sequence[str] | None, groups: Sequence[str], entitlements: Collection[str] = ()
) -> str:
    """Return the one group that hours are counted for: the one that opened the site, else a first.

    It has the name by which the catalogue calls it, as budgets and managers have, also where it
    is an entitlement. Empty for a user in no group.
    """
    named = site_groups or ()
    opening = (one for one in named if one in groups or is_member(one, (), entitlements))
    return next(opening, next(iter(groups), ""))


def opened(
    request: NewWorkload,
    pod: Mapping[str, Any],
    created: float,
    *,
    account: str | None,
    site_groups: Sequence[str] | None,
    person: Person,
) -> UsageRecord:
    """Return the record of a new workload of a person."""
    return _record(
        uid=request.uid,
        owner=request.owner,
        subject=person.global_name,
        groups=tuple(request.groups),
        vo=attributed(site_groups, request.groups, person.entitlements),
        account=account or "",
        site=request.site,
        kind=request.kind,
        profile=request.profile,
        pod=pod,
        submitted=created,
        state=State.REQUESTED,
    )


def found(workload: Workload) -> UsageRecord:
    """Return a record for a workload that an older service took: its groups nobody knows."""
    return _record(
        uid=workload.uid,
        owner=workload.owner,
        subject="",
        groups=(),
        vo="",
        account=workload.account or "",
        site=workload.site,
        kind=workload.kind,
        profile=workload.profile,
        pod=workload.pod,
        submitted=workload.created,
        state=workload.state,
    )


def _record(
    *,
    uid: str,
    owner: str,
    subject: str,
    groups: tuple[str, ...],
    vo: str,
    account: str,
    site: str,
    kind: str,
    profile: str,
    pod: Mapping[str, Any],
    submitted: float,
    state: State,
) -> UsageRecord:
    notes = pod["metadata"].get("annotations") or {}
    gpu_type = _GPU_TYPE.search(str(notes.get(FLAGS, "")))
    return UsageRecord(
        uid=uid,
        owner=owner,
        issuer_subject=subject,
        groups=groups,
        vo=vo,
        account=account,
        site=site,
        kind=kind,
        profile=profile,
        image=str(pod["spec"]["containers"][0].get("image") or ""),
        job_id="",
        submitted=submitted,
        started=None,
        ended=None,
        heartbeat=submitted,
        cores=round(limit(pod, "cpu"), 3),
        gpus=round(limit(pod, GPU), 3),
        gpu_type=gpu_type[1] if gpu_type else "",
        memory=int(limit(pod, "memory")),
        cpu_s=None,
        peak_memory=None,
        energy_kwh=None,
        energy_source="",
        co2e_g=None,
        state=str(state),
        reason="",
        exit_code=None,
        source="",
        final=False,
    )


def limit(pod: Mapping[str, Any], resource: str) -> float:
    """Return what all containers of a pod together get of a resource; 0 where nothing is said."""
    return sum(_of(container, resource) for container in pod["spec"]["containers"])


def _of(container: Mapping[str, Any], resource: str) -> float:
    resources = container.get("resources") or {}
    said: Collection[Any] = [
        (resources.get(part) or {}).get(resource) for part in ("limits", "requests")
    ]
    first = next((value for value in said if value is not None), 0)
    try:
        return float(parse_quantity(first))
    except ValueError:
        return 0.0
