"""What a transfer is: files from a place in one lake to a place in another, and how far they are.

Tokens are in none of this: only when they end. They are asked for when files are started.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

FileState = Literal["waiting", "active", "done", "failed", "cancelled", "expired", "unknown"]
State = Literal["waiting", "active", "done", "partly", "failed", "cancelled", "expired"]
Way = Literal["copy", "stream", "fts", "rule"]

ENDED: frozenset[str] = frozenset({"done", "failed", "cancelled", "expired", "unknown"})
ASSUMED_RATE = 20e6
"""Bytes per second that a transfer is expected to make before it has shown its own rate."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a transfer; the paths are those of its lakes."""

    source: str
    destination: str
    size: int | None = None
    checksum: str | None = None
    state: FileState = "waiting"
    reason: str = ""
    bytes_done: int = 0
    handle: str = ""
    """How the carrier knows it: FTS's job."""
    rate: float = field(default=0.0, compare=False)
    """Bytes per second, at its last sign of life."""

    @property
    def unfinished(self) -> bool:
        """Whether starting the transfer again starts this file."""
        return self.state != "done"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Files on their way from one lake to another."""

    id: str
    way: Way
    source: str
    """Name of the lake where the files are."""
    destination: str
    """Name of the lake where they go."""
    files: tuple[File, ...]
    title: str = ""
    overwrite: bool = False
    renew: bool = True
    """Start what an ended token has stopped by itself, as soon as there is a fresh one."""
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    ends: float | None = None
    """Epoch seconds at which the first of its tokens ends."""
    started: int = 0
    """How often it was started."""

    @property
    def state(self) -> State:
        """The state that its files make."""
        states = {file.state for file in self.files}
        if states & {"active", "unknown"} or ("waiting" in states and "done" in states):
            return "active"
        if "waiting" in states:
            return "waiting"
        for one in ("expired", "failed", "cancelled"):
            if one in states:
                return "partly" if "done" in states and one != "expired" else one
        return "done"

    @property
    def rate(self) -> float:
        """Bytes per second of all its files."""
        return sum(file.rate for file in self.files if file.state == "active")

    @property
    def remaining(self) -> int:
        """Bytes still to be carried, as far as sizes are known."""
        left = [(f.size or 0) - f.bytes_done for f in self.files if f.unfinished]
        return sum(max(0, one) for one in left)

    def outlives(self, now: float) -> bool:
        """Say whether it will probably not be through when its tokens end."""
        if self.ends is None or self.state in ("done", "partly", "failed", "cancelled"):
            return False
        return now + self.remaining / (self.rate or ASSUMED_RATE) > self.ends

    def with_file(self, number: int, **changes: Any) -> Transfer:
        """Return it with one file changed."""
        files = list(self.files)
        files[number] = replace(files[number], **changes)
        return replace(self, files=tuple(files), updated=time.time())

    def as_json(self) -> dict[str, Any]:
        """Return what the API tells of it."""
        sizes = [file.size for file in self.files]
        reasons = [file.reason for file in self.files if file.reason]
        now = time.time()
        return {
            "id": self.id,
            "way": self.way,
            "title": self.title,
            "source": self.source,
            "destination": self.destination,
            "state": self.state,
            "reason": reasons[0] if reasons else "",
            "files_total": len(self.files),
            "files_done": sum(file.state == "done" for file in self.files),
            "bytes_total": None if None in sizes else sum(size or 0 for size in sizes),
            "bytes_done": sum(_carried(file) for file in self.files),
            "rate": self.rate,
            "created": self.created,
            "updated": self.updated,
            "token_ends": self.ends,
            "outlives_token": self.outlives(now),
            "started": self.started,
            "actions": _actions(self.state),
        }


def _carried(file: File) -> int:
    return file.size or file.bytes_done if file.state == "done" else file.bytes_done


def _actions(state: State) -> list[str]:
    """Return what the user can do about a transfer in this state."""
    if state in ("waiting", "active"):
        return ["cancel"]
    return (
        ["retry", "forget"] if state in ("failed", "partly", "cancelled", "expired") else ["forget"]
    )


def file_as_json(file: File) -> dict[str, Any]:
    """Return what the API tells of one file."""
    return asdict(file)


def file_from_json(found: Mapping[str, Any]) -> File:
    """Return a file that was written by `file_as_json`."""
    return File(**found)


def stored(transfer: Transfer) -> dict[str, Any]:
    """Return a transfer without its files, for the journal."""
    found = asdict(transfer)
    del found["files"]
    return found


def restored(found: Mapping[str, Any], files: Sequence[File]) -> Transfer:
    """Return a transfer that was written by `stored`."""
    return Transfer(**found, files=tuple(files))
