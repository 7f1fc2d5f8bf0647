"""What one job really used, as its batch system or its runner tells it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

ANNOTATION = "farlab/usage"
"""Annotation of a pod on a virtual node: its job's final usage as JSON."""


class UsageError(ValueError):
    """What was read is no usage; the message names the field."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job was given, and what it used of it. Times in epoch seconds.

    `submitted`, `started` and `ended` are the batch system's. None stands for what nobody knows;
    a job that never started has no `started`.
    """

    job_id: str
    account: str = ""  # the local account
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    cores: float = 0.0  # allocated
    gpus: float = 0.0  # allocated
    gpu_type: str = ""
    memory: int = 0  # bytes, allocated; 0: not limited
    cpu_s: float | None = None  # seconds of CPU used, by all its processes
    peak_memory: int | None = None  # bytes
    energy_j: float | None = None
    state: str = ""  # the batch system's own word, `CANCELLED by 1000`
    exit_code: int | None = None
    source: str = ""  # sacct, runner or kubelet
    final: bool = False  # nothing will be added or corrected any more

    def to_json(self) -> dict[str, Any]:
        """Return the usage as a JSON object; what is not known is left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, said: object) -> Self:
        """Return the usage in a JSON object; keys that a newer site may add are ignored.

        Raises:
            UsageError: a value is not what it should be.

        """
        if not isinstance(said, Mapping):
            raise UsageError("a usage must be a JSON object")
        known = {field.name for field in fields(cls)}
        read: dict[str, Any] = {key: _READ[key](key, said[key]) for key in known & said.keys()}
        if not read.get("job_id"):
            raise UsageError("a usage must name its job: job_id")
        return cls(**read)


def _word(key: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > 256:
        raise UsageError(f"{key} must be a word, not {str(value)[:60]!r}")
    return value


def _truth(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{key} must be true or false, not {str(value)[:60]!r}")
    return value


def _number(key: str, value: object) -> float:
    """Return a finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{key} must be a number, not {str(value)[:60]!r}")
    if not 0 <= value <= 2**63 or not math.isfinite(value):
        raise UsageError(f"{key} can't be {value}")
    return float(value)


def _maybe(key: str, value: object) -> float | None:
    return None if value is None else _number(key, value)


def _bytes(key: str, value: object) -> int:
    return int(_number(key, value))


def _maybe_bytes(key: str, value: object) -> int | None:
    return None if value is None else _bytes(key, value)


def _exit(key: str, value: object) -> int | None:
    """Return an exit code, which some systems give as a negative signal."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not -256 <= value < 2**32:
        raise UsageError(f"{key} must be an exit code, not {str(value)[:60]!r}")
    return value


_READ = {
    **dict.fromkeys(("job_id", "account", "gpu_type", "state", "source"), _word),
    **dict.fromkeys(("submitted", "started", "ended", "cpu_s", "energy_j"), _maybe),
    **dict.fromkeys(("cores", "gpus"), _number),
    "memory": _bytes,
    "peak_memory": _maybe_bytes,
    "exit_code": _exit,
    "final": _truth,
}
