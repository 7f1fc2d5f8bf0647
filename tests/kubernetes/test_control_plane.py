"""The control plane that the other tests stand on does what a cluster's does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from farlab_real.control_plane import Cluster, ControlPlane, ExternalCluster, cluster
from farlab_real.processes import wait_until


def config_map(name: str, namespace: str) -> dict[str, object]:
    """Return an object that nothing acts upon."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"key": "value"},
    }


def test_it_is_the_version_that_production_runs(control_plane: Cluster) -> None:
    server = control_plane.kubectl("get", "--raw", "/version")
    assert '"gitVersion": "v1.' in server
    assert control_plane.url.startswith("https://")


def test_a_node_that_registers_gets_pods(control_plane: Cluster, namespace: str) -> None:
    name = f"{namespace}-node"
    control_plane.create(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"own": name}}},
    )
    try:
        status = {
            "capacity": {"cpu": "1", "memory": "1Gi", "pods": "10"},
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        ready = json.dumps({"status": status})
        control_plane.kubectl("patch", "node", name, "--subresource=status", "-p", ready)
        control_plane.create(pod("lucky", namespace, {"own": name}))

        def place() -> str:
            where = "jsonpath={.spec.nodeName}"
            return control_plane.kubectl("get", "pod", "lucky", "-n", namespace, "-o", where)

        wait_until(lambda: place() == name, "the pod bound to the node")
    finally:
        # No kubelet ends it.
        control_plane.kubectl(
            "delete", "pods", "--all", "-n", namespace, "--grace-period=0", "--force"
        )
        control_plane.kubectl("delete", "node", name)


def pod(name: str, namespace: str, selector: dict[str, str]) -> dict[str, object]:
    """Return a pod for nodes with a label."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeSelector": selector, "containers": [{"name": "main", "image": "none"}]},
    }


def test_a_pod_without_a_node_waits_and_says_why(control_plane: Cluster, namespace: str) -> None:
    control_plane.create(pod("homeless", namespace, {"farlab/none": "such"}))

    def reasons() -> str:
        return control_plane.kubectl("get", "events", "-n", namespace)

    wait_until(lambda: "FailedScheduling" in reasons(), "the scheduler's event", reasons)


def test_a_service_account_may_do_what_its_role_says(
    control_plane: Cluster, namespace: str
) -> None:
    control_plane.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    role = ["--verb=get,list", "--resource=configmaps", "-n", namespace]
    control_plane.kubectl("create", "role", "reader", *role)
    binding = ["--role=reader", f"--serviceaccount={namespace}:reader", "-n", namespace]
    control_plane.kubectl("create", "rolebinding", "reader", *binding)
    reader = control_plane.seen_by(control_plane.kubeconfig_for("reader", namespace))
    assert "kube-root-ca.crt" in reader.kubectl("get", "configmaps", "-n", namespace, "-o", "name")
    with pytest.raises(RuntimeError, match="forbidden"):
        reader.kubectl("get", "secrets", "-n", namespace)


def test_a_namespace_is_deleted_with_all_that_is_in_it(
    control_plane: Cluster, namespace: str
) -> None:
    with control_plane.namespace(f"{namespace}-gone") as gone:
        control_plane.create(config_map("one", gone))

    def present() -> str:
        return control_plane.kubectl("get", "namespace", gone, "--ignore-not-found")

    wait_until(lambda: not present(), "the namespace gone", present)


def test_the_api_server_comes_back_with_its_objects(control_plane: Cluster, namespace: str) -> None:
    if not isinstance(control_plane, ControlPlane):
        pytest.skip("the cluster of KUBECONFIG is not ours to stop")
    control_plane.create(config_map("kept", namespace))
    control_plane.stop_api()
    try:
        with pytest.raises(RuntimeError, match="refused"):
            control_plane.get("configmap", "kept", "-n", namespace)
    finally:
        control_plane.start_api()
    found = control_plane.get("configmap", "kept", "-n", namespace)
    assert found["data"] == {"key": "value"}


def test_a_given_cluster_is_used_instead(
    control_plane: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    with cluster(tmp_path) as given:
        assert isinstance(given, ExternalCluster)
        assert given.url == control_plane.url
        assert "default" in given.kubectl("get", "namespaces")


def test_nothing_is_left_when_the_test_run_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, signal\n"
        "from farlab_real.control_plane import ControlPlane\n"
        "with ControlPlane(pathlib.Path(sys.argv[1])):\n"
        "    print('up', flush=True)\n"
        "    signal.pause()\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "real")},
    )
    assert run.stdout is not None
    assert run.stdout.readline() == b"up\n"
    assert started_below(tmp_path)
    run.kill()
    run.communicate()
    wait_until(lambda: not started_below(tmp_path), "no process left")


def started_below(folder: Path) -> list[str]:
    """Return the processes whose command line names a path in `folder`."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = one.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"{folder}/".encode() in command:
            found.append(command.decode(errors="replace"))
    return found
