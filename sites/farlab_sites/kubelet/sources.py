"""What a pod refers to, fetched for its journey: ConfigMaps, Secrets and projected volumes."""

from __future__ import annotations

import asyncio
import base64
import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from farlab_sites.kubelet.api import Api, ApiAway, ApiError, Json
from farlab_sites.plugin.carried import Carried
from farlab_sites.plugin.environ import environment
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.podspec import parse_pod
from farlab_sites.plugin.volumes import volumes

ROOT_CA = "kube-root-ca.crt"
ROOT_CA_KEPT = 60.0  # seconds; every pod mounts it, and it changes about once in years
TOKEN_SECONDS = 3600
ADDRESSES = ("status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs")
Ref = tuple[str, str, bool]  # kind, name, optional


class Missing(Exception):  # noqa: N818 - a state of the world, which may change
    """Something that the pod refers to is not there (yet)."""


@dataclass(frozen=True)
class Luggage:
    """A pod and all that travels with it."""

    pod: Json
    secrets: list[Json]
    configmaps: list[Json]
    projected: list[Json]


class Sources:
    """Fetches from the API server; always as it is now, except for the cluster's own CA."""

    def __init__(self, api: Api, host_ip: str) -> None:
        self._api = api
        self._host_ip = host_ip
        self._root_ca: dict[str, tuple[float, Json]] = {}

    async def pack(self, manifest: Json, pod_ip: str, *, resolve: bool) -> Luggage:
        """Return a pod with all that it refers to.

        With `resolve` each variable holds its value; otherwise references to Secrets and
        ConfigMaps stay, for a plugin that looks them up in what travels along.

        Raises:
            Missing: a Secret, ConfigMap or key that is not optional is not there.
            ApiAway: the API server did not answer.

        """
        pod = copy.deepcopy(manifest)
        _fill_in_addresses(pod, pod_ip, self._host_ip)
        found = await self._fetch(pod)
        secrets = [item for (kind, _), item in found.items() if kind == "Secret"]
        configmaps = [item for (kind, _), item in found.items() if kind == "ConfigMap"]
        try:
            projected = await self._projected(pod, secrets, configmaps)
            variables = _variables(pod, secrets, configmaps)
        except Refusal as error:
            raise Missing(error.message) from None
        if resolve:
            _resolve(pod, variables)
        return Luggage(pod, secrets, configmaps, projected)

    async def _fetch(self, pod: Json) -> dict[tuple[str, str], Json]:
        namespace = pod["metadata"]["namespace"]
        needed: dict[tuple[str, str], bool] = {}
        for kind, name, optional in refs(pod):
            needed[kind, name] = needed.get((kind, name), True) and optional
        items = await asyncio.gather(*(self._one(namespace, kind, name) for kind, name in needed))
        found = {}
        for (key, optional), item in zip(needed.items(), items, strict=True):
            if item is not None:
                found[key] = item
            elif not optional:
                kind, name = key
                raise Missing(f'{kind.lower()} "{name}" not found in the namespace {namespace}')
        return found

    async def _one(self, namespace: str, kind: str, name: str) -> Json | None:
        if name == ROOT_CA and kind == "ConfigMap":
            return await self._authority(namespace)
        return await self._read(namespace, kind, name)

    async def _authority(self, namespace: str) -> Json | None:
        until, item = self._root_ca.get(namespace, (0.0, None))
        if time.monotonic() < until:
            return item
        found = await self._read(namespace, "ConfigMap", ROOT_CA)
        if found is not None:
            self._root_ca[namespace] = (time.monotonic() + ROOT_CA_KEPT, found)
        return found

    async def _read(self, namespace: str, kind: str, name: str) -> Json | None:
        item = await self._api.find(f"/api/v1/namespaces/{namespace}/{kind.lower()}s/{name}")
        if item is None:
            return None
        meta = {"name": name, "namespace": namespace}
        kept: Json = {key: item[key] for key in ("data", "binaryData", "type") if key in item}
        return {"apiVersion": "v1", "kind": kind, "metadata": meta, **kept}

    async def _projected(
        self, pod: Json, secrets: list[Json], configmaps: list[Json]
    ) -> list[Json]:
        """Return every projected volume as interLink sends it: a ConfigMap with its name."""
        given = copy.deepcopy(pod["spec"].get("volumes") or [])
        projected = {
            volume["name"]: volume["projected"] for volume in given if "projected" in volume
        }
        tokens: list[Json] = []
        for volume in projected.values():
            tokens += await self._tokens(pod, volume.get("sources") or [])
        carried = Carried([{"secrets": [*secrets, *tokens], "configMaps": configmaps}])
        # The others are looked into as well: a key that is missing shows here already.
        made, _ = volumes(parse_pod({**pod, "spec": {**pod["spec"], "volumes": given}}), carried)
        return [_as_configmap(v.name, v.files or {}) for v in made if v.name in projected]

    async def _tokens(self, pod: Json, sources: list[Json]) -> list[Json]:
        """Ask for the tokens among a volume's sources; each source becomes one of a Secret."""
        made = []
        for index, source in enumerate(sources):
            wanted = source.get("serviceAccountToken")
            if wanted is None:
                continue
            token = await self._token(pod, wanted)
            name = f"token {wanted['path']}"  # no real Secret can have this name
            coded = base64.b64encode(token.encode()).decode()
            made.append({"metadata": {"name": name}, "data": {"token": coded}})
            items = [{"key": "token", "path": wanted["path"]}]
            sources[index] = {"secret": {"name": name, "items": items}}
        return made

    async def _token(self, pod: Json, wanted: Json) -> str:
        meta = pod["metadata"]
        account = pod["spec"].get("serviceAccountName") or "default"
        bound = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
        spec: Json = {
            "expirationSeconds": wanted.get("expirationSeconds") or TOKEN_SECONDS,
            "boundObjectRef": bound,
        }
        if wanted.get("audience"):
            spec["audiences"] = [wanted["audience"]]
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
        try:
            return str((await self._api.call("POST", path, body=request))["status"]["token"])
        except ApiAway:
            raise
        except ApiError as error:
            raise Missing(f"there is no token of the service account {account}: {error}") from None


def refs(pod: Json) -> Iterator[Ref]:
    """Yield every Secret and ConfigMap that a pod refers to."""
    spec = pod["spec"]
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        yield from environment_refs(container)
    for volume in spec.get("volumes") or ():
        yield from volume_refs(volume)


def environment_refs(container: Json) -> Iterator[Ref]:
    """Yield what a container's variables refer to."""
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
            if part := source.get(key):
                yield kind, part["name"], bool(part.get("optional"))
    for source in container.get("envFrom") or ():
        for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if part := source.get(key):
                yield kind, part["name"], bool(part.get("optional"))


def volume_refs(volume: Json) -> Iterator[Ref]:
    """Yield what a volume refers to."""
    if part := volume.get("secret"):
        yield "Secret", part["secretName"], bool(part.get("optional"))
    if part := volume.get("configMap"):
        yield "ConfigMap", part["name"], bool(part.get("optional"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        for key, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
            if part := source.get(key):
                yield kind, part["name"], bool(part.get("optional"))


def _fill_in_addresses(pod: Json, pod_ip: str, host_ip: str) -> None:
    """Put the addresses into variables: only the kubelet knows them."""
    spec = pod["spec"]
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        for variable in container.get("env") or ():
            path = ((variable.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath")
            if path in ADDRESSES:
                del variable["valueFrom"]
                variable["value"] = pod_ip if path.startswith("status.podIP") else host_ip


def _variables(pod: Json, secrets: list[Json], configmaps: list[Json]) -> dict[str, dict[str, str]]:
    """Return each container's variables with their values."""
    parsed = parse_pod({**pod, "spec": {**pod["spec"], "volumes": []}})
    carried = Carried([{"secrets": secrets, "configMaps": configmaps}])
    every = (*parsed.spec.init, *parsed.spec.containers)
    return {container.name: environment(parsed, container, carried) for container in every}


def _resolve(pod: Json, variables: dict[str, dict[str, str]]) -> None:
    """Give each variable its value; an empty one comes without the key, as Go leaves it out."""
    spec = pod["spec"]
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        container.pop("envFrom", None)
        container["env"] = [
            {"name": name, "value": value} if value else {"name": name}
            for name, value in variables[container["name"]].items()
        ]


def _as_configmap(name: str, files: dict[str, Any]) -> Json:
    """Return the files of a volume as a ConfigMap."""
    texts, others = {}, {}
    for path, (raw, _) in files.items():
        try:
            texts[path] = raw.decode()
        except UnicodeDecodeError:
            others[path] = base64.b64encode(raw).decode()
    made: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return made | {"data": texts} | ({"binaryData": others} if others else {})
