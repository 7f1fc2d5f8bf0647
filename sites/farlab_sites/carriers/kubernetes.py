"""The carrier `kubernetes`: pods in the cluster that the hub runs in.

A site is a virtual node of it, or all its ordinary nodes. Kubernetes gives each pod a uid of its
own, so that a workload's pod is found by its label; one watch keeps a copy of all pods of the site.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import aiohttp

from farlab_sites.carriers.base import CarrierRejected, CarrierUnreachable
from farlab_sites.carriers.cluster import CALL_S, Cluster, ClusterRefusal
from farlab_sites.carriers.informer import Informer
from farlab_sites.carriers.node_facts import facts_of, trouble_of
from farlab_sites.carriers.podview import JOB_ID, PodEvent, gone, status_of
from farlab_sites.interlink import Json
from farlab_sites.manifest import SITE, VIRTUAL_TAINT, WORKLOAD
from farlab_sites.podstatus import PodStatus

GRACE_S = 5
"""Seconds that a job has between being told to end and being killed."""
POD_SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""What a namespace asks for that enforces the Pod Security Standard `restricted`."""
MOST_GONE = 10_000
"""Deleted pods that are remembered until their workload has been told."""

Names = Mapping[str, str]


class KubernetesCarrier:
    """Takes pods to one site of a cluster."""

    def __init__(self, cluster: Cluster, site: str, node: str | None = None) -> None:
        """Take the site's name and its virtual node; without one it is the ordinary nodes."""
        self._cluster = cluster
        self._site = site
        self._node = node
        self._read: dict[str, tuple[Json, tuple[PodEvent, ...], PodStatus]] = {}
        self._pods = _Pods(is_virtual=node is not None)
        self._events = _Events()
        ours = {"labelSelector": f"{SITE}={site},{WORKLOAD}"}
        about_pods = {"fieldSelector": "involvedObject.kind=Pod"}
        self._watches = (
            Informer(cluster, "pods", ours, self._pods),
            Informer(cluster, "events", about_pods, self._events),
        )

    async def create(
        self, pod: Json, secrets: Sequence[Json] = (), configmaps: Sequence[Json] = ()
    ) -> str:
        """Make the pod and what it names, which Kubernetes removes together with it."""
        uid = pod["metadata"]["uid"]
        labels = {WORKLOAD: uid, SITE: self._site}
        beside = [("secrets", item) for item in secrets]
        beside += [("configmaps", item) for item in configmaps]
        # Before the pod, which could not start without them.
        for kind, item in beside:
            await self._put(kind, _labelled(item, labels))
        made = await self._make_pod(_fit(pod, labels, self._cluster.namespace))
        owner = owner_of(made)
        for kind, item in beside:
            await self._own(kind, item["metadata"]["name"], owner)
        self._pods.put(made)
        return _job_id(made)

    async def _make_pod(self, pod: Json) -> Json:
        """Create a pod, or return the one that an earlier try has created."""
        name = pod["metadata"]["name"]
        try:
            made: Json = await self._cluster.call("POST", self._cluster.path("pods"), body=pod)
        except ClusterRefusal as error:
            if error.status != 409:
                raise
            made = await self._cluster.call("GET", self._cluster.path("pods", name))
            if _workload(made) != pod["metadata"]["labels"][WORKLOAD]:
                raise CarrierRejected(f"another pod in Kubernetes is named {name}") from error
        return made

    async def _put(self, kind: str, item: Json) -> None:
        """Create a Secret or ConfigMap, over one of an earlier try."""
        name = item["metadata"]["name"]
        try:
            await self._cluster.call("POST", self._cluster.path(kind), body=item)
        except ClusterRefusal as error:
            if error.status != 409:
                raise
            await self._cluster.call("PUT", self._cluster.path(kind, name), body=item)

    async def _own(self, kind: str, name: str, owner: Json) -> None:
        await self._cluster.call(
            "PATCH",
            self._cluster.path(kind, name),
            body={"metadata": {"ownerReferences": [owner]}},
            content="application/merge-patch+json",
        )

    async def status(self, pods: Sequence[Json]) -> dict[str, PodStatus]:
        """Return the state of all these pods, from the copy that the watches keep."""
        await self._up_to_date()
        states = {uid: self._state(uid) for uid in (pod["metadata"]["uid"] for pod in pods)}
        return {uid: state for uid, state in states.items() if state is not None}

    async def _up_to_date(self) -> None:
        for watch in self._watches:
            await watch.up_to_date()

    def _state(self, uid: str) -> PodStatus | None:
        pod = self._pods.known.get(uid)
        if pod is None:
            self._read.pop(uid, None)
            return self._pods.gone.get(uid)
        events = self._events.about.get(pod["metadata"]["uid"], ())
        read = self._read.get(uid)
        # Thousands of pods are asked about every second, and few of them have changed.
        if read is None or read[0] is not pod or read[1] is not events:
            is_virtual = self._node is not None
            read = self._read[uid] = (
                pod,
                events,
                status_of(uid, pod, events, is_virtual=is_virtual),
            )
        return read[2]

    async def delete(self, pod: Json) -> None:
        """Delete the pod, and Secrets that a broken-off `create` has left without it."""
        uid = pod["metadata"]["uid"]
        found = await self._find(pod)
        if found is not None and not found["metadata"].get("deletionTimestamp"):
            # In the body: the API server does not read them from a query beside a body.
            options = {
                "gracePeriodSeconds": GRACE_S,
                "preconditions": {"uid": found["metadata"]["uid"]},
            }
            with suppress(_NotThere):
                await self._there("DELETE", "pods", found["metadata"]["name"], options)
        for kind in ("secrets", "configmaps"):
            mine = {"labelSelector": f"{WORKLOAD}={uid}"}
            await self._cluster.call("DELETE", self._cluster.path(kind), query=mine)

    async def _find(self, pod: Json) -> Json | None:
        """Return a workload's pod as it is in Kubernetes; None when there is none."""
        meta = pod["metadata"]
        if meta["uid"] in self._pods.known:
            return self._pods.known[meta["uid"]]
        with suppress(_NotThere):
            found = await self._there("GET", "pods", meta["name"])
            if _workload(found) == meta["uid"]:
                return found
        return None

    async def _there(self, method: str, kind: str, name: str, body: Json | None = None) -> Json:
        """Call for one object; raise _NotThere when it is gone, or another one by now."""
        try:
            answer: Json = await self._cluster.call(
                method, self._cluster.path(kind, name), body=body
            )
        except ClusterRefusal as error:
            if error.status in (404, 409):
                raise _NotThere from error
            raise
        return answer

    async def logs(self, pod: Json, *, container: str, tail: int = 0) -> str:
        """Return a container's output; nothing of one that has not started."""
        found = await self._find(pod)
        if found is None:
            raise CarrierRejected("its pod is gone from Kubernetes, and its log with it")
        query = {"container": container} | ({"tailLines": tail} if tail else {})
        path = f"{self._cluster.path('pods', found['metadata']['name'])}/log"
        try:
            return await self._cluster.text(path, query)
        except ClusterRefusal as error:
            if "waiting to start" in str(error):
                return ""
            raise

    async def follow(self, pod: Json, *, container: str, tail: int = 0) -> AsyncIterator[bytes]:
        """Yield a container's output as it comes."""
        found = await self._find(pod)
        if found is None:
            raise CarrierRejected("its pod is gone from Kubernetes, and its log with it")
        query = {"container": container, "follow": "true"} | ({"tailLines": tail} if tail else {})
        path = f"{self._cluster.path('pods', found['metadata']['name'])}/log"
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CALL_S)
        async with self._cluster.request("GET", path, limits, query=query) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def ping(self) -> Json:
        """Return what the site's node tells, or the ordinary nodes together."""
        try:
            if self._node is None:
                nodes = await self._cluster.call("GET", "/api/v1/nodes")
                return facts_of([node for node in nodes["items"] if not _is_virtual(node)])
            node = await self._cluster.call("GET", f"/api/v1/nodes/{self._node}")
        except ClusterRefusal as error:
            if error.status == 404:
                msg = f"Kubernetes has no node {self._node}: its virtual kubelet does not run"
                raise CarrierUnreachable(msg) from error
            if error.status == 403:
                return {}  # a hub may run without the right to see nodes
            raise
        if trouble := trouble_of(node):
            raise CarrierUnreachable(trouble)
        return facts_of([node])

    async def close(self) -> None:
        """Stop watching and close the connections."""
        for watch in self._watches:
            await watch.close()
        await self._cluster.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class _NotThere(Exception):  # noqa: N818 - no error: what was to be gone is gone
    """An object is gone."""


class _Pods:
    """The site's pods by workload, and how those were that have been deleted."""

    def __init__(self, *, is_virtual: bool) -> None:
        self.known: dict[str, Json] = {}
        self.gone: dict[str, PodStatus] = {}
        self._is_virtual = is_virtual

    def replace(self, objects: list[Json]) -> None:
        """Take everything that there is now; what was there before and is not now was deleted."""
        before, self.known = self.known, {_workload(pod): pod for pod in objects}
        for uid, pod in before.items():
            if uid not in self.known:
                self._bury(uid, pod)

    def put(self, found: Json) -> None:
        """Take a new or changed pod, unless what is known is newer."""
        uid = _workload(found)
        known = self.known.get(uid)
        if known is None or _version(found) >= _version(known):
            self.known[uid] = found

    def drop(self, found: Json) -> None:
        """Remember how a pod was when it was deleted."""
        uid = _workload(found)
        known = self.known.get(uid)
        if known is not None and known["metadata"]["uid"] == found["metadata"]["uid"]:
            del self.known[uid]
        self._bury(uid, found)

    def _bury(self, uid: str, pod: Json) -> None:
        self.gone[uid] = gone(uid, pod, is_virtual=self._is_virtual)
        while len(self.gone) > MOST_GONE:
            del self.gone[next(iter(self.gone))]


class _Events:
    """What happened to pods, by the pod's own uid: the newest of each event, in a new tuple."""

    def __init__(self) -> None:
        self.about: dict[str, tuple[PodEvent, ...]] = {}

    def replace(self, objects: list[Json]) -> None:
        """Take everything that there is now."""
        self.about = {}
        for event in objects:
            self.put(event)

    def put(self, found: Json) -> None:
        """Take a new event, or one that happened again."""
        pod = found["involvedObject"].get("uid") or ""
        event = PodEvent.read(found)
        self.about[pod] = (*self._others(pod, event.name), event)

    def drop(self, found: Json) -> None:
        """Forget an event; Kubernetes keeps them for an hour."""
        pod = found["involvedObject"].get("uid") or ""
        if left := self._others(pod, found["metadata"]["name"]):
            self.about[pod] = left
        else:
            self.about.pop(pod, None)

    def _others(self, pod: str, name: str) -> tuple[PodEvent, ...]:
        return tuple(event for event in self.about.get(pod, ()) if event.name != name)


def owner_of(pod: Json) -> Json:
    """Return the reference that lets Kubernetes remove an object together with a pod."""
    meta = pod["metadata"]
    return {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}


def _fit(pod: Json, labels: Names, namespace: str) -> Json:
    """Return a workload's pod as Kubernetes takes it."""
    fit = _labelled(pod, labels)
    meta = fit["metadata"]
    del meta["uid"]
    meta["namespace"] = namespace
    # For the plugin, which keeps annotations.
    meta["annotations"] = {**(meta.get("annotations") or {}), WORKLOAD: labels[WORKLOAD]}
    # What runs for a user gets no right in the cluster, and no privilege on its nodes.
    fit["spec"] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": POD_SECURITY,
        **fit["spec"],
    }
    for container in fit["spec"]["containers"]:
        container.setdefault("securityContext", CONTAINER_SECURITY)
    return fit


def _labelled(item: Json, labels: Names) -> Json:
    labelled = copy.deepcopy(item)
    meta = labelled["metadata"]
    meta.pop("namespace", None)
    meta["labels"] = {**(meta.get("labels") or {}), **labels}
    return labelled


def _workload(pod: Json) -> str:
    return str((pod["metadata"].get("labels") or {}).get(WORKLOAD, ""))


def _job_id(pod: Json) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(JOB_ID, ""))


def _version(found: Json) -> int:
    """Return an object's version; Kubernetes writes numbers that grow."""
    text = found["metadata"].get("resourceVersion") or "0"
    return int(text) if text.isdecimal() else 0


def _is_virtual(node: Json) -> bool:
    taints: list[Any] = (node.get("spec") or {}).get("taints") or []
    return any(taint.get("key") == VIRTUAL_TAINT for taint in taints)
