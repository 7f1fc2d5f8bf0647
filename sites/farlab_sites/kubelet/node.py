"""The virtual node: registered, alive (its Lease), and as large as its site says it is now."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from farlab_sites.carriers import CarrierError
from farlab_sites.kubelet.api import Api, ApiError, Json
from farlab_sites.kubelet.backend import Backend
from farlab_sites.kubelet.config import Settings
from farlab_sites.kubelet.facts import (
    capacity,
    conditions,
    merged_taints,
    resources_patch,
    site_taints,
)

log = logging.getLogger(__name__)

NODES = "/api/v1/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
LEASE_SECONDS = 40
RENEW = 10.0  # seconds
HEARTBEAT = 300.0  # seconds after which conditions are written although nothing has changed
PING_NOTE = "interlink.virtual-kubelet.io/ping-response"
TAINTS_NOTE = "farlab/site-taints"
"""An annotation with the keys of the site's taints, so that they can be told from others'."""


class VirtualNode:
    """One node at the API server; `up` is whether its site answers."""

    def __init__(
        self, api: Api, backend: Backend, settings: Settings, recovered: Callable[[], None]
    ) -> None:
        self._api = api
        self._backend = backend
        self._settings = settings
        self._recovered = recovered
        self._path = f"{NODES}/{settings.node}"
        self._facts: Json = {}
        self._written: Any = None
        self._written_at = 0.0
        self.up: bool | None = None  # None: not asked yet
        self._cordon = False
        self._cordoned = asyncio.Event()
        self.port = 0

    async def keep(self) -> None:
        """Ping the site and tell the API server what it says, for as long as it runs."""
        while True:
            problem = await self._ping()
            try:
                await self._tell(problem)
            except ApiError as error:
                log.warning("the node could not be written: %s", error)
            await asyncio.sleep(self._settings.ping_interval)

    async def keep_lease(self) -> None:
        """Renew the Lease, by which the cluster sees that this kubelet lives."""
        while True:
            try:
                await self._renew()
            except ApiError as error:
                log.warning("the node's lease could not be renewed: %s", error)
            await asyncio.sleep(RENEW)

    async def cordon(self) -> None:
        """Let nothing new be scheduled; return when the API server knows."""
        self._cordon = True
        await self._cordoned.wait()

    async def remove(self) -> None:
        """Take the node and its Lease out of the cluster."""
        for path in (self._path, f"{LEASES}/{self._settings.node}"):
            try:
                await self._api.call("DELETE", path)
            except ApiError as error:
                if error.status != 404:
                    raise

    async def _ping(self) -> str | None:
        """Return why the site can't be reached, None when it can."""
        try:
            self._facts = await self._backend.ping()
        except CarrierError as error:
            if self.up is not False:
                log.warning("the site does not answer: %s", error)
            self.up = False
            return str(error)
        if self.up is False:
            log.info("the site answers again")
        if not self.up:
            self.up = True
            self._recovered()
        return None

    async def _tell(self, problem: str | None) -> None:
        """Write the node if it is not there yet, or if something has changed."""
        node = await self._api.find(self._path)
        if node is None:
            node = await self._api.call("POST", NODES, body=self._manifest())
            self._written = None
            log.info("node %s is registered", self._settings.node)
        await self._taint(node)
        await self._write_status(node, problem)

    def _manifest(self) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self._settings.node, "labels": self._labels()},
            "spec": {
                "providerID": f"external:///{self._settings.node}",
                "taints": merged_taints((), (), ()),
            },
        }

    def _labels(self) -> dict[str, str]:
        return {
            **self._settings.labels,
            "kubernetes.io/hostname": self._settings.node,
            "kubernetes.io/os": "virtual-kubelet",
            "kubernetes.io/role": "agent",
            "type": "virtual-kubelet",
            "virtual-node.interlink/type": "virtual-kubelet",
        }

    async def _taint(self, node: Json) -> None:
        """Bring labels and taints up to date; two writers at once end in another try."""
        meta, spec = node["metadata"], node["spec"]
        notes = meta.get("annotations") or {}
        present, wanted = spec.get("taints") or [], site_taints(self._facts)
        keys = sorted({taint["key"] for taint in wanted})
        taints = merged_taints(present, notes.get(TAINTS_NOTE, "").split(), wanted)
        patch: Json = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "spec": {}}
        if {**(meta.get("labels") or {}), **self._labels()} != meta.get("labels"):
            patch["metadata"]["labels"] = self._labels()
        if notes.get(TAINTS_NOTE, "").split() != keys:
            patch["metadata"]["annotations"] = {TAINTS_NOTE: " ".join(keys)}
        if _bare(taints) != _bare(present):
            patch["spec"]["taints"] = taints
        if self._cordon and not spec.get("unschedulable"):
            patch["spec"]["unschedulable"] = True
        if patch["spec"] or len(patch["metadata"]) > 1:
            await self._api.patch(self._path, patch)
        if self._cordon:
            self._cordoned.set()

    async def _write_status(self, node: Json, problem: str | None) -> None:
        old = node.get("status") or {}
        size = capacity(self._settings.capacity, self._facts)
        now = time.monotonic()
        content = (size, problem, self.port)
        same = self._written == content and _ready(old) == (problem is None)
        if same and now - self._written_at < HEARTBEAT:
            return
        status = {
            "capacity": resources_patch(old.get("capacity") or {}, size),
            "allocatable": resources_patch(old.get("allocatable") or {}, size),
            "conditions": conditions(old.get("conditions") or (), problem, datetime.now(UTC)),
            "addresses": [
                {"type": "InternalIP", "address": self._settings.serving.address},
                {"type": "Hostname", "address": self._settings.node},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
            "nodeInfo": _node_info(),
        }
        note = {PING_NOTE: json.dumps(self._facts)[:4000]}
        await self._api.patch(f"{self._path}/status", {"status": status}, "strategic")
        await self._api.patch(self._path, {"metadata": {"annotations": note}})
        self._written, self._written_at = content, now

    async def _renew(self) -> None:
        name = self._settings.node
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
        try:
            await self._api.patch(f"{LEASES}/{name}", {"spec": spec})
        except ApiError as error:
            if error.status != 404:
                raise
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name},
                "spec": spec,
            }
            await self._api.call("POST", LEASES, body=lease)


def _bare(taints: list[Json]) -> list[tuple[Any, ...]]:
    """Return what matters of taints, in one order."""
    return sorted((t["key"], t.get("value") or "", t["effect"]) for t in taints)


def _ready(status: Json) -> bool:
    """Tell whether the API server has the node as ready: the cluster changes that by itself."""
    return any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()
    )


def _node_info() -> dict[str, str]:
    return {
        "architecture": "virtual",
        "bootID": "",
        "containerRuntimeVersion": "interlink://",
        "kernelVersion": "",
        "kubeProxyVersion": "",
        "kubeletVersion": f"v{version('farlab')}-farlab",
        "machineID": "",
        "operatingSystem": "virtual-kubelet",
        "osImage": "Farlab virtual kubelet",
        "systemUUID": "",
    }
