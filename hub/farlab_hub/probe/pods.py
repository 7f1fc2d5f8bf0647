"""What is known of pods, put together from series that come in order of time.

Pods are told apart by their UID alone: a hub gives one name to many pods, one after the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .prometheus import Series

_IN_CGROUP = re.compile(
    r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})"
)
_NO_CONTAINER = ("", "POD")
STARTED = "kube_pod_container_state_started"


@dataclass
class Pod:
    """One pod. Times in seconds since the epoch; None where nothing was seen of them."""

    uid: str
    namespace: str = ""
    name: str = ""
    user: str = ""
    image: str = ""
    created: float | None = None
    accepted: float | None = None  # by its node, before its images are there
    started: float | None = None  # the first of its containers
    first_running: float | None = None  # sample
    last_running: float | None = None  # sample
    completed: float | None = None
    cores: dict[str, float] = field(default_factory=dict)  # by container
    memory: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)  # seconds, by container
    snapshots: dict[int, dict[str, float]] = field(default_factory=dict)  # of cpu, at months' ends

    @property
    def begin(self) -> float | None:
        """When it began to run; None if it never did."""
        known = (self.started, self.accepted, self.created, self.first_running)
        if self.first_running is None and self.completed is None:
            return self.started
        return next((time for time in known if time is not None), None)

    def end(self, seen: float, gone_after: float) -> float | None:
        """Return when it ended; None while it runs. `seen` is when pods were last looked at."""
        if self.completed is not None:
            return self.completed
        if self.last_running is not None and self.last_running < seen - gone_after:
            return self.last_running
        return None


@dataclass
class _Counter:
    """How far one counter was read."""

    uid: str
    time: float
    value: float


class Pods:
    """All pods of an interval."""

    def __init__(self, user_label: str) -> None:
        self.by_uid: dict[str, Pod] = {}
        self._user_label = user_label
        self._by_name: dict[tuple[str, str], list[Pod]] = {}
        self._counters: dict[tuple[str, ...], _Counter] = {}

    def running(self, series: Series, since: float) -> None:
        """Take note of when a pod was seen running."""
        times = [time for time, value in series.samples if value == 1 and time >= since]
        if pod := self._pod(series.labels) if times else None:
            pod.first_running = min(times[0], pod.first_running or times[0])
            pod.last_running = max(times[-1], pod.last_running or times[-1])

    def fact(self, series: Series) -> None:
        """Take note of what kube-state-metrics says of a pod once."""
        labels, value = series.labels, series.samples[-1][1]
        pod = self._pod(labels)
        if not pod:
            return
        container = labels.get("container", "")
        match series.name:
            case "kube_pod_container_resource_requests" if labels.get("resource") == "cpu":
                pod.cores[container] = value
            case "kube_pod_container_resource_requests" if labels.get("resource") == "memory":
                pod.memory[container] = value
            case "kube_pod_created":
                pod.created = value
            case "kube_pod_start_time":
                pod.accepted = value
            case "kube_pod_completion_time":
                pod.completed = value
            case "kube_pod_container_info":
                pod.image = min(filter(None, (pod.image, labels.get("image", ""))), default="")
            case "kube_pod_annotations":
                pod.user = labels.get(self._user_label, pod.user)

    def started(self, series: Series) -> None:
        """Take note of when a container first started; a restart does not make it later."""
        if pod := self._pod(series.labels):
            value = series.samples[-1][1]
            pod.started = value if pod.started is None else min(pod.started, value)

    def cpu(self, series: Series, since: float) -> None:
        """Add what a container's counter has grown by: through resets, gaps and restarts."""
        labels = series.labels
        container = labels.get("container", "")
        if container in _NO_CONTAINER:
            return
        given = _uid_of(labels)
        # The same container seen by two scrapes is one counter, a restarted one is another.
        key = (
            given,
            labels.get("namespace", ""),
            labels.get("pod", ""),
            container,
            labels.get("id", ""),
            labels.get("name", ""),
            labels.get("cpu", ""),
        )
        counter = self._counters.get(key)
        for time, value in series.samples:
            if time < since or (counter and time <= counter.time):
                continue
            pod = self.by_uid.get(given) if given else self._named(labels, time)
            if not pod:
                continue
            grown = value
            if counter and counter.uid == pod.uid and value >= counter.value:
                grown = value - counter.value
            pod.cpu[container] = pod.cpu.get(container, 0.0) + grown
            counter = _Counter(pod.uid, time, value)
        if counter:
            self._counters[key] = counter

    def snapshot(self, moment: int) -> None:
        """Keep each pod's CPU time until a month's end."""
        for pod in self.by_uid.values():
            if pod.completed is None:
                pod.snapshots[moment] = dict(pod.cpu)

    def _pod(self, labels: dict[str, str]) -> Pod | None:
        uid = labels.get("uid", "")
        if not uid:
            return None
        pod = self.by_uid.get(uid)
        if not pod:
            pod = self.by_uid[uid] = Pod(uid, labels.get("namespace", ""), labels.get("pod", ""))
            self._by_name.setdefault((pod.namespace, pod.name), []).append(pod)
        return pod

    def _named(self, labels: dict[str, str], time: float) -> Pod | None:
        """Return the pod that had a name at a time: the last one that had begun."""
        named = self._by_name.get((labels.get("namespace", ""), labels.get("pod", "")), ())
        begun = [(pod.begin or 0.0, pod.uid, pod) for pod in named if (pod.begin or 0.0) <= time]
        return max(begun)[2] if begun else None


def _uid_of(labels: dict[str, str]) -> str:
    """Return the UID in a series of cAdvisor or of a virtual kubelet; empty if there is none."""
    if uid := labels.get("uid") or labels.get("pod_uid"):
        return uid
    found = _IN_CGROUP.search(labels.get("id", ""))
    return found[1].replace("_", "-") if found else ""
