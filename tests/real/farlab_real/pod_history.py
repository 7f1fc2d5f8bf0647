"""What kube-state-metrics and cAdvisor would have said of pods, as a history for Prometheus.

    add(history, PodLife("jupyter-alice", start, end, {"notebook": Container(8, 2**30)}))

One sample a minute, on the minute. A pod that completes stays for an hour, a deleted one is gone.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from farlab_real.prometheus import History

STEP = 60


@dataclass(frozen=True)
class Container:
    """A container: what it requests, and how many cores it keeps busy."""

    cores: float
    memory: int = 2**30
    busy: float = 1.0
    restarts: tuple[float, ...] = ()
    """When its counter began at 0 again, in the same cgroup."""


@dataclass(frozen=True)
class PodLife:
    """A pod from its start to its end; `completed` says whether it was seen after it."""

    name: str
    start: float
    end: float
    containers: Mapping[str, Container]
    completed: bool = False
    namespace: str = "hub"
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    user: str = "alice"
    gaps: tuple[tuple[float, float], ...] = ()
    """When nothing was scraped."""

    @property
    def core_seconds(self) -> float:
        """What it was given."""
        return sum(one.cores for one in self.containers.values()) * (self.end - self.start)

    def cpu_seconds(self, name: str, until: float) -> float:
        """What a container has used."""
        return self.containers[name].busy * (until - self.start)

    def times(self, since: float, until: float) -> Iterator[float]:
        """Yield the moments of scrapes, both ends included."""
        moment = since + -since % STEP
        while moment <= until:
            if not any(begin <= moment < end for begin, end in self.gaps):
                yield moment
            moment += STEP


def add(history: History, pod: PodLife) -> None:
    """Add everything that was scraped of a pod."""
    labels = {"namespace": pod.namespace, "pod": pod.name, "uid": pod.uid}
    last = pod.end + 3600 if pod.completed else pod.end
    # It waits half a minute for its node and its image: nobody has used anything then.
    seen = list(pod.times(pod.start - 30, last))
    running = [(time, float(pod.start <= time <= pod.end)) for time in seen]
    history.add("kube_pod_status_phase", {**labels, "phase": "Running"}, running)
    history.add("kube_pod_created", labels, [(time, pod.start - 30) for time in seen])
    history.add("kube_pod_start_time", labels, [(time, pod.start - 20) for time in seen])
    annotations = {**labels, "annotation_hub_jupyter_org_username": pod.user}
    history.add("kube_pod_annotations", annotations, [(time, 1.0) for time in seen])
    if pod.completed:
        after = [(time, pod.end) for time in seen if time >= pod.end]
        history.add("kube_pod_completion_time", labels, after)
    for name, container in pod.containers.items():
        _add_container(history, pod, name, container, seen)


def _add_container(
    history: History, pod: PodLife, name: str, container: Container, seen: list[float]
) -> None:
    labels = {"namespace": pod.namespace, "pod": pod.name, "uid": pod.uid, "container": name}
    requests = "kube_pod_container_resource_requests"
    if container.cores:
        cpu = {**labels, "resource": "cpu", "unit": "core"}
        history.add(requests, cpu, [(time, container.cores) for time in seen])
    memory = {**labels, "resource": "memory", "unit": "byte"}
    history.add(requests, memory, [(time, float(container.memory)) for time in seen])
    during = [time for time in seen if pod.start <= time <= pod.end]
    started = [(time, pod.start) for time in during]
    history.add("kube_pod_container_state_started", labels, started)
    info = {**labels, "image": f"registry.example.org/{name}:1"}
    history.add("kube_pod_container_info", info, [(time, 1.0) for time in seen])
    history.add("container_cpu_usage_seconds_total", _cgroup(pod, name), [
        (time, _counter(pod, name, container, time)) for time in during
    ])  # fmt: skip


def _counter(pod: PodLife, name: str, container: Container, time: float) -> float:
    """Return the counter, which begins again at each restart."""
    before = [moment for moment in container.restarts if moment <= time]
    used = pod.cpu_seconds(name, time)
    return used - pod.cpu_seconds(name, before[-1]) if before else used


def _cgroup(pod: PodLife, name: str) -> dict[str, str]:
    """Return the labels that cAdvisor gives a container: its UID is in the cgroup's path only."""
    path = f"/kubepods.slice/kubepods-burstable-pod{pod.uid.replace('-', '_')}.slice/{name}"
    return {
        "namespace": pod.namespace,
        "pod": pod.name,
        "container": name,
        "id": path,
        "cpu": "total",
    }
