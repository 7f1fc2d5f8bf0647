"""The carrier `kubernetes` on a real control plane, with a real kubelet and plugin behind it."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from farlab_real.control_plane import Cluster, ControlPlane
from farlab_real.kubelet import TAINT, PodsOn, RunningKubelet
from farlab_real.plugin import RunningPlugin
from farlab_sites.carriers import CarrierRejected, CarrierUnreachable, PodStatus
from farlab_sites.carriers import cluster as clusters
from farlab_sites.carriers.kubernetes import KubernetesCarrier
from farlab_sites.manifest import TOLERATIONS, WORKLOAD

PATIENCE = 60.0  # seconds; for slow machines
SITE = "vega"


@pytest.fixture(scope="module")
def node(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A virtual node with a plugin that starts processes."""
    folder: Path = tmp_path_factory.mktemp("site")
    name = f"vk-{secrets.token_hex(3)}"
    with RunningPlugin(folder / "plugin", {"local": {"cpus": 16}}) as plugin:
        backend = {"plugin": {"url": plugin.url}}
        with RunningKubelet(folder / "kubelet", control_plane, name, backend):
            yield name


@pytest.fixture
async def carrier(
    control_plane: Cluster, namespace: str, node: str
) -> AsyncIterator[KubernetesCarrier]:
    cluster = clusters.Cluster(namespace, control_plane.kubeconfig)
    async with KubernetesCarrier(cluster, SITE, node) as carrier:
        yield carrier


@pytest.fixture
def pods(control_plane: Cluster, namespace: str) -> PodsOn:
    return PodsOn(control_plane, namespace)


def workload(node: str, script: str, *, name: str = "", **spec: Any) -> dict[str, Any]:
    """Return the pod of a workload, as the hub service makes it."""
    uid = str(uuid.uuid4())
    ref = {"name": f"{uid}-env", "key": "WORD"}
    container = {
        "name": "main",
        "image": sys.prefix,
        "command": ["/bin/sh", "-c", script],
        "env": [{"name": "WORD", "valueFrom": {"secretKeyRef": ref}}],
        "resources": {"limits": {"cpu": "1", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name or f"job-{uid}", "namespace": "farlab", "uid": uid},
        "spec": {
            "containers": [container],
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [*TOLERATIONS],
            "restartPolicy": "Never",
            **spec,
        },
    }


def secret_of(pod: dict[str, Any]) -> dict[str, Any]:
    name = f"{pod['metadata']['uid']}-env"
    meta = {"name": name, "namespace": "farlab"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"WORD": "aGVsbG8="}}


async def until(
    carrier: KubernetesCarrier, pod: dict[str, Any], check: Callable[[PodStatus], bool]
) -> PodStatus:
    """Wait until a pod's state is as wished."""
    status: PodStatus | None = None
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                status = (await carrier.status([pod])).get(pod["metadata"]["uid"])
                if status is not None and check(status):
                    return status
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"last seen: {status}") from None


async def until_gone(carrier: KubernetesCarrier, pods: PodsOn, pod: dict[str, Any]) -> None:
    """Wait until nothing is left in Kubernetes."""
    await asyncio.to_thread(pods.wait_until_gone, pod["metadata"]["name"])
    select = f"{WORKLOAD}={pod['metadata']['uid']}"
    left = pods.cluster.get("secrets", "-n", pods.namespace, "-l", select)
    assert left["items"] == []


async def test_one_pods_whole_life(carrier: KubernetesCarrier, pods: PodsOn, node: str) -> None:
    pod = workload(node, "echo $WORD $$; exit 3")
    await carrier.create(pod, [secret_of(pod)])
    await carrier.create(pod, [secret_of(pod)])  # starts nothing new
    ended = await until(carrier, pod, lambda status: status.phase == "Failed")
    assert (ended.exit_code, ended.node, ended.uid) == (3, None, pod["metadata"]["uid"])
    assert ended.job_id
    assert (await carrier.logs(pod, container="main")).startswith("hello ")
    assert await carrier.logs(pod, container="main", tail=1)
    listed = pods.cluster.get("pods", "-n", pods.namespace)["items"]
    assert [one["metadata"]["labels"][WORKLOAD] for one in listed] == [pod["metadata"]["uid"]]
    secret = pods.cluster.get("secret", "-n", pods.namespace, f"{pod['metadata']['uid']}-env")
    owner = secret["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("Pod", listed[0]["metadata"]["uid"])
    await carrier.delete(pod)
    await until_gone(carrier, pods, pod)
    await carrier.delete(pod)  # again is no error


async def test_a_log_is_followed_to_its_end(
    carrier: KubernetesCarrier, pods: PodsOn, node: str
) -> None:
    pod = workload(node, "for i in 1 2 3; do echo line $i; sleep 0.3; done")
    await carrier.create(pod, [secret_of(pod)])
    await until(carrier, pod, lambda status: status.phase != "Waiting")
    text = b"".join([part async for part in carrier.follow(pod, container="main")])
    assert text.decode().splitlines() == ["line 1", "line 2", "line 3"]
    await carrier.delete(pod)


async def test_a_pod_deleted_by_hand_is_said_to_be(
    carrier: KubernetesCarrier, pods: PodsOn, node: str
) -> None:
    pod = workload(node, "exec sleep 600")
    await carrier.create(pod, [secret_of(pod)])
    running = await until(carrier, pod, lambda status: status.phase == "Running")
    assert running.started_at
    await asyncio.to_thread(pods.kubectl, "delete", "pod", pod["metadata"]["name"])
    ended = await until(carrier, pod, lambda status: status.phase == "Failed")
    assert ended.reason == "Deleted"
    assert "not by this hub" in ended.message
    await carrier.delete(pod)
    await until_gone(carrier, pods, pod)


async def test_what_cannot_be_scheduled_says_why(
    carrier: KubernetesCarrier, pods: PodsOn, node: str
) -> None:
    pod = workload(node, "true")
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    limits["nvidia.com/gpu"] = "99"
    await carrier.create(pod, [secret_of(pod)])
    waiting = await until(carrier, pod, lambda status: bool(status.message))
    assert (waiting.phase, waiting.reason) == ("Waiting", "FailedScheduling")
    assert "Insufficient nvidia.com/gpu" in waiting.message
    assert await carrier.logs(pod, container="main") == ""
    await carrier.delete(pod)
    await until_gone(carrier, pods, pod)


async def test_another_pod_of_that_name_is_not_taken_for_ours(
    carrier: KubernetesCarrier, pods: PodsOn, node: str
) -> None:
    pods.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "taken"},
                 "spec": {"containers": [{"name": "main", "image": "x"}]}})  # fmt: skip
    pod = workload(node, "true", name="taken")
    with pytest.raises(CarrierRejected, match="another pod in Kubernetes is named taken"):
        await carrier.create(pod, [secret_of(pod)])
    await carrier.delete(pod)
    assert pods.get("taken")
    with pytest.raises(CarrierRejected, match="gone"):
        await carrier.logs(pod, container="main")


async def test_what_kubernetes_refuses_is_in_its_own_words(
    carrier: KubernetesCarrier, pods: PodsOn, node: str
) -> None:
    pod = workload(node, "true", name="No Name")
    with pytest.raises(CarrierRejected, match="Invalid value"):
        await carrier.create(pod)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"},
             "spec": {"hard": {"pods": "0"}}}  # fmt: skip
    pods.create(quota)
    assert "exceeded quota" in await refusal(carrier, node)


async def refusal(carrier: KubernetesCarrier, node: str) -> str:
    """Return what the API server says once it knows of a quota."""
    async with asyncio.timeout(PATIENCE):
        while True:
            pod = workload(node, "true")
            try:
                await carrier.create(pod, [secret_of(pod)])
            except CarrierRejected as error:
                return str(error)
            finally:
                await carrier.delete(pod)


async def test_without_the_right_it_says_which_is_missing(
    control_plane: Cluster, namespace: str, node: str
) -> None:
    kubeconfig = await asyncio.to_thread(control_plane.kubeconfig_for, "default", namespace)
    async with KubernetesCarrier(clusters.Cluster(namespace, kubeconfig), SITE, node) as carrier:
        pod = workload(node, "true")
        with pytest.raises(CarrierRejected, match=r"cannot create resource .*docs/kubernetes.md"):
            await carrier.create(pod, [secret_of(pod)])
        with pytest.raises(CarrierUnreachable, match="cannot list resource"):
            await carrier.status([pod])
        assert await carrier.ping() == {}


async def test_a_site_tells_what_its_plugin_says(carrier: KubernetesCarrier) -> None:
    facts = await carrier.ping()
    assert facts["status"] == "ok"
    assert facts["resources"]["cpu"]


async def test_a_node_that_is_not_there(control_plane: Cluster, namespace: str) -> None:
    cluster = clusters.Cluster(namespace, control_plane.kubeconfig)
    async with KubernetesCarrier(cluster, SITE, "no-such") as carrier:
        with pytest.raises(CarrierUnreachable, match="has no node no-such"):
            await carrier.ping()


async def test_ordinary_nodes_are_summed_up(control_plane: Cluster, namespace: str) -> None:
    cluster = clusters.Cluster(namespace, control_plane.kubeconfig)
    async with KubernetesCarrier(cluster, SITE) as carrier:
        facts = await carrier.ping()
    assert facts["status"] == "ok"
    assert TAINT not in json.dumps(facts)


async def test_no_cluster_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    async with KubernetesCarrier(clusters.Cluster("farlab"), SITE, "vk") as carrier:
        with pytest.raises(CarrierUnreachable, match="set KUBECONFIG"):
            await carrier.status([workload("vk", "true")])


async def test_the_api_away_and_back(
    carrier: KubernetesCarrier, pods: PodsOn, control_plane: Cluster, node: str
) -> None:
    if not isinstance(control_plane, ControlPlane):
        return  # somebody's cluster is not ours to stop
    kept, deleted = workload(node, "exec sleep 600"), workload(node, "exec sleep 600")
    for pod in (kept, deleted):
        await carrier.create(pod, [secret_of(pod)])
        await until(carrier, pod, lambda status: status.phase == "Running")
    await asyncio.to_thread(control_plane.stop_api)
    try:
        async with asyncio.timeout(PATIENCE):
            while not await away(carrier, kept):
                await asyncio.sleep(0.1)
        with pytest.raises(CarrierUnreachable, match="does not answer"):
            await carrier.delete(deleted)
    finally:
        await asyncio.to_thread(control_plane.start_api)
    # What happens before it watches again is not missed.
    await asyncio.to_thread(pods.kubectl, "delete", "pod", deleted["metadata"]["name"])
    async with asyncio.timeout(PATIENCE):
        while await away(carrier, kept):
            await asyncio.sleep(0.1)
    await until(carrier, deleted, lambda status: status.reason == "Deleted")
    await until(carrier, kept, lambda status: status.phase == "Running")
    for pod in (kept, deleted):
        await carrier.delete(pod)
        await until_gone(carrier, pods, pod)


async def away(carrier: KubernetesCarrier, pod: dict[str, Any]) -> bool:
    try:
        await carrier.status([pod])
    except CarrierUnreachable:
        return True
    return False
