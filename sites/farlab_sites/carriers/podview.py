"""The state of a pod in Kubernetes, from the pod itself and the events about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter

from farlab_sites.carriers.podusage import usage_of
from farlab_sites.interlink import Json, Status
from farlab_sites.podstatus import PodStatus, pod_status

JOB_ID = "JobID"
"""Annotation that a virtual kubelet writes, interLink's own as well."""

_TIME: TypeAdapter[datetime] = TypeAdapter(datetime)

# Why Kubernetes itself takes a pod away, in its own word and in a sentence.
_DISRUPTIONS = {
    "PreemptionByScheduler": "a more urgent pod took its place",
    "DeletionByTaintManager": "its node was away for too long",
    "EvictionByEvictionAPI": "its node is being emptied",
    "DeletionByPodGC": "its node is gone from the cluster",
    "TerminationByKubelet": "its node ran out of resources",
}


@dataclass(frozen=True)
class PodEvent:
    """An event about a pod; `name` is its own."""

    name: str
    type: str  # Normal or Warning
    reason: str
    message: str
    time: str  # as Kubernetes writes it: sorts as it is

    @classmethod
    def read(cls, event: Json) -> PodEvent:
        """Return a v1.Event."""
        series = event.get("series") or {}
        times = (
            series.get("lastObservedTime"),
            event.get("lastTimestamp"),
            event.get("eventTime"),
            event["metadata"].get("creationTimestamp"),
        )
        return cls(
            name=event["metadata"].get("name") or "",
            type=event.get("type") or "Normal",
            reason=event.get("reason") or "",
            message=event.get("message") or "",
            time=next((str(time) for time in times if time), ""),
        )


def status_of(uid: str, pod: Json, events: Iterable[PodEvent], *, is_virtual: bool) -> PodStatus:
    """Return what Kubernetes says of a workload's pod.

    A virtual node is no place that a user knows: of one, the node is left open.
    """
    meta, status = pod["metadata"], pod.get("status") or {}
    said = {
        "UID": uid,
        "JID": (meta.get("annotations") or {}).get(JOB_ID, ""),
        "node": None if is_virtual else (pod.get("spec") or {}).get("nodeName"),
        "containers": status.get("containerStatuses"),
        "initContainers": status.get("initContainerStatuses"),
    }
    found = pod_status(Status.model_validate(said))
    found = replace(found, usage=usage_of(pod, is_virtual=is_virtual))
    phase = status.get("phase")
    if phase in ("Failed", "Succeeded"):
        return _taken_away(pod, _ended(found, status, failed=phase == "Failed"))
    if found.phase in ("Failed", "Succeeded"):
        # Its containers have ended; Kubernetes says so a moment later, perhaps with a better word.
        return _taken_away(pod, found)
    return found if found.phase == "Running" else _waiting(found, status, events)


def gone(uid: str, pod: Json, *, is_virtual: bool) -> PodStatus:
    """Return the state of a workload whose pod, last seen like this, was deleted."""
    last = status_of(uid, pod, (), is_virtual=is_virtual)
    if last.usage is not None:
        last = replace(last, usage=replace(last.usage, final=True))  # nobody adds to it any more
    if last.phase in ("Failed", "Succeeded"):
        return last
    reason, message = _why_deleted(pod)
    return replace(last, phase="Failed", reason=reason, message=message)


def _ended(found: PodStatus, status: Json, *, failed: bool) -> PodStatus:
    """Return the state of a pod that Kubernetes calls ended."""
    said = {key: str(status.get(key) or "") for key in ("reason", "message")}
    ends = found.phase in ("Failed", "Succeeded")
    return replace(
        found,
        phase="Failed" if failed else "Succeeded",
        # The containers know best, but those that never started know nothing.
        reason=(found.reason if ends else "") or said["reason"] or ("Error" if failed else ""),
        message=(found.message if ends else "") or said["message"],
    )


def _taken_away(pod: Json, ended: PodStatus) -> PodStatus:
    """Say that a pod ended because it was deleted, if that is why."""
    asked = _deletion_asked(pod)
    if asked is None or (ended.finished_at is not None and ended.finished_at < asked):
        return ended
    reason, message = _why_deleted(pod)
    return replace(ended, phase="Failed", reason=reason, message=message)


def _deletion_asked(pod: Json) -> datetime | None:
    """Return when somebody asked for a pod's deletion; None when nobody did."""
    meta = pod["metadata"]
    if not meta.get("deletionTimestamp"):
        return None
    grace = timedelta(seconds=meta.get("deletionGracePeriodSeconds") or 0)
    return _TIME.validate_python(meta["deletionTimestamp"]) - grace


def _why_deleted(pod: Json) -> tuple[str, str]:
    """Return why a pod was taken away: a word, and a sentence."""
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            word = condition.get("reason") or ""
            why = _DISRUPTIONS.get(word) or condition.get("message") or word
            return "Evicted", f"Kubernetes took its pod away: {why}."
    name = pod["metadata"]["name"]
    return "Deleted", f"Its pod {name} was deleted in Kubernetes, and not by this hub."


def _waiting(found: PodStatus, status: Json, events: Iterable[PodEvent]) -> PodStatus:
    """Return the state of a pod that does not run, with the best word there is about why."""
    if found.message:
        return found
    if events := [*events]:
        last = max(events, key=lambda event: (event.time, event.type == "Warning"))
        return replace(found, reason=last.reason, message=last.message)
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            reason = condition.get("reason") or found.reason
            return replace(found, reason=reason, message=condition.get("message") or "")
    reason = found.reason or status.get("reason") or "Pending"
    return replace(found, reason=reason, message=status.get("message") or "")
