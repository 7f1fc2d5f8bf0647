"""What this kubelet tells Prometheus and `kubectl top`, in the names that others gave it.

Pods: the series of kube-state-metrics. Usage: those of cAdvisor, and the kubelet's own resource
metrics and summary.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from farlab_sites.kubelet.api import Json
from farlab_sites.kubelet.metering import Meter
from farlab_sites.kubelet.pods import Pod
from farlab_sites.plugin.quantities import parse_quantity

TEXT = "text/plain; version=0.0.4; charset=utf-8"
PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
UNITS = {"cpu": "core", "memory": "byte", "ephemeral-storage": "byte"}
HELP = {
    "kube_pod_info": "Information about pod.",
    "kube_pod_owner": "Information about the Pod's owner.",
    "kube_pod_labels": "Kubernetes labels converted to Prometheus labels.",
    "kube_pod_annotations": "Kubernetes annotations converted to Prometheus labels.",
    "kube_pod_created": "Unix creation timestamp",
    "kube_pod_start_time": "Start time in unix timestamp for a pod.",
    "kube_pod_completion_time": "Completion time in unix timestamp for a pod.",
    "kube_pod_status_phase": "The pods current phase.",
    "kube_pod_container_info": "Information about a container in a pod.",
    "kube_pod_container_resource_requests": "The number of requested resource by a container.",
    "kube_pod_container_resource_limits": "The number of requested limit resource by a container.",
    "container_cpu_usage_seconds_total": "Cumulative cpu time consumed in core-seconds",
    "container_memory_working_set_bytes": "Current working set in bytes",
    "container_start_time_seconds": "Start time of the container since unix epoch in seconds",
    "pod_cpu_usage_seconds_total": "Cumulative cpu time consumed by the pod in core-seconds",
    "pod_memory_working_set_bytes": "Current working set of the pod in bytes",
    "node_cpu_usage_seconds_total": "Cumulative cpu time consumed by the node in core-seconds",
    "node_memory_working_set_bytes": "Current working set of the node in bytes",
    "scrape_error": "1 if there was an error while getting container metrics, 0 otherwise",
}

Sample = tuple[str, dict[str, str], float]


def exposition(samples: Iterable[Sample]) -> str:
    """Return samples as Prometheus reads them, each name's together."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for name, labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        by_name[name].append(f"{name}{{{inner}}} {value!r}" if inner else f"{name} {value!r}")
    lines = []
    for name, found in by_name.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} {kind}", *found]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def state_samples(meters: Iterable[Meter], node: str) -> Iterator[Sample]:
    """Yield kube-state-metrics' series of the pods."""
    for meter in meters:
        yield from _pod_samples(meter, node)


def _pod_samples(meter: Meter, node: str) -> Iterator[Sample]:
    pod, names = meter.pod, _names(meter.pod)
    kind, owner = pod.owner
    more = {"host_ip": pod.host_ip, "pod_ip": pod.ip, "node": node, "created_by_kind": kind}
    yield "kube_pod_info", {**names, **more, "created_by_name": owner}, 1
    yield "kube_pod_owner", {**names, "owner_kind": kind, "owner_name": owner}, 1
    yield "kube_pod_labels", {**names, **_mapped("label_", pod.labels)}, 1
    yield "kube_pod_annotations", {**names, **_mapped("annotation_", pod.notes)}, 1
    for name, value in _times(meter):
        yield name, names, value
    for phase in PHASES:
        yield "kube_pod_status_phase", {**names, "phase": phase}, float(_phase(meter) == phase)
    for container in pod.containers:
        inside = {**names, "container": container.name}
        yield "kube_pod_container_info", {**inside, "image": container.image}, 1
        for kind, amounts in (("requests", container.requests), ("limits", container.limits)):
            for resource, amount in amounts:
                labels = {
                    **inside,
                    "node": node,
                    "resource": _mangled(resource),
                    "unit": UNITS.get(resource, "integer"),
                }
                yield f"kube_pod_container_resource_{kind}", labels, _number(amount)


def _phase(meter: Meter) -> str:
    """Return a pod's phase; one that was deleted while it ran has ended by now."""
    if meter.gone_at is None or meter.pod.ended:
        return meter.pod.phase
    return "Succeeded" if meter.usage and meter.usage.exit_code == 0 else "Failed"


def _times(meter: Meter) -> Iterator[tuple[str, float]]:
    """Yield when a pod was made, started and ended: the batch system's times where it told them."""
    pod, usage = meter.pod, meter.usage
    if (created := _epoch(pod.created)) is not None:
        yield "kube_pod_created", created
    started = usage.started if usage and usage.started is not None else _epoch(pod.started)
    if started is not None:
        yield "kube_pod_start_time", started
    if usage is not None and usage.ended is not None:
        yield "kube_pod_completion_time", usage.ended


def usage_samples(meters: Iterable[Meter]) -> Iterator[Sample]:
    """Yield cAdvisor's series; a job of several containers is measured as a whole."""
    for meter in meters:
        labels = {**_names(meter.pod), "container": _first(meter.pod)}
        labels["image"] = meter.pod.containers[0].image if meter.pod.containers else ""
        if meter.cpu_s is not None:
            yield "container_cpu_usage_seconds_total", labels, meter.cpu_s
        if (memory := _memory(meter)) is not None:
            yield "container_memory_working_set_bytes", labels, memory


def resource_samples(meters: Iterable[Meter]) -> Iterator[Sample]:
    """Yield what a kubelet tells at /metrics/resource, by which `kubectl top` lives."""
    cpu = memory = 0.0
    for meter in meters:
        pod = {"namespace": meter.pod.namespace, "pod": meter.pod.name}
        used, resident = meter.cpu_s, _memory(meter)
        if meter.gone_at is not None or meter.pod.ended or used is None or resident is None:
            continue
        cpu, memory = cpu + used, memory + resident
        inside = {"container": _first(meter.pod), **pod}
        yield "container_cpu_usage_seconds_total", inside, used
        yield "container_memory_working_set_bytes", inside, resident
        if (started := _epoch(meter.pod.started)) is not None:
            yield "container_start_time_seconds", inside, started
        yield "pod_cpu_usage_seconds_total", pod, used
        yield "pod_memory_working_set_bytes", pod, resident
    yield "node_cpu_usage_seconds_total", {}, cpu
    yield "node_memory_working_set_bytes", {}, memory
    yield "scrape_error", {}, 0.0


def summary(meters: Iterable[Meter], node: str) -> Json:
    """Return the answer to /stats/summary."""
    pods = [_pod_stats(meter) for meter in meters if meter.live and meter.gone_at is None]
    return {"node": {"nodeName": node, **_total(pods)}, "pods": pods}


def _pod_stats(meter: Meter) -> Json:
    pod = meter.pod
    at = _stamp(meter.live.get("at"))
    cpu = {
        "time": at,
        "usageNanoCores": round(1e9 * _plain(meter.live.get("cores"))),
        "usageCoreNanoSeconds": round(1e9 * _plain(meter.live.get("cpu_s"))),
    }
    memory = {"time": at, "workingSetBytes": round(_plain(meter.live.get("memory")))}
    ref = {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
    inside = {"name": _first(pod), "startTime": pod.started, "cpu": cpu, "memory": memory}
    stats = {"podRef": ref, "startTime": pod.started, "cpu": cpu, "memory": memory}
    return {**stats, "containers": [inside]}


def _total(pods: list[Json]) -> Json:
    now = _stamp(datetime.now(UTC).timestamp())
    cores = ("usageNanoCores", "usageCoreNanoSeconds")
    cpu = {key: sum(pod["cpu"][key] for pod in pods) for key in cores}
    memory = sum(pod["memory"]["workingSetBytes"] for pod in pods)
    return {"cpu": {"time": now, **cpu}, "memory": {"time": now, "workingSetBytes": memory}}


def _names(pod: Pod) -> dict[str, str]:
    return {"namespace": pod.namespace, "pod": pod.name, "uid": pod.uid}


def _first(pod: Pod) -> str:
    return pod.containers[0].name if pod.containers else ""


def _memory(meter: Meter) -> float | None:
    return _plain(meter.live["memory"]) if "memory" in meter.live else None


def _mapped(prefix: str, notes: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {prefix + _mangled(name): text for name, text in notes}


def _mangled(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def _number(amount: str) -> float:
    try:
        return float(parse_quantity(amount))
    except ValueError:
        return 0.0


def _plain(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _epoch(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def _stamp(at: object) -> str:
    moment = datetime.fromtimestamp(_plain(at), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
