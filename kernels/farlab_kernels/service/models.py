"""What the service says of workloads; what a newer service says besides is not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

ENDED = frozenset({"finished", "failed", "cancelled"})


@dataclass(frozen=True)
class Workload:
    """A workload. Times in seconds since 1970; `key` is a kernel's, for its owner."""

    uid: str
    name: str = ""
    kind: str = ""
    site: str = ""
    profile: str = ""
    state: str = ""
    reason: str = ""
    message: str = ""
    job_id: str = ""
    node: str = ""
    created: float = 0.0
    updated: float = 0.0
    deadline: float | None = None
    log_tail: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    key: str = field(default="", repr=False)

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Self:
        """Read the service's answer."""
        known = {name.name for name in fields(cls)}
        return cls(**{name: value for name, value in said.items()
                      if name in known and value is not None})  # fmt: skip

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ENDED

    @property
    def words(self) -> str:
        """Say how it is, and why."""
        return _words(self.state, self.reason, self.message)


@dataclass(frozen=True)
class Event:
    """One change of a workload; `seq` counts them."""

    seq: int
    state: str
    reason: str = ""
    message: str = ""
    time: float = 0.0

    @classmethod
    def parse(cls, said: Mapping[str, Any], seq: int = 0) -> Self:
        """Read an event, as the service's stream has it."""
        return cls(
            int(said.get("seq", seq)),
            str(said.get("state", "")),
            str(said.get("reason") or ""),
            str(said.get("message") or ""),
            float(said.get("time") or 0),
        )

    @property
    def ended(self) -> bool:
        """Whether it is the last one."""
        return self.state in ENDED

    @property
    def words(self) -> str:
        """Say how the workload is, and why."""
        return _words(self.state, self.reason, self.message)


def _words(state: str, reason: str, message: str) -> str:
    if reason and message and reason not in message:
        return f"{reason}: {message}"
    return message or reason or state
