"""What the hub service knows: workloads, their events, and what changes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .states import ENDED, State

SERVER = "server"


@dataclass(frozen=True)
class NewWorkload:
    """A workload that is asked for: a pod, and whose it is.

    `secret_sha256` is the hash of what its agent proves itself with, `key` what a kernel's clients
    do: kept by the service, for the owner alone.
    """

    uid: str
    owner: str
    groups: Sequence[str]
    kind: str
    site: str
    profile: str
    pod: Mapping[str, Any]
    secrets: Sequence[Mapping[str, Any]]
    ports: Sequence[int]
    secret_sha256: str
    configmaps: Sequence[Mapping[str, Any]] = ()
    server_name: str = ""
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""


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
    kind: str  # server or kernel
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
    name: str = ""  # what its owner calls it; empty for a server
    options: Mapping[str, Any] = field(default_factory=dict)  # what else was chosen
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

    @property
    def port(self) -> int | None:
        """The port of this host that leads to the workload's first one."""
        return next(iter(self.listeners.values()), None) or None


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


def clock_and_day(when: float) -> str:
    """Return a time as a person far from this host reads it, such as 2026-11-26 14:05 UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(when))
