"""The two kinds of backend: a plugin, and an interLink API server in front of one.

Names, methods and shapes are those of interLink's Go programs, hop by hop.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from pydantic import ValidationError

from farlab_sites.carriers import CarrierRejected, CarrierUnreachable
from farlab_sites.interlink import Created
from farlab_sites.kubelet.api import Json
from farlab_sites.kubelet.config import Backend as Choice
from farlab_sites.kubelet.sources import Luggage, environment_refs, volume_refs
from farlab_sites.kubelet.wire import Wire
from farlab_sites.plugin.care import RESTARTS

UNFINISHED = "being deleted"
"""What Farlab's plugin answers to /delete as long as the job has not ended."""


class Backend(Protocol):
    """Where pods run. Every call raises CarrierRejected or CarrierUnreachable."""

    resolves: bool
    """Whether variables must hold their values: the other end looks nothing up."""
    idempotent: bool
    """Whether creating a pod again gives the job that it has."""

    async def create(self, luggage: Luggage) -> str:
        """Start a pod and return its job's id."""

    async def delete(self, pod: Json) -> bool:
        """End a pod's job; return whether it has ended. An unknown pod is no error."""

    async def status(self, pods: Sequence[Json]) -> dict[str, Json]:
        """Return what is known of these pods, by uid, with one request."""

    def logs(self, request: Json) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Give a container's output as it comes."""

    async def ping(self) -> Json:
        """Return what the site tells of itself; empty when it only says that it lives."""

    async def close(self) -> None:
        """Close the connections."""


def backend_for(choice: Choice) -> Backend:
    """Return the backend that the configuration names."""
    wire = Wire(choice.endpoint)
    return PluginBackend(wire) if choice.kind == "plugin" else InterLinkBackend(wire)


class PluginBackend:
    """A plugin, called as an interLink API server calls it."""

    resolves = False
    idempotent = True

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def create(self, luggage: Luggage) -> str:
        """POST /create, with what each container uses."""
        answer = await self._wire.json("POST", "/create", "CreatePod", plugin_body(luggage))
        return _job_id(answer, luggage.pod)

    async def delete(self, pod: Json) -> bool:
        """POST /delete."""
        return _ended(await self._wire.call("POST", "/delete", "DeletePod", pod))

    async def status(self, pods: Sequence[Json]) -> dict[str, Json]:
        """GET /status."""
        return _by_uid(await self._wire.json("GET", "/status", "GetStatus", list(pods)))

    def logs(self, request: Json) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """GET /getLogs."""
        return self._wire.stream("GET", "/getLogs", "GetLogs", request)

    async def ping(self) -> Json:
        """GET /status of no pod."""
        return _facts(await self._wire.call("GET", "/status", "Ping", []))

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()


class InterLinkBackend(PluginBackend):
    """An interLink API server, called as interLink's virtual kubelet calls it."""

    resolves = True
    idempotent = False

    async def create(self, luggage: Luggage) -> str:
        """POST /create, with everything in one bag."""
        body = {
            "pod": announced(luggage.pod),
            "configmaps": luggage.configmaps,
            "secrets": luggage.secrets,
            "projectedvolumesmaps": luggage.projected,
            "jobscriptURL": "",
        }
        answer = await self._wire.json("POST", "/create", "CreatePod", body)
        return _job_id(answer, luggage.pod)

    async def delete(self, pod: Json) -> bool:
        """DELETE /delete."""
        return _ended(await self._wire.call("DELETE", "/delete", "DeletePod", pod))

    async def ping(self) -> Json:
        """POST /pinglink, without a body."""
        return _facts(await self._wire.call("POST", "/pinglink", "PingInterLink"))


def announced(pod: Json) -> Json:
    """Return the pod with word for the plugin that its restarts are shown here."""
    meta = pod["metadata"]
    notes = {**(meta.get("annotations") or {}), RESTARTS: "true"}
    return {**pod, "metadata": {**meta, "annotations": notes}}


def plugin_body(luggage: Luggage) -> Json:
    """Return the body of a plugin's /create: the pod, and for each container what it uses."""
    spec = luggage.pod["spec"]
    containers = (*(spec.get("initContainers") or ()), *spec["containers"])
    return {
        "pod": announced(luggage.pod),
        "container": [_used(container, luggage) for container in containers],
        "jobConfig": {"SingularityHubProxy": "", "ApptainerOptions": None, "Volumes": None},
    }


def _used(container: Json, luggage: Luggage) -> Json:
    mounts = {mount["name"] for mount in container.get("volumeMounts") or ()}
    mounted = [v for v in luggage.pod["spec"].get("volumes") or () if v["name"] in mounts]
    wanted = set(_names(container, mounted))
    projected = {volume["name"] for volume in mounted if "projected" in volume}
    secrets = [s for s in luggage.secrets if ("Secret", s["metadata"]["name"]) in wanted]
    maps = [c for c in luggage.configmaps if ("ConfigMap", c["metadata"]["name"]) in wanted]
    made = [item for item in luggage.projected if item["metadata"]["name"] in projected]
    return {
        "name": container["name"],
        "configMaps": maps or None,
        "projectedvolumemaps": made or None,
        "secrets": secrets or None,
        "emptyDirs": None,
    }


def _names(container: Json, mounted: Sequence[Json]) -> Iterator[tuple[str, str]]:
    for kind, name, _ in environment_refs(container):
        yield kind, name
    for volume in mounted:
        if "projected" not in volume:  # what a projected one is made of does not travel itself
            for kind, name, _ in volume_refs(volume):
                yield kind, name


def _job_id(answer: Any, pod: Json) -> str:
    try:
        created = Created.model_validate(answer)
    except ValidationError:
        raise CarrierUnreachable(
            "the site's answer to /create is not interLink's protocol"
        ) from None
    if created.uid != pod["metadata"]["uid"]:
        raise CarrierRejected(f"the site answered for another pod ({created.uid[:60]})")
    return created.job_id


def _by_uid(answer: Any) -> dict[str, Json]:
    if answer is None:
        return {}
    if not isinstance(answer, list):
        raise CarrierUnreachable("the site's answer to /status is not interLink's protocol")
    entries = [entry for entry in answer if isinstance(entry, dict)]
    if answer and not entries:
        raise CarrierUnreachable("the site's answer to /status is not interLink's protocol")
    return {entry["UID"]: entry for entry in entries if isinstance(entry.get("UID"), str)}


def _ended(text: str) -> bool:
    return text.strip() != UNFINISHED


def _facts(text: str) -> Json:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}  # interLink takes any answer with 200 for a sign of life
    return answer if isinstance(answer, dict) else {}
