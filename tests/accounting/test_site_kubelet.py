"""What pods on a virtual node use: in the pod, at /stats/summary, and as Prometheus reads it."""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from farlab_real.control_plane import Cluster, ControlPlane
from farlab_real.kubelet import PodsOn, RunningKubelet, pod_for
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import wait_until
from farlab_sites.usage import ANNOTATION, Usage

BURN = "python3 -c 'x = bytearray(b\"1\") * 50000000\nwhile True: pass'"
LIMITS = {"limits": {"cpu": "1500m", "memory": "256Mi"}}


@pytest.fixture(scope="module")
def kubelet(
    control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningKubelet]:
    """A kubelet in front of a site whose jobs are processes."""
    folder = tmp_path_factory.mktemp("usage")
    with RunningPlugin(folder / "site", {"local": {"cpus": 16}}) as site:
        backend = {"plugin": {"url": site.url}}
        name = f"vk-{secrets.token_hex(3)}"
        with RunningKubelet(folder / "kubelet", control_plane, name, backend) as running:
            yield running


@pytest.fixture
def pods(control_plane: Cluster, namespace: str) -> PodsOn:
    return PodsOn(control_plane, namespace)


def ask(kubelet: RunningKubelet, path: str) -> str:
    """Ask the kubelet with a certificate of the cluster's, as Prometheus does."""
    cluster = kubelet.cluster
    if not isinstance(cluster, ControlPlane):
        return cluster.kubectl("get", "--raw", f"/api/v1/nodes/{kubelet.node}/proxy{path}")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(cluster.ca.with_name("admin.crt"), cluster.ca.with_name("admin.key"))
    address = f"https://127.0.0.1{kubelet.port()}{path}"
    with urllib.request.urlopen(address, context=context, timeout=60) as answer:
        text: str = answer.read().decode()
    return text


def series(text: str, name: str, pod: str) -> dict[str, float]:
    """Return the samples of one name about one pod, by their labels."""
    found = (line.rpartition(" ") for line in text.splitlines() if line.startswith(name + "{"))
    return {labels: float(value) for labels, _, value in found if f'pod="{pod}"' in labels}


def stats_of(kubelet: RunningKubelet, name: str) -> dict[str, Any]:
    stats = json.loads(ask(kubelet, "/stats/summary"))
    found = [pod for pod in stats["pods"] if pod["podRef"]["name"] == name]
    return found[0] if found else {"cpu": {}, "memory": {}}


def test_an_ended_pod_says_what_it_used(kubelet: RunningKubelet, pods: PodsOn) -> None:
    pods.create(pod_for(kubelet.node, "done", "exit 3", resources=LIMITS))
    pod = pods.wait_for(
        "done", lambda pod: ANNOTATION in pod["metadata"]["annotations"], "says what it used"
    )
    usage = Usage.from_json(json.loads(pod["metadata"]["annotations"][ANNOTATION]))
    assert pod["status"]["phase"] == "Failed"
    assert (usage.exit_code, usage.final, usage.source) == (3, True, "runner")
    assert usage.started is not None
    assert usage.ended is not None
    assert usage.started <= usage.ended


def test_a_running_pod_is_measured_and_told_of_after_its_deletion(
    kubelet: RunningKubelet, pods: PodsOn
) -> None:
    burner = pod_for(
        kubelet.node, "busy", BURN, resources=LIMITS, annotations={"hub.jupyter.org/username": "a"}
    )
    pods.create(burner)
    pods.wait_for_phase("busy", "Running")

    def is_measured() -> bool:
        stats = stats_of(kubelet, "busy")
        used = stats["cpu"].get("usageCoreNanoSeconds", 0)
        return used > 1e8 and stats["memory"].get("workingSetBytes", 0) > 40_000_000

    wait_until(is_measured, "real figures at /stats/summary")
    assert stats_of(kubelet, "busy")["cpu"]["usageNanoCores"] > 0
    resource = ask(kubelet, "/metrics/resource")
    assert min(series(resource, "container_memory_working_set_bytes", "busy").values()) > 4e7
    text = ask(kubelet, "/metrics")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr  # 3: a matter of style
    [running] = [k for k, v in series(text, "kube_pod_status_phase", "busy").items() if v]
    assert 'phase="Running"' in running
    [noted] = series(text, "kube_pod_annotations", "busy")
    assert 'annotation_hub_jupyter_org_username="a"' in noted
    limits = series(text, "kube_pod_container_resource_limits", "busy")
    assert {value for labels, value in limits.items() if 'resource="cpu"' in labels} == {1.5}
    assert series(text, "container_cpu_usage_seconds_total", "busy")
    assert not series(text, "kube_pod_completion_time", "busy")
    pods.kubectl("delete", "pod", "busy")
    pods.wait_until_gone("busy")
    after = ask(kubelet, "/metrics")
    [ended] = series(after, "kube_pod_completion_time", "busy").values()
    [started] = series(after, "kube_pod_start_time", "busy").values()
    assert started < ended
    [last] = [k for k, v in series(after, "kube_pod_status_phase", "busy").items() if v]
    assert 'phase="Failed"' in last
    [used] = series(after, "container_cpu_usage_seconds_total", "busy").values()
    assert used > 0.1
