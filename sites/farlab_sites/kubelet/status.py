"""From what a site says of a pod's containers to the v1.PodStatus that Kubernetes shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from farlab_sites.interlink import Status
from farlab_sites.kubelet.api import Json
from farlab_sites.kubelet.pods import Container, Pod
from farlab_sites.podstatus import PodStatus, pod_status

KILLED = 137
OURS = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
Condition = tuple[bool, str, str]  # whether it is true, reason, message


class Rubbish(Exception):  # noqa: N818 - it is about an answer
    """What a site says of a pod makes no sense."""


def stamp(moment: datetime) -> str:
    """Return a moment as Kubernetes writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told_status(pod: Pod, answer: Json, host_ip: str, now: datetime) -> Json:
    """Return the pod's status as its site tells it.

    Raises:
        Rubbish: the site's answer is not interLink's protocol.

    """
    try:
        parsed = Status.model_validate(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Rubbish(f"{place}: {first['msg']}") from None
    summary = pod_status(parsed)
    inits = _statuses(pod, pod.inits, answer.get("initContainers"), init=True)
    containers = _statuses(pod, pod.containers, answer.get("containers"), init=False)
    status = {
        "phase": "Pending" if summary.phase == "Waiting" else summary.phase,
        **_words(summary),
        "conditions": _conditions(pod, summary.phase, inits, containers, now),
        "containerStatuses": containers,
        **_addresses(pod, summary.phase, host_ip),
        "startTime": pod.started or stamp(now),
    }
    return status | ({"initContainerStatuses": inits} if inits else {})


def waiting_status(pod: Pod, reason: str, message: str, host_ip: str, now: datetime) -> Json:
    """Return the status of a pod that has no job yet, and why."""
    state = {"waiting": {"reason": reason, "message": message}}
    inits = [_blank(container, state) for container in pod.inits]
    containers = [_blank(container, state) for container in pod.containers]
    status = {
        "phase": "Pending",
        "reason": reason,
        "message": message,
        "conditions": _conditions(pod, "Waiting", inits, containers, now),
        "containerStatuses": containers,
        **_addresses(pod, "Waiting", host_ip),
        "startTime": pod.started or stamp(now),
    }
    return status | ({"initContainerStatuses": inits} if inits else {})


def failed_status(pod: Pod, reason: str, message: str, host_ip: str, now: datetime) -> Json:
    """Return the status of a pod that has no job and will get none."""
    ended = {"exitCode": KILLED, "reason": reason, "message": message, "finishedAt": stamp(now)}
    state = {"terminated": ended}
    inits = [_blank(container, state) for container in pod.inits]
    containers = [_blank(container, state) for container in pod.containers]
    status = {
        "phase": "Failed",
        "reason": reason,
        "message": message,
        "conditions": _conditions(pod, "Failed", inits, containers, now),
        "containerStatuses": containers,
        **_addresses(pod, "Waiting", host_ip),
        "startTime": pod.started or stamp(now),
    }
    return status | ({"initContainerStatuses": inits} if inits else {})


def _words(summary: PodStatus) -> dict[str, str | None]:
    """Return the pod's own reason: only where its phase alone does not say it all."""
    if summary.phase in ("Running", "Succeeded"):
        return {"reason": None, "message": None}
    return {"reason": summary.reason or None, "message": summary.message or None}


def _addresses(pod: Pod, phase: str, host_ip: str) -> Json:
    """Return the addresses; a pod has its own from the moment it runs."""
    made: Json = {"hostIP": host_ip, "hostIPs": [{"ip": host_ip}]}
    if phase != "Waiting":
        made |= {"podIP": pod.ip, "podIPs": [{"ip": pod.ip}]}
    return made


def _statuses(pod: Pod, wanted: Iterable[Container], told: Any, *, init: bool) -> list[Json]:
    by_name = {item["name"]: item for item in told or ()}
    return [_one(pod, container, by_name.get(container.name), init=init) for container in wanted]


def _one(pod: Pod, container: Container, told: Json | None, *, init: bool) -> Json:
    """Return a v1.ContainerStatus; a container that the site does not name waits."""
    if told is None:
        return _blank(container, {"waiting": {"reason": "ContainerCreating"}})
    state = _state(told.get("state"))
    running, ended = "running" in state, state.get("terminated") or {}
    status = _blank(container, state)
    status["restartCount"] = _count(told.get("restartCount"))
    status["lastState"] = _state(told.get("lastState"), empty=True)
    status["imageID"] = _text(told.get("imageID"))
    status["image"] = _text(told.get("image")) or container.image
    # The site knows whether a probe has passed; one that does not say has no probes.
    status["ready"] = running and told.get("ready") is not False
    if init:
        status["ready"] = ended.get("exitCode") == 0
    status["started"] = running and told.get("started") is not False
    if running or ended:
        status["containerID"] = f"farlab://{pod.uid}/{container.name}"
    return status


def _blank(container: Container, state: Json) -> Json:
    return {
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }


def _state(told: Any, *, empty: bool = False) -> Json:
    """Return a v1.ContainerState with only what belongs there."""
    for kind in ("terminated", "running", "waiting"):
        if isinstance(told, dict) and isinstance(told.get(kind), dict):
            return {kind: dict(_fields(kind, told[kind]))}
    return {} if empty else {"waiting": {"reason": "ContainerCreating"}}


_KINDS = {
    "waiting": ("reason", "message"),
    "running": ("startedAt",),
    "terminated": ("exitCode", "signal", "reason", "message", "startedAt", "finishedAt"),
}


def _fields(kind: str, told: Json) -> Iterator[tuple[str, Any]]:
    for field in _KINDS[kind]:
        if told.get(field) not in (None, ""):
            yield field, told[field]


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**31 else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _conditions(
    pod: Pod, phase: str, inits: list[Json], containers: list[Json], now: datetime
) -> list[Json]:
    """Return the pod's conditions; the others' stay, and so do times of what has not changed."""
    made = _truths(pod, phase, inits, containers)
    kept = [dict(condition) for condition in pod.conditions if condition["type"] not in made]
    old = {condition["type"]: condition for condition in pod.conditions}
    for kind, (true, reason, message) in made.items():
        status = "True" if true else "False"
        same = old.get(kind, {}).get("status") == status
        since = old[kind].get("lastTransitionTime") if same else None
        condition = {"type": kind, "status": status, "lastTransitionTime": since or stamp(now)}
        if not true:
            condition |= {"reason": reason, "message": message}
        kept.append(condition)
    return kept


def _truths(
    pod: Pod, phase: str, inits: list[Json], containers: list[Json]
) -> dict[str, Condition]:
    begun = phase in ("Running", "Succeeded") or not inits
    initialized = begun or all(status["ready"] for status in inits)
    waiting = [status["name"] for status in containers if not status["ready"]]
    whole = phase == "Running" and not waiting
    reason, message = "ContainersNotReady", f"containers with unready status: [{' '.join(waiting)}]"
    if phase in ("Succeeded", "Failed"):
        reason, message = f"Pod{'Completed' if phase == 'Succeeded' else 'Failed'}", ""
    closed = [gate for gate in pod.gates if not _holds(pod, gate)]
    ready: Condition = (whole, reason, message)
    if whole and closed:
        ready = (False, "ReadinessGatesNotReady", f"these do not hold yet: {', '.join(closed)}")
    unfinished = [status["name"] for status in inits if not status["ready"]]
    incomplete = f"containers with incomplete status: [{' '.join(unfinished)}]"
    return {
        "PodScheduled": (True, "", ""),
        "Initialized": (initialized, "ContainersNotInitialized", incomplete),
        "ContainersReady": (whole, reason, message),
        "Ready": ready,
    }


def _holds(pod: Pod, kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in pod.conditions)
