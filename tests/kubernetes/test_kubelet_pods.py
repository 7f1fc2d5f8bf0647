"""Pods on a virtual node: a real control plane, the real kubelet, the real plugin."""

from __future__ import annotations

import base64
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from farlab_real.control_plane import Cluster
from farlab_real.kubelet import (
    TAINT,
    PodsOn,
    RunningKubelet,
    job_of,
    known_to,
    phase_of,
    pod_for,
)
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import wait_until

Json = dict[str, Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlugin]:
    """A site whose jobs are processes on this machine."""
    driver = {"local": {"cpus": 64, "gpus": 4}}
    with RunningPlugin(tmp_path_factory.mktemp("site"), driver) as plugin:
        yield plugin


@pytest.fixture(scope="module")
def kubelet(
    control_plane: Cluster, site: RunningPlugin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningKubelet]:
    name = f"vk-{secrets.token_hex(3)}"
    backend = {"plugin": {"url": site.url}}
    folder = tmp_path_factory.mktemp("kubelet")
    with RunningKubelet(folder, control_plane, name, backend, labels={"site": "here"}) as running:
        yield running


@pytest.fixture
def pods(control_plane: Cluster, namespace: str) -> PodsOn:
    return PodsOn(control_plane, namespace)


def test_the_node_is_as_the_site_says(control_plane: Cluster, kubelet: RunningKubelet) -> None:
    node = control_plane.get("node", kubelet.node)
    labels = node["metadata"]["labels"]
    assert labels["kubernetes.io/os"] == "virtual-kubelet"
    assert labels["virtual-node.interlink/type"] == "virtual-kubelet"
    assert labels["site"] == "here"
    assert {"key": TAINT, "value": "true", "effect": "NoSchedule"} in node["spec"]["taints"]
    assert node["status"]["capacity"]["cpu"] == "64"
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "4"
    conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    assert conditions["Ready"] == conditions["InterlinkConnectivity"] == "True"
    lease = control_plane.get("lease", "-n", "kube-node-lease", kubelet.node)
    assert lease["spec"]["holderIdentity"] == kubelet.node


def test_a_pod_runs_to_its_end(kubelet: RunningKubelet, pods: PodsOn) -> None:
    pods.create(pod_for(kubelet.node, "hello", "echo out; echo err >&2"))
    pod = pods.wait_for_phase("hello", "Succeeded")
    assert job_of(pod)
    [status] = pod["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 0
    assert pods.kubectl("logs", "hello").splitlines() == ["out", "err"]
    assert job_of(pod) in pods.wait_for_event("hello", "Submitted")


def test_a_pod_that_fails(kubelet: RunningKubelet, pods: PodsOn) -> None:
    pods.create(pod_for(kubelet.node, "three", "exit 3"))
    pod = pods.wait_for_phase("three", "Failed")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_a_running_pod_is_ready_and_deleting_it_ends_its_job(
    kubelet: RunningKubelet, site: RunningPlugin, pods: PodsOn
) -> None:
    note = {"interlink.eu/pod-ip": "127.0.77.7"}
    pods.create(pod_for(kubelet.node, "long", "echo begun; exec sleep 600", annotations=note))
    pod = pods.wait_for_phase("long", "Running")
    assert pod["status"]["podIP"] == "127.0.77.7"
    assert pod["status"]["podIPs"] == [{"ip": "127.0.77.7"}]
    assert ("Ready", "True") in {(c["type"], c["status"]) for c in pod["status"]["conditions"]}
    assert pod["metadata"]["uid"] in known_to(site)
    pods.kubectl("delete", "pod", "long")
    pods.wait_until_gone("long")
    assert pod["metadata"]["uid"] not in known_to(site)


def test_a_forced_deletion_ends_the_job_too(
    kubelet: RunningKubelet, site: RunningPlugin, pods: PodsOn
) -> None:
    pods.create(pod_for(kubelet.node, "forced", "exec sleep 600"))
    uid = pods.wait_for_phase("forced", "Running")["metadata"]["uid"]
    pods.kubectl("delete", "pod", "forced", "--grace-period=0", "--force", "--wait=false")
    pods.wait_until_gone("forced")
    assert uid not in known_to(site)


def test_a_pod_that_vanishes_leaves_no_job(
    kubelet: RunningKubelet, site: RunningPlugin, pods: PodsOn
) -> None:
    pods.create(pod_for(kubelet.node, "torn", "exec sleep 600"))
    uid = pods.wait_for_phase("torn", "Running")["metadata"]["uid"]
    # Both at once, as whoever wants to get rid of a pod by all means does.
    pods.kubectl("delete", "pod", "torn", "--grace-period=0", "--force", "--wait=false")
    pods.kubectl(
        "patch", "pod", "torn", "--type=merge", "-p", '{"metadata":{"finalizers":null}}',
        check=False,
    )  # fmt: skip
    wait_until(lambda: uid not in known_to(site), "the end of the job")
    pods.wait_until_gone("torn")


SCRIPT = "for i in 1 2 3 4 5; do echo line $i; done; exec sleep 600"


def test_logs_of_every_kind(kubelet: RunningKubelet, pods: PodsOn) -> None:
    pods.create(pod_for(kubelet.node, "talks", SCRIPT))
    pods.wait_for_phase("talks", "Running")
    wait_until(lambda: "line 5" in pods.kubectl("logs", "talks"), "the output")
    assert pods.kubectl("logs", "talks", "--tail=2").splitlines() == ["line 4", "line 5"]
    assert pods.kubectl("logs", "talks", "--tail=0") == ""
    assert pods.kubectl("logs", "talks", "--limit-bytes=6") == "line 1"
    assert len(pods.kubectl("logs", "talks", "--since=10m").splitlines()) == 5
    [first, *_] = pods.kubectl("logs", "talks", "--timestamps").splitlines()
    assert first.startswith("20")
    assert first.endswith("Z line 1")
    with pytest.raises(RuntimeError, match="other"):
        pods.kubectl("logs", "talks", "-c", "other")


def test_a_followed_log_ends_with_the_pod(kubelet: RunningKubelet, pods: PodsOn) -> None:
    pods.create(pod_for(kubelet.node, "followed", "echo first; sleep 4; echo last"))
    pods.wait_for_phase("followed", "Running")
    assert pods.kubectl("logs", "-f", "followed").splitlines() == ["first", "last"]
    pods.wait_for_phase("followed", "Succeeded")


def test_exec_says_that_it_is_not_possible(
    kubelet: RunningKubelet, pods: PodsOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Over a WebSocket kubectl drops every error's text.
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
    pods.create(pod_for(kubelet.node, "closed", "exec sleep 600"))
    pods.wait_for_phase("closed", "Running")
    with pytest.raises(RuntimeError, match="not possible on a virtual node"):
        pods.kubectl("exec", "closed", "--", "true")


def test_nobody_else_reads_logs(control_plane: Cluster, kubelet: RunningKubelet) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    base = f"https://127.0.0.1{kubelet.port()}"
    with urllib.request.urlopen(f"{base}/healthz", context=context, timeout=60) as answer:
        assert answer.read() == b"ok"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{base}/containerLogs/ns/pod/main", context=context, timeout=60)
    assert refused.value.code == 401


def secret(name: str, **values: str) -> Json:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def test_a_pod_waits_for_its_secret_and_says_so(kubelet: RunningKubelet, pods: PodsOn) -> None:
    env = [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "later", "key": "k"}}}]
    pods.create(pod_for(kubelet.node, "waits", 'echo "$K"', env=env))
    message = pods.wait_for_event("waits", "CreateContainerConfigError")
    assert 'secret "later" not found' in message
    pod = pods.wait_for(
        "waits", lambda pod: pod["status"].get("reason") == "CreateContainerConfigError", "why"
    )
    assert phase_of(pod) == "Pending"
    assert 'secret "later" not found' in pod["status"]["message"]
    with pytest.raises(RuntimeError, match="waiting to start"):
        pods.kubectl("logs", "waits")
    pods.create(secret("later", k="pa$$word $(K) 'x'"))
    pods.wait_for_phase("waits", "Succeeded")
    assert pods.kubectl("logs", "waits") == "pa$$word $(K) 'x'\n"


def test_a_pod_that_waits_can_be_deleted(kubelet: RunningKubelet, pods: PodsOn) -> None:
    pods.create(pod_for(kubelet.node, "never", envFrom=[{"secretRef": {"name": "absent"}}]))
    pods.wait_for_event("never", "CreateContainerConfigError")
    pods.kubectl("delete", "pod", "never")
    pods.wait_until_gone("never")


def test_the_token_of_the_service_account_is_real(
    kubelet: RunningKubelet, pods: PodsOn, namespace: str
) -> None:
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = f"cat {folder}/namespace; echo; cat {folder}/ca.crt | head -1; cat {folder}/token"
    pods.create(pod_for(kubelet.node, "token", script))
    pods.wait_for_phase("token", "Succeeded")
    where, begin, token = pods.kubectl("logs", "token").splitlines()
    assert where == namespace
    assert begin == "-----BEGIN CERTIFICATE-----"
    assert token.count(".") == 2


def test_a_volume_that_cannot_travel_is_refused(kubelet: RunningKubelet, pods: PodsOn) -> None:
    volume = {"name": "home", "hostPath": {"path": "/home"}}
    pods.create(pod_for(kubelet.node, "carry", spec={"volumes": [volume]}))
    pod = pods.wait_for_phase("carry", "Failed")
    assert pod["status"]["reason"] == "UnsupportedVolume"
    assert "volume home is a hostPath" in pod["status"]["message"]
    assert "hostPath" in pods.wait_for_event("carry", "UnsupportedVolume")


def test_without_the_toleration_a_pod_is_refused(kubelet: RunningKubelet, pods: PodsOn) -> None:
    spec = {"tolerations": [], "nodeName": kubelet.node}
    pods.create(pod_for(kubelet.node, "bare", spec=spec))
    pod = pods.wait_for_phase("bare", "Failed")
    assert pod["status"]["reason"] == "UntoleratedTaint"


def test_a_refusal_comes_in_the_sites_words(kubelet: RunningKubelet, pods: PodsOn) -> None:
    pods.create(pod_for(kubelet.node, "wrong", image="python:3"))
    pod = pods.wait_for_phase("wrong", "Failed")
    assert pod["status"]["reason"] == "FailedSubmission"
    assert "this site runs no images" in pod["status"]["message"]
    assert "this site runs no images" in pods.wait_for_event("wrong", "FailedSubmission")
    pods.kubectl("delete", "pod", "wrong")
    pods.wait_until_gone("wrong")


def test_a_restart_neither_forgets_nor_repeats(
    kubelet: RunningKubelet, site: RunningPlugin, pods: PodsOn
) -> None:
    pods.create(pod_for(kubelet.node, "kept", "echo $$; exec sleep 600"))
    job = job_of(pods.wait_for_phase("kept", "Running"))
    kubelet.stop()
    # While the kubelet is away nothing ends the pod, and nobody starts it again.
    pods.kubectl("delete", "pod", "kept", "--wait=false")
    assert job in known_to(site).values()
    pods.create(pod_for(kubelet.node, "other", "exec sleep 600"))
    kubelet.start()
    pods.wait_until_gone("kept")
    pods.wait_for_phase("other", "Running")
    assert job not in known_to(site).values()


def test_init_containers_and_several_containers(kubelet: RunningKubelet, pods: PodsOn) -> None:
    image = pod_for("", "")["spec"]["containers"][0]["image"]
    init = {"name": "first", "image": image, "command": ["/bin/sh", "-c", "echo one"]}
    pod = pod_for(kubelet.node, "many", "exec sleep 600", spec={"initContainers": [init]})
    side = {"name": "side", "image": image, "command": ["/bin/sh", "-c", "echo two"]}
    pod["spec"]["containers"].append(side)
    pods.create(pod)
    found = pods.wait_for(
        "many",
        lambda pod: any(
            "terminated" in status["state"]
            for status in pod["status"].get("containerStatuses") or ()
        ),
        "the end of one of two",
    )
    assert phase_of(found) == "Running"
    assert pods.kubectl("logs", "many", "-c", "first") == "one\n"
    assert pods.kubectl("logs", "many", "-c", "side") == "two\n"
