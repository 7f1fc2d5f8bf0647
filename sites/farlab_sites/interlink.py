"""interLink's plugin protocol on the wire: the bodies of calls and the shape of answers.

Names and shapes are those of interLink's Go programs, as seen on the wire.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from farlab_sites.usage import ANNOTATION

Json = dict[str, Any]


class _Wire(BaseModel):
    """Part of an answer: what is not named here is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Created(_Wire):
    """The answer to /create."""

    uid: str = Field(alias="PodUID")
    job_id: str = Field(alias="PodJID", min_length=1)


class Waiting(_Wire):
    """v1.ContainerStateWaiting."""

    reason: str = ""
    message: str = ""


class Running(_Wire):
    """v1.ContainerStateRunning."""

    started_at: datetime | None = Field(None, alias="startedAt")


class Terminated(_Wire):
    """v1.ContainerStateTerminated."""

    exit_code: int = Field(alias="exitCode")
    reason: str = ""
    message: str = ""
    started_at: datetime | None = Field(None, alias="startedAt")
    finished_at: datetime | None = Field(None, alias="finishedAt")


class State(_Wire):
    """v1.ContainerState: one of the three, or none."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class Container(_Wire):
    """v1.ContainerStatus."""

    name: str
    state: State = State()
    last: State | None = Field(None, alias="lastState")


class Status(_Wire):
    """What /status answers for one pod. `node` and `usage` are Farlab's own additions."""

    uid: str = Field(alias="UID")
    name: str = ""
    namespace: str = ""
    job_id: str = Field("", alias="JID")
    node: str | None = None
    usage: Json | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = Field(None, alias="initContainers")


def create_body(pod: Json, secrets: Sequence[Json], configmaps: Sequence[Json]) -> Json:
    """Return the body of /create: the pod, and for each container what it uses."""
    by_name = {
        "secret": {item["metadata"]["name"]: item for item in secrets},
        "configMap": {item["metadata"]["name"]: item for item in configmaps},
    }
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or []}
    return {
        "pod": pod,
        "container": [_used(container, volumes, by_name) for container in containers],
        "jobConfig": {"SingularityHubProxy": "", "ApptainerOptions": None, "Volumes": None},
    }


def _used(container: Json, volumes: Mapping[str, Json], by_name: Mapping[str, Json]) -> Json:
    """Return the Secrets and ConfigMaps that one container mounts or takes variables from."""
    mounted = [
        volumes[mount["name"]]
        for mount in container.get("volumeMounts") or []
        if mount["name"] in volumes
    ]
    wanted = [*_from_environment(container), *_from_volumes(mounted)]
    found = {
        kind: [item for name, item in items.items() if (kind, name) in wanted] or None
        for kind, items in by_name.items()
    }
    projected = [_projected(volume, by_name) for volume in mounted if volume.get("projected")]
    return {
        "name": container["name"],
        "configMaps": found["configMap"],
        "projectedvolumemaps": projected or None,
        "secrets": found["secret"],
        "emptyDirs": None,
    }


def _from_environment(container: Json) -> Iterator[tuple[str, str]]:
    """Yield the kind and name of all that a container's variables refer to."""
    for variable in container.get("env") or []:
        source = variable.get("valueFrom") or {}
        for key, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "configMap")):
            if source.get(key):
                yield kind, source[key]["name"]
    for source in container.get("envFrom") or []:
        for key, kind in (("secretRef", "secret"), ("configMapRef", "configMap")):
            if source.get(key):
                yield kind, source[key]["name"]


def _from_volumes(volumes: Sequence[Json]) -> Iterator[tuple[str, str]]:
    """Yield the kind and name of what volumes hold."""
    for volume in volumes:
        if volume.get("secret"):
            yield "secret", volume["secret"]["secretName"]
        if volume.get("configMap"):
            yield "configMap", volume["configMap"]["name"]


def _projected(volume: Json, by_name: Mapping[str, Json]) -> Json:
    """Return a projected volume as interLink sends it: a ConfigMap with the volume's name."""
    files: dict[str, bytes] = {}
    for source in volume["projected"].get("sources") or []:
        for kind in ("secret", "configMap"):
            if part := source.get(kind):
                content = _content(by_name[kind].get(part["name"], {}), kind)
                items = part.get("items") or [{"key": key, "path": key} for key in content]
                files |= {i["path"]: content[i["key"]] for i in items if i["key"] in content}
    texts: dict[str, str] = {}
    others: dict[str, str] = {}
    for path, raw in files.items():
        try:
            texts[path] = raw.decode()
        except UnicodeDecodeError:
            others[path] = base64.b64encode(raw).decode()
    meta = {"name": volume["name"]}
    projected = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": texts}
    return projected | ({"binaryData": others} if others else {})


def _content(item: Json, kind: str) -> dict[str, bytes]:
    """Return the files in a Secret or ConfigMap."""
    coded = item.get("data" if kind == "secret" else "binaryData") or {}
    plain = item.get("stringData" if kind == "secret" else "data") or {}
    files = {key: base64.b64decode(text) for key, text in coded.items()}
    return files | {key: text.encode() for key, text in plain.items()}


def status_body(pods: Sequence[Json]) -> list[Json]:
    """Return the body of /status: what identifies each pod, without anyone's environment.

    An annotation says that one that was deleted lately is asked for too: for what it used.
    """
    bodies = [_identity(pod) for pod in pods]
    return [
        {**body, "metadata": {**body["metadata"], "annotations": {ANNOTATION: "wanted"}}}
        for body in bodies
    ]


def _identity(pod: Json) -> Json:
    """Return a v1.Pod with only its identity and its containers' names."""
    meta, spec = pod["metadata"], pod.get("spec") or {}
    return {
        "metadata": {key: meta[key] for key in ("name", "namespace", "uid") if key in meta},
        "spec": {
            kind: [{"name": container["name"]} for container in spec[kind]]
            for kind in ("initContainers", "containers")
            if spec.get(kind)
        },
    }


def logs_body(pod: Json, container: str, tail: int, *, follow: bool = False) -> Json:
    """Return the body of /getLogs; `tail` 0 asks for all lines."""
    meta = pod["metadata"]
    return {
        "Namespace": meta.get("namespace", "default"),
        "PodUID": meta["uid"],
        "PodName": meta["name"],
        "ContainerName": container,
        "Opts": {
            "Tail": tail,
            "Bytes": 0,
            "Timestamps": False,
            "Follow": follow,
            "Previous": False,
            "SinceSeconds": 0,
            "SinceTime": "0001-01-01T00:00:00Z",
        },
    }
