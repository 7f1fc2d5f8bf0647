"""Parts killed, away, slow or talking rubbish; and that both sides agree afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farlab_real.control_plane import Cluster, ControlPlane
from farlab_real.kubelet import (
    PodsOn,
    RunningKubelet,
    job_of,
    known_to,
    on_node,
    phase_of,
    pod_for,
)
from farlab_real.kubelet_lines import FaultyLine
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import wait_until


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlugin]:
    with RunningPlugin(tmp_path_factory.mktemp("site"), {"local": {"cpus": 64}}) as plugin:
        yield plugin


@pytest.fixture
def line(site: RunningPlugin) -> Iterator[FaultyLine]:
    with FaultyLine(site.url) as between:
        yield between


@pytest.fixture
def kubelet(control_plane: Cluster, line: FaultyLine, tmp_path: Path) -> Iterator[RunningKubelet]:
    """A kubelet that reaches the plugin through the faulty line."""
    name = f"vk-{secrets.token_hex(3)}"
    backend = {"plugin": {"url": line.url}}
    with RunningKubelet(tmp_path / "kubelet", control_plane, name, backend) as running:
        yield running


@pytest.fixture
def pods(control_plane: Cluster, namespace: str) -> PodsOn:
    return PodsOn(control_plane, namespace)


def assert_both_sides_agree(kubelet: RunningKubelet, site: RunningPlugin) -> None:
    """Wait until each pod that is not over has its job, and each job its pod."""
    sides: dict[str, Any] = {}

    def agree() -> bool:
        bound = on_node(kubelet.cluster, kubelet.node)
        sides["pods"] = {
            uid: job_of(pod)
            for uid, pod in bound.items()
            if phase_of(pod) not in ("Succeeded", "Failed")
        }
        sides["jobs"] = known_to(site)
        over = bound.keys() - sides["pods"].keys()
        jobs = {uid: job for uid, job in sides["jobs"].items() if uid not in over}
        return bool(jobs == sides["pods"])

    wait_until(agree, "pods and jobs side by side", lambda: str(sides))


def test_killed_while_a_pod_is_created(
    kubelet: RunningKubelet, site: RunningPlugin, line: FaultyLine, pods: PodsOn
) -> None:
    line.hold = "/create"
    pods.create(pod_for(kubelet.node, "cut", "exec sleep 600"))
    wait_until(lambda: line.held, "the plugin's answer")
    kubelet.kill()
    [job] = known_to(site).values()
    assert job
    assert not job_of(pods.get("cut"))
    line.release()
    kubelet.start()
    assert job_of(pods.wait_for_phase("cut", "Running")) == job
    assert list(known_to(site).values()) == [job]
    pods.kubectl("delete", "pod", "cut")
    assert_both_sides_agree(kubelet, site)


def test_killed_while_creating_and_the_pod_deleted_meanwhile(
    kubelet: RunningKubelet, site: RunningPlugin, line: FaultyLine, pods: PodsOn
) -> None:
    line.hold = "/create"
    pods.create(pod_for(kubelet.node, "cut", "exec sleep 600"))
    wait_until(lambda: line.held, "the plugin's answer")
    kubelet.kill()
    pods.kubectl("delete", "pod", "cut", "--grace-period=0", "--force", "--wait=false")
    assert len(known_to(site)) == 1
    line.release()
    kubelet.start()
    pods.wait_until_gone("cut")
    assert known_to(site) == {}


def test_killed_while_a_pod_is_deleted(
    kubelet: RunningKubelet, site: RunningPlugin, line: FaultyLine, pods: PodsOn
) -> None:
    pods.create(pod_for(kubelet.node, "end", "exec sleep 600"))
    pods.wait_for_phase("end", "Running")
    line.hold = "/delete"
    pods.kubectl("delete", "pod", "end", "--wait=false")
    wait_until(lambda: line.held, "the plugin's answer")
    kubelet.kill()
    assert pods.get("end")
    line.release()
    kubelet.start()
    pods.wait_until_gone("end")
    assert_both_sides_agree(kubelet, site)


def test_the_plugin_away(
    kubelet: RunningKubelet, site: RunningPlugin, pods: PodsOn, control_plane: Cluster
) -> None:
    pods.create(pod_for(kubelet.node, "before", "exec sleep 600"))
    job = job_of(pods.wait_for_phase("before", "Running"))
    site.stop()
    try:
        wait_until(lambda: not kubelet.is_ready(), "a node that is not ready")
        # Bound by hand: the scheduler gives nothing to a node that is not ready.
        spec = {"nodeName": kubelet.node}
        pods.create(pod_for(kubelet.node, "during", "exec sleep 600", spec=spec))
        pods.wait_for_event("during", "SiteUnreachable")
        assert phase_of(pods.get("during")) == "Pending"
        assert phase_of(pods.get("before")) == "Running"
        pods.kubectl("delete", "pod", "before", "--wait=false")
        pods.wait_for_event("before", "FailedDelete")
    finally:
        site.restart()
    pods.wait_for_phase("during", "Running")
    pods.wait_until_gone("before")
    assert job not in known_to(site).values()
    wait_until(kubelet.is_ready, "a node that is ready again")
    pods.kubectl("delete", "pod", "during")
    assert_both_sides_agree(kubelet, site)


@pytest.mark.parametrize(
    "rubbish",
    [(200, "<html>502 Bad Gateway</html>"), (200, "[1]")],
)
def test_the_plugin_talks_rubbish(
    kubelet: RunningKubelet,
    site: RunningPlugin,
    line: FaultyLine,
    pods: PodsOn,
    rubbish: tuple[int, str],
) -> None:
    pods.create(pod_for(kubelet.node, "calm", "sleep 600"))
    pods.wait_for_phase("calm", "Running")
    line.rubbish = rubbish
    asked = len(line.calls)
    wait_until(lambda: len(line.calls) > asked + 5, "further questions")
    assert phase_of(pods.get("calm")) == "Running"
    assert kubelet.process.running
    line.rubbish = None
    pods.create(pod_for(kubelet.node, "next", "true"))
    pods.wait_for_phase("next", "Succeeded")
    pods.kubectl("delete", "pod", "calm", "next")
    assert_both_sides_agree(kubelet, site)


def test_a_slow_plugin_holds_up_nothing_else(
    kubelet: RunningKubelet, site: RunningPlugin, line: FaultyLine, pods: PodsOn
) -> None:
    pods.create(pod_for(kubelet.node, "first", "exec sleep 600"))
    pods.wait_for_phase("first", "Running")
    line.hold = "/status"
    wait_until(lambda: line.held, "a question that is not answered")
    pods.create(pod_for(kubelet.node, "second", "exec sleep 600"))
    pods.wait_for("second", lambda pod: bool(job_of(pod)), "a job")
    pods.kubectl("delete", "pod", "first")
    pods.wait_until_gone("first")
    line.release()
    pods.wait_for_phase("second", "Running")
    pods.kubectl("delete", "pod", "second")
    assert_both_sides_agree(kubelet, site)


def test_a_job_that_the_site_forgets_fails_its_pod(
    kubelet: RunningKubelet, site: RunningPlugin, line: FaultyLine, pods: PodsOn
) -> None:
    pods.create(pod_for(kubelet.node, "lost", "exec sleep 600"))
    pods.wait_for_phase("lost", "Running")
    line.rubbish = (200, "[]")
    pod = pods.wait_for_phase("lost", "Failed")
    assert pod["status"]["reason"] == "JobLost"
    pods.wait_for_event("lost", "JobLost")
    line.rubbish = None
    pods.kubectl("delete", "pod", "lost")
    assert_both_sides_agree(kubelet, site)


def test_the_api_server_away_for_a_while(
    own_control_plane: ControlPlane, site: RunningPlugin, tmp_path: Path
) -> None:
    backend = {"plugin": {"url": site.url}}
    with (
        own_control_plane.namespace("away") as namespace,
        RunningKubelet(tmp_path / "k", own_control_plane, "vk-away", backend) as kubelet,
    ):
        pods = PodsOn(own_control_plane, namespace)
        go = tmp_path / "go"
        script = f"while [ ! -e {go} ]; do sleep 0.2; done"
        pods.create(pod_for("vk-away", "ends", script))
        pods.create(pod_for("vk-away", "stays", "exec sleep 600"))
        pods.wait_for_phase("ends", "Running")
        job = job_of(pods.wait_for_phase("stays", "Running"))
        own_control_plane.stop_api()
        go.touch()
        missed = "could not be renewed"
        wait_until(lambda: missed in kubelet.process.read_log(), "a kubelet that misses it")
        own_control_plane.start_api()
        pods.wait_for_phase("ends", "Succeeded")
        assert job_of(pods.wait_for_phase("stays", "Running")) == job
        pods.create(pod_for("vk-away", "new", "true"))
        pods.wait_for_phase("new", "Succeeded")
        pods.kubectl("delete", "pod", "--all")
        assert_both_sides_agree(kubelet, site)


@pytest.fixture
def own_control_plane(control_plane: Cluster) -> ControlPlane:
    """The tests' own control plane: nobody stops a user's."""
    if not isinstance(control_plane, ControlPlane):
        pytest.skip("a user's own cluster is not stopped")
    return control_plane


def test_a_drained_node_leaves_nothing(
    kubelet: RunningKubelet, site: RunningPlugin, pods: PodsOn, control_plane: Cluster
) -> None:
    for name in ("one", "two"):
        pods.create(pod_for(kubelet.node, name, "exec sleep 600"))
    for name in ("one", "two"):
        pods.wait_for_phase(name, "Running")
    kubelet.stop()
    kubelet.drain()
    assert known_to(site) == {}
    assert on_node(control_plane, kubelet.node) == {}
    left = control_plane.kubectl("get", "node", kubelet.node, "--ignore-not-found")
    assert left == ""
