"""Servers in Kubernetes: a real hub, control plane, kubelet and plugin, and nothing left behind."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from farlab_real.control_plane import Cluster
from farlab_real.hub import RunningHub
from farlab_real.kernel import RemoteKernel
from farlab_real.kubelet import PodsOn, RunningKubelet, job_of
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import free_ports, wait_until
from farlab_real.user import HubUser
from farlab_sites.manifest import WORKLOAD
from farlab_spawner.progress import STAGES

LAB = {"profile": "vega--lab", "size": "1-cpu"}
HUGE = {"profile": "vega--lab", "size": "too-much"}
ORDINARY = {"profile": "cluster--lab"}

# A virtual node stands for an ordinary one: its taint is tolerated by a pod that asks for no node.
ORDINARY_NODE = """
c.FarlabSpawner.port = {port}

def onto_the_stand_in(spawner, pod):
    if spawner.choice.site.name == "cluster":
        key = "virtual-node.interlink/no-schedule"
        pod.spec.tolerations = [{{"key": key, "operator": "Exists"}}]
    return pod

c.FarlabSpawner.modify_pod_hook = onto_the_stand_in
"""


def sites(node: str) -> dict[str, Any]:
    """Return a virtual node, and the ordinary ones."""
    sizes = [
        {"title": "1 CPU", "cpu": 1, "memory": "512Mi"},
        {"title": "Too much", "cpu": 400, "memory": "1Gi"},
    ]
    lab = {
        "name": "lab",
        "title": "JupyterLab",
        "sizes": sizes,
        "images": [{"title": "Python 3", "image": sys.prefix}],
    }
    here = {"name": "vega", "title": "Vega HPC", "kind": "hpc", "walltime": "8:00:00"}
    cluster = {"name": "cluster", "title": "The cluster", "kind": "cloud", "runtime": "none"}
    return {
        "sites": [
            {**here, "carrier": {"kubernetes": {"node": node}}, "profiles": [lab]},
            {**cluster, "carrier": {"kubernetes": {}}, "profiles": [lab]},
        ]
    }


@dataclass
class Place:
    """A hub, and its namespace in Kubernetes."""

    hub: RunningHub
    pods: PodsOn
    plugin: RunningPlugin
    kubelet: RunningKubelet

    def user(self, name: str) -> HubUser:
        return self.hub.login(name)

    def pod(self, name: str) -> dict[str, Any]:
        """Return the only pod of a user."""
        select = f"hub.jupyter.org/username={name}"
        (found,) = self.pods.cluster.get("pods", "-n", self.pods.namespace, "-l", select)["items"]
        return dict(found)

    def left(self) -> list[str]:
        """Return what there is in Kubernetes, and the service's live workloads."""
        found = self.pods.kubectl("get", "pods,secrets", "-l", WORKLOAD, "-o", "name").split()
        return found + [workload["uid"] for workload in self.hub.workloads()]

    def wait_until_empty(self) -> None:
        wait_until(lambda: not self.left(), "nothing to be left", lambda: str(self.left()))


@pytest.fixture(scope="module")
def place(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("place")
    node = f"vk-{secrets.token_hex(3)}"
    (port,) = free_ports(1)
    with (
        control_plane.namespace(f"farlab-{secrets.token_hex(4)}") as namespace,
        RunningPlugin(folder / "plugin", {"local": {"cpus": 16}}) as plugin,
        RunningKubelet(
            folder / "kubelet", control_plane, node, {"plugin": {"url": plugin.url}}
        ) as kubelet,
        RunningHub(
            folder / "hub",
            sites(node),
            settings={"namespace": namespace},
            more=ORDINARY_NODE.format(port=port),
            env={"KUBECONFIG": str(control_plane.kubeconfig)},
        ) as hub,
    ):
        yield Place(hub, PodsOn(control_plane, namespace), plugin, kubelet)


def test_from_the_form_to_a_cell_and_back(place: Place) -> None:
    ada = place.user("ada")
    ada.spawn(LAB)
    events = list(ada.progress())
    stages = [event["farlab"]["stage"] for event in events if "farlab" in event]
    assert stages == sorted(stages, key=STAGES.index)
    assert events[-1]["ready"], events
    assert any(event.get("farlab", {}).get("job_id") for event in events)
    ada.wait_until_ready()
    with RemoteKernel(ada) as kernel:
        assert kernel.run("print(6 * 7)").strip() == "42"
    pod = place.pod("ada")
    (workload,) = place.hub.workloads()
    meta, container = pod["metadata"], pod["spec"]["containers"][0]
    assert meta["labels"][WORKLOAD] == meta["annotations"][WORKLOAD] == workload["uid"]
    assert job_of(pod) == workload["job_id"]
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "536870912"}
    sealed = {e["name"] for e in container["env"] if "valueFrom" in e}
    assert sealed == {"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "FARLAB_SECRET"}
    (secret,) = place.pods.cluster.get("secrets", "-n", place.pods.namespace, "-l", WORKLOAD)[
        "items"
    ]
    assert secret["metadata"]["ownerReferences"][0]["uid"] == meta["uid"]
    ada.stop()
    place.wait_until_empty()
    assert 'id="fl-ending"' not in ada.form()


def test_a_pod_deleted_by_hand_is_told_to_its_user(place: Place) -> None:
    bob = place.user("bob")
    bob.spawn(LAB)
    bob.wait_until_ready()
    name = place.pod("bob")["metadata"]["name"]
    place.pods.kubectl("delete", "pod", name)
    bob.wait_until_stopped()
    page = " ".join(re.sub(r"<[^>]+>", " ", bob.form()).split())
    assert f"Its pod {name} was deleted in Kubernetes" in page
    place.wait_until_empty()


def test_what_cannot_be_scheduled_says_why_and_can_be_cancelled(place: Place) -> None:
    eve = place.user("eve")
    eve.spawn(HUGE)
    for event in eve.progress():
        if "Insufficient cpu" in event.get("message", ""):
            break
    else:
        raise AssertionError("the progress did not say why")
    eve.stop()
    place.wait_until_empty()


def test_named_servers_are_pods_of_their_own(place: Place) -> None:
    kay = place.user("kay")
    kay.spawn(LAB)
    kay.spawn(LAB, "second")
    kay.wait_until_ready()
    kay.wait_until_ready("second")
    assert len({workload["uid"] for workload in place.hub.workloads()}) == 2
    kay.stop("second", remove=True)
    assert kay.model()["ready"]
    kay.stop()
    place.wait_until_empty()


def test_a_restarted_hub_finds_its_servers_again(place: Place) -> None:
    ivy = place.user("ivy")
    ivy.spawn(LAB)
    ivy.wait_until_ready()
    with RemoteKernel(ivy) as kernel:
        kernel.run("mark = 42")
    place.hub.kill()
    place.hub.restart()
    again = place.user("ivy")
    again.wait_until_ready()
    with RemoteKernel(again, kernel_id=kernel.id) as same:
        assert same.run("print(mark)").strip() == "42"
    again.stop()
    place.wait_until_empty()


def test_a_hub_restarted_while_a_server_starts_goes_on(place: Place) -> None:
    leo = place.user("leo")
    leo.spawn(HUGE)
    wait_until(lambda: bool(place.left()), "a pod that waits")
    place.hub.kill()
    place.hub.restart()
    again = place.user("leo")
    assert again.model()["pending"] == "spawn"
    again.stop()
    place.wait_until_empty()


def test_on_ordinary_nodes_it_is_a_plain_pod(place: Place) -> None:
    joe = place.user("joe")
    joe.spawn(ORDINARY)
    joe.wait_until_ready()
    with RemoteKernel(joe) as kernel:
        assert kernel.run("print(6 * 7)").strip() == "42"
    pod = place.pod("joe")
    assert pod["spec"]["containers"][0]["args"][0] == "jupyterhub-singleuser"
    assert "nodeSelector" not in pod["spec"]
    (workload,) = place.hub.workloads()
    assert (workload["state"], workload["address"]) == ("ready", "")
    joe.stop()
    place.wait_until_empty()


def test_what_kubernetes_refuses_is_told_at_once(place: Place) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
             "spec": {"hard": {"pods": "0"}}}  # fmt: skip
    place.pods.create(quota)
    wait_until(lambda: not may_create(place.pods), "the quota to count")
    try:
        sam = place.user("sam")
        page = sam.spawn(LAB).text
        events = "" if "exceeded quota" in page else str([*sam.progress()])
        assert "exceeded quota" in page + events
    finally:
        place.pods.kubectl("delete", "resourcequota", "none")
    place.wait_until_empty()


def may_create(pods: PodsOn) -> bool:
    """Tell whether the API server would take one more pod."""
    probe = ["run", "probe", "--image=x", "--dry-run=server", "--restart=Never", "-o", "name"]
    return bool(pods.kubectl(*probe, check=False))
