"""A virtual kubelet, run as its operator runs it: `farlab kubelet --config kubelet.yaml`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml

from farlab_real.control_plane import Cluster, ControlPlane
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import Process, wait_until
from farlab_real.running import Running

TAINT = "virtual-node.interlink/no-schedule"
TOLERATION = {"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}


Json = dict[str, Any]


def pod_for(node: str, name: str, script: str = "true", **more: Any) -> Json:
    """Return a pod with one container `main` that runs a shell script on a virtual node.

    `more` are further keys of the container; `spec` and `annotations` are the pod's.
    """
    spec, annotations = more.pop("spec", {}), more.pop("annotations", {})
    container = {"name": "main", "image": sys.prefix, "command": ["/bin/sh", "-c", script], **more}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "containers": [container],
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [TOLERATION],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            **spec,
        },
    }


class PodsOn:
    """The pods of one namespace: what tests do with them and ask of them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, *argv: str, **more: Any) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *argv, **more)

    def create(self, *items: Json) -> None:
        """Create objects in the namespace."""
        for item in items:
            item["metadata"]["namespace"] = self.namespace
        listed = {"apiVersion": "v1", "kind": "List", "items": list(items)}
        self.kubectl("create", "-f", "-", stdin=json.dumps(listed))

    def get(self, name: str) -> Json:
        """Return a pod; empty where there is none."""
        text = self.kubectl("get", "pod", name, "-o", "json", "--ignore-not-found")
        found: Json = json.loads(text) if text else {}
        return found

    def wait_for(self, name: str, check: Callable[[Json], bool], what: str) -> Json:
        """Wait until a pod is as `check` wants it, and return it."""
        found: Json = {}

        def holds() -> bool:
            nonlocal found
            found = self.get(name)
            return check(found)

        wait_until(holds, f"{name}: {what}", lambda: self.describe(name, found))
        return found

    def wait_for_phase(self, name: str, phase: str) -> Json:
        """Wait until a pod is in a phase; fail at once when it ends in another one."""

        def there(pod: Json) -> bool:
            found = phase_of(pod)
            if found != phase and found in ("Succeeded", "Failed"):
                raise AssertionError(f"{name}: {found} and not {phase}{self.describe(name, pod)}")
            return found == phase

        return self.wait_for(name, there, phase)

    def wait_until_gone(self, name: str) -> None:
        """Wait until there is no such pod."""
        self.wait_for(name, lambda pod: not pod, "gone")

    def wait_for_event(self, name: str, reason: str) -> str:
        """Wait for an event of a pod and return its message."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [e["message"] for e in self.events(name) if e["reason"] == reason]
            return bool(found)

        wait_until(there, f"an event {reason} of {name}", lambda: str(self.events(name)))
        return found[-1]

    def events(self, name: str) -> list[Json]:
        """Return the events of a pod."""
        select = f"involvedObject.name={name}"
        text = self.kubectl("get", "events", "--field-selector", select, "-o", "json")
        found: list[Json] = json.loads(text)["items"]
        return found

    def describe(self, name: str, found: Json) -> str:
        """Return what is known of a pod, for the message of a failed test."""
        return json.dumps(found.get("status"), indent=1) + str(self.events(name))


def phase_of(pod: Json) -> str:
    """Return a pod's phase; empty where there is no pod."""
    return str(pod.get("status", {}).get("phase", ""))


def job_of(pod: Json) -> str:
    """Return the job that a pod has; empty where it has none."""
    return str(pod.get("metadata", {}).get("annotations", {}).get("JobID", ""))


def known_to(plugin: RunningPlugin) -> dict[str, str]:
    """Return the pods that a plugin knows and has not ended: uid to job id."""
    database = plugin.folder / "spool" / "farlab.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT uid, job_id FROM pods").fetchall()
    return dict(rows)


def on_node(cluster: Cluster, node: str) -> dict[str, Json]:
    """Return the pods that are bound to a node, by uid."""
    select = f"spec.nodeName={node}"
    text = cluster.kubectl("get", "pods", "-A", "--field-selector", select, "-o", "json")
    return {pod["metadata"]["uid"]: pod for pod in json.loads(text)["items"]}


class RunningKubelet(Running):
    """A kubelet in `folder` for the node `node` of a cluster.

        with RunningKubelet(tmp_path, control_plane, "vega-vk", {"plugin": {"url": url}}):
            pods with the toleration run there

    `settings` are further keys of kubelet.yaml. At the end the node is taken out of the cluster.
    """

    def __init__(
        self, folder: Path, cluster: Cluster, node: str, backend: dict[str, Any], **settings: Any
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.cluster = cluster
        self.node = node
        self.config = folder / "kubelet.yaml"
        serving = {"listen": "127.0.0.1:0"}
        if isinstance(cluster, ControlPlane):
            serving["client_ca_file"] = str(cluster.ca)
        content = {
            "node": node,
            "backend": backend,
            "kubeconfig": str(cluster.kubeconfig),
            "serving": serving,
            "ping_interval": 1,
        }
        self.config.write_text(yaml.safe_dump(content | settings))
        farlab = Path(sys.executable).with_name("farlab")
        self._command = [str(farlab), "kubelet", "--config", str(self.config)]
        self.process = Process(self._command, folder / "kubelet.log")

    def start(self) -> Self:
        """Start it and return when its node is ready."""
        self.process.start()
        self.process.wait_until(self.is_ready, f"the node {self.node}")
        return self

    def stop(self) -> None:
        """Stop it; pods and jobs go on."""
        self.process.stop()

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self.process.kill()

    def drain(self) -> None:
        """End every pod and take the node out, as its operator does."""
        draining = Process([*self._command, "--drain"], self.folder / "drain.log")
        draining.start()
        try:
            wait_until(lambda: not draining.running, "the drained node", draining.read_log)
        finally:
            draining.stop()

    def is_ready(self) -> bool:
        """Tell whether the node is there and ready, and its own kubelet listens."""
        path = "{.status.conditions[?(@.type=='Ready')].status}"
        status = self.cluster.kubectl(
            "get", "node", self.node, "-o", f"jsonpath={path}", check=False
        )
        return status == "True" and self.port() in self.process.read_log()

    def port(self) -> str:
        """Return where the API server would ask for logs, as the end of an address."""
        path = "{.status.daemonEndpoints.kubeletEndpoint.Port}"
        found = self.cluster.kubectl(
            "get", "node", self.node, "-o", f"jsonpath={path}", check=False
        )
        return f":{found or 'none'}"

    def end(self) -> None:
        """Stop it and take its node out of the cluster."""
        self.process.stop()
        self.cluster.kubectl("delete", "node", self.node, "--ignore-not-found", check=False)
        lease = ["delete", "lease", "-n", "kube-node-lease", self.node, "--ignore-not-found"]
        self.cluster.kubectl(*lease, check=False)
