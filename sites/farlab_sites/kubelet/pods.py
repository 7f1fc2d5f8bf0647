"""The pods that are bound to the node, followed by list and watch, and kept small in memory."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Protocol

from farlab_sites.kubelet.api import Api, ApiAway, ApiError, Json
from farlab_sites.plugin.quantities import parse_quantity
from farlab_sites.usage import ANNOTATION

log = logging.getLogger(__name__)

PAGE = 500  # pods in one answer
PAUSE = 1.0  # seconds before the next try when the API server is away
LONGEST_PAUSE = 10.0
JOB_ID = "JobID"
POD_IP = "interlink.eu/pod-ip"
HOLD = "farlab/kubelet"
"""A finalizer: as long as it is there the backend may have a job for the pod. It is set before the
job is asked for, so that neither a crash nor a forced deletion leaves a job that nobody knows."""
ENDED = frozenset({"Succeeded", "Failed"})

MOST_NOTE = 256  # characters: labels and annotations of that length are told to Prometheus
Notes = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Container:
    """What is needed of a container to tell its state and what it asks for."""

    name: str
    image: str
    requests: Notes = ()
    limits: Notes = ()


@dataclass
class Pod:
    """A pod as the API server has it, without what is not needed any more."""

    uid: str
    namespace: str
    name: str
    version: str
    phase: str
    job_id: str
    held: bool
    deleting: bool
    grace: int | None
    ip: str
    inits: tuple[Container, ...]
    containers: tuple[Container, ...]
    gates: tuple[str, ...]
    conditions: list[Json]
    started: str | None
    words: tuple[str | None, str | None]
    shared: bool
    """Whether others hold on to the pod too."""
    packed: bytes | None
    created: str = ""
    host_ip: str = ""
    owner: tuple[str, str] = ("", "")  # kind and name
    labels: Notes = ()
    notes: Notes = ()
    noted: bool = False
    """Whether it says already what its job used."""
    over: bool = False
    """Whether its job has ended for good: the backend said so when it was told to delete it."""
    removed: bool = False
    """Whether this kubelet has let go of it."""

    @property
    def path(self) -> str:
        """Return its path at the API server."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def ended(self) -> bool:
        """Whether its phase is final."""
        return self.phase in ENDED

    @property
    def ready(self) -> bool:
        """Whether the API server has it as ready."""
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.conditions)

    def take(self, new: Pod) -> None:
        """Become what the API server has now; what only this kubelet knows stays."""
        job_id, over, removed = new.job_id or self.job_id, self.over, self.removed
        for field in fields(new):
            setattr(self, field.name, getattr(new, field.name))
        self.job_id, self.over, self.removed = job_id, over, removed

    def asked(self, resource: str) -> float:
        """Return how much of a resource its containers ask for together."""
        amounts = (dict(c.limits).get(resource, "0") for c in self.containers)
        return float(sum(parse_quantity(amount) for amount in amounts))

    def manifest(self) -> Json:
        """Return the whole v1.Pod; only a pod without a job still has it."""
        if self.packed is None:
            raise ValueError(f"the manifest of {self.name} is not kept any more")
        whole: Json = json.loads(zlib.decompress(self.packed))
        return whole


def trimmed(item: Json) -> Pod:
    """Return a v1.Pod as a small record."""
    meta, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    notes = meta.get("annotations") or {}
    pod = Pod(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        version=meta.get("resourceVersion", ""),
        phase=status.get("phase", "Pending"),
        job_id=notes.get(JOB_ID, ""),
        held=HOLD in (meta.get("finalizers") or ()),
        deleting="deletionTimestamp" in meta,
        grace=meta.get("deletionGracePeriodSeconds"),
        ip=notes.get(POD_IP) or "127.0.0.1",
        inits=_containers(spec.get("initContainers")),
        containers=_containers(spec.get("containers")),
        gates=tuple(gate["conditionType"] for gate in spec.get("readinessGates") or ()),
        conditions=[dict(condition) for condition in status.get("conditions") or ()],
        started=status.get("startTime"),
        shared=any(name != HOLD for name in meta.get("finalizers") or ()),
        words=(status.get("reason"), status.get("message")),
        packed=None,
        created=meta.get("creationTimestamp") or "",
        host_ip=status.get("hostIP") or "",
        owner=_owner(meta.get("ownerReferences") or ()),
        labels=_notes(meta.get("labels")),
        notes=_notes({key: text for key, text in notes.items() if key != ANNOTATION}),
        noted=ANNOTATION in notes,
    )
    if not (pod.job_id or pod.ended or pod.deleting):
        meta.pop("managedFields", None)
        pod.packed = zlib.compress(json.dumps(item).encode(), 1)
    return pod


def _containers(items: list[Json] | None) -> tuple[Container, ...]:
    return tuple(_container(item) for item in items or ())


def _container(item: Json) -> Container:
    asked = item.get("resources") or {}
    requests, limits = _notes(asked.get("requests")), _notes(asked.get("limits"))
    return Container(item["name"], item.get("image", ""), requests, limits)


def _notes(found: Json | None) -> Notes:
    """Return short texts by name, small in memory."""
    pairs = ((sys.intern(key), str(value)) for key, value in (found or {}).items())
    return tuple((key, value) for key, value in pairs if len(value) <= MOST_NOTE)


def _owner(references: Iterable[Json]) -> tuple[str, str]:
    for reference in references:
        if reference.get("controller"):
            return str(reference.get("kind", "")), str(reference.get("name", ""))
    return "", ""


def identity(pod: Pod) -> Json:
    """Return the v1.Pod that the backend needs to tell which one is meant."""
    meta: Json = {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
    meta["annotations"] = {JOB_ID: pod.job_id} if pod.job_id else {}
    if pod.deleting and pod.grace is not None:
        meta["deletionGracePeriodSeconds"] = pod.grace
    spec: Json = {"containers": [{"name": c.name, "image": c.image} for c in pod.containers]}
    if pod.inits:
        spec["initContainers"] = [{"name": c.name, "image": c.image} for c in pod.inits]
    return {"metadata": meta, "spec": spec, "status": {"phase": pod.phase}}


class Follower(Protocol):
    """Who is told of the pods."""

    def seen(self, pod: Pod) -> None:
        """Take a pod as it is now."""

    def gone(self, uid: str) -> None:
        """Take note that a pod is not there any more."""

    def known(self) -> set[str]:
        """Return the uids of all pods that were seen and are not gone."""


class PodWatch:
    """Tells a follower of every change of the pods bound to one node, for as long as it runs."""

    def __init__(self, api: Api, node: str, follower: Follower, synced: Callable[[], None]) -> None:
        self._api = api
        self._select = {"fieldSelector": f"spec.nodeName={node}"}
        self._follower = follower
        self._synced = synced

    async def run(self) -> None:
        """List, then watch; list again when the watch's version has expired."""
        pause = PAUSE
        version = ""
        while True:
            try:
                version = version or await self._list()
                pause = PAUSE
                version = await self._watch(version)
                continue
            except ApiAway as error:
                log.warning("following the pods: %s; trying again", error)
            except ApiError as error:
                if error.status != 410:
                    log.warning("following the pods: %s; trying again", error)
                version = ""
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _list(self) -> str:
        """Tell of every pod there is, page by page; return the version to watch from."""
        before = self._follower.known()
        seen: set[str] = set()
        query: dict[str, Any] = {**self._select, "limit": PAGE}
        while True:
            page = await self._api.get("/api/v1/pods", **query)
            for item in page.get("items") or ():
                pod = trimmed(item)
                seen.add(pod.uid)
                self._follower.seen(pod)
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                break
            query["continue"] = meta["continue"]
        for uid in before - seen:
            self._follower.gone(uid)
        self._synced()
        return str(meta.get("resourceVersion", ""))

    async def _watch(self, version: str) -> str:
        """Tell of changes until the watch ends; return the version to go on from."""
        query = {**self._select, "resourceVersion": version}
        self._version = version
        try:
            async for event in self._api.watch("/api/v1/pods", **query):
                self._take(event["type"], event["object"])
        except ApiAway as error:
            log.info("the watch broke: %s", error)
            await asyncio.sleep(PAUSE)
        return self._version

    def _take(self, kind: str, item: Json) -> None:
        self._version = item["metadata"]["resourceVersion"]
        if kind in ("ADDED", "MODIFIED"):
            self._follower.seen(trimmed(item))
        elif kind == "DELETED":
            self._follower.gone(item["metadata"]["uid"])
