"""What the hub service is told and what it tells: requests, workloads, their events."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .states import ENDED, State

NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"  # a Kubernetes object's name


def _printable(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        msg = "must not hold control characters"
        raise ValueError(msg)
    return text


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        msg = "must be a UUID such as 123e4567-e89b-42d3-a456-426614174000"
        raise ValueError(msg) from None


UserName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]
Word = Annotated[str, Field(max_length=255), AfterValidator(_printable)]
Uid = Annotated[str, Field(max_length=64), AfterValidator(_uuid)]
Port = Annotated[int, Field(ge=1, le=65535)]


class PodMetadata(BaseModel):
    """The part of v1.ObjectMeta that a plugin knows a pod by."""

    model_config = ConfigDict(extra="allow")
    name: str = Field(pattern=NAME)
    namespace: str = Field(pattern=NAME)
    uid: str = ""
    annotations: dict[str, str] | None = None


def _named(container: object) -> bool:
    return isinstance(container, dict) and isinstance(container.get("name"), str)


class Pod(BaseModel):
    """The part of v1.Pod that this service reads; the rest passes as it is."""

    model_config = ConfigDict(extra="allow")
    metadata: PodMetadata
    spec: dict[str, Any]

    @model_validator(mode="after")
    def _has_containers(self) -> Pod:
        containers = self.spec.get("containers")
        if not isinstance(containers, list) or not containers or not all(map(_named, containers)):
            msg = "spec.containers must be a list of containers with names"
            raise ValueError(msg)
        return self


class Named(BaseModel):
    """A v1.Secret or v1.ConfigMap: its name is read, the rest passes as it is."""

    model_config = ConfigDict(extra="allow")

    class Metadata(BaseModel):
        """The part of v1.ObjectMeta that a pod refers to."""

        model_config = ConfigDict(extra="allow")
        name: str = Field(pattern=NAME)

    metadata: Metadata


class WorkloadRequest(BaseModel):
    """The body of POST /api/workloads."""

    model_config = ConfigDict(extra="forbid")
    uid: Uid
    owner: UserName
    groups: list[Word] = Field(default=[], max_length=1000)
    server_name: Word = ""
    kind: Literal["server"] = "server"
    site: Word
    profile: Word
    pod: Pod
    secrets: list[Named] = Field(default=[], max_length=16)
    configmaps: list[Named] = Field(default=[], max_length=16)
    ports: list[Port] = Field(default=[8888], min_length=1, max_length=8)
    secret_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _one_uid(self) -> WorkloadRequest:
        if self.pod.metadata.uid not in ("", self.uid):
            msg = "pod.metadata.uid must be the workload's uid"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class Event:
    """One thing that happened to a workload; `time` in seconds since the epoch."""

    seq: int
    time: float
    state: State
    reason: str
    message: str


@dataclass(frozen=True)
class Change:
    """What is newly known about a workload; None leaves a field as it is."""

    state: State | None = None
    reason: str | None = None
    message: str | None = None
    job_id: str | None = None
    node: str | None = None
    deadline: float | None = None
    log_tail: str | None = None
    exit_code: int | None = None


@dataclass(frozen=True)
class Workload:
    """One pod at a site. Times in seconds since the epoch; `deadline` is the walltime's end."""

    uid: str
    owner: str
    server_name: str
    kind: str
    site: str
    profile: str
    account: str | None
    state: State
    reason: str
    message: str
    job_id: str
    node: str
    address: str
    listeners: Mapping[int, int]  # the workload's port -> this host's port
    secret_sha256: str
    pod: Mapping[str, Any]  # enough of the pod to ask its plugin about it
    created: float
    updated: float
    walltime: float | None  # seconds
    deadline: float | None = None
    log_tail: str = ""
    exit_code: int | None = None
    agent: str = ""  # the instance of the first agent that came with the secret
    tries: int = 0  # how often its pod was sent to the plugin
    submitted: bool = False  # the plugin has answered with a job id
    cleaned: bool = False  # ended, and nothing of it is left at the site
    seq: int = 0  # of the newest event
    events: tuple[Event, ...] = field(default=())

    @property
    def ended(self) -> bool:
        """True when nothing more will happen to it."""
        return self.state in ENDED

    @property
    def containers(self) -> list[str]:
        """The names of its containers, the main one first, then the init containers."""
        spec = self.pod.get("spec", {})
        return [c["name"] for c in [*spec["containers"], *(spec.get("initContainers") or [])]]

    def differs(self, change: Change) -> bool:
        """Say whether `change` tells anything new."""
        return any(
            new is not None and new != getattr(self, name) for name, new in vars(change).items()
        )

    def public(self) -> dict[str, Any]:
        """Return what the API shows of it."""
        hidden = ("secret_sha256", "pod", "agent", "tries", "submitted", "walltime", "listeners")
        shown = {name: value for name, value in vars(self).items() if name not in hidden}
        shown["port"] = next(iter(self.listeners.values()), None)
        shown["events"] = [vars(event) for event in self.events]
        return shown


def reference(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a pod that its plugin needs to be asked about it (no env, no volumes)."""

    def names(key: str) -> list[dict[str, Any]]:
        containers = pod["spec"].get(key) or []
        return [{"name": c["name"], "image": c.get("image", "")} for c in containers]

    kept = ("name", "namespace", "uid", "annotations")
    metadata = {key: pod["metadata"][key] for key in kept}
    spec = {key: names(key) for key in ("containers", "initContainers") if pod["spec"].get(key)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def now() -> float:
    """Return the time in seconds since the epoch."""
    return time.time()


def clock(when: float) -> str:
    """Return a time as a person reads it on this host's clock, such as 14:05:09."""
    return time.strftime("%H:%M:%S", time.localtime(when))
