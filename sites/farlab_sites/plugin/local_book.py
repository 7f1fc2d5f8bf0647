"""What the local driver remembers: which job is where in the queue, and what it occupies."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

Stage = Literal["queued", "starting", "started", "ended"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL UNIQUE,
    entry TEXT NOT NULL
) STRICT
"""


@dataclass(frozen=True)
class Entry:
    """One job; `number` is its id and its place in the order of arrival."""

    uid: str
    account: str | None
    folder: str
    cpus: int
    gpus: int
    grace: int  # seconds that it may take to end
    number: int = 0
    stage: Stage = "queued"
    devices: tuple[int, ...] = ()  # the GPUs that it has
    mark: dict[str, Any] = field(default_factory=dict)  # what its runner said of itself
    submitted_at: float | None = None  # epoch seconds
    started_at: float | None = None
    finished_at: float | None = None
    reason: str = ""
    message: str = ""


class Book:
    """The entries, on disk when a method returns."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(_SCHEMA)
        rows = self._db.execute("SELECT number, entry FROM jobs ORDER BY number")
        entries = [_entry(number, json.loads(text)) for number, text in rows]
        self.entries = {entry.uid: entry for entry in entries}

    def add(self, entry: Entry) -> Entry:
        """Put a job at the end of the queue."""
        cursor = self._db.execute(
            "INSERT INTO jobs (uid, entry) VALUES (?, ?)", (entry.uid, _text(entry))
        )
        entry = replace(entry, number=cursor.lastrowid or 0)
        self.entries[entry.uid] = entry
        return entry

    def change(self, uid: str, **fields: Any) -> Entry:
        """Note what changed of a job."""
        entry = replace(self.entries[uid], **fields)
        self._db.execute("UPDATE jobs SET entry = ? WHERE uid = ?", (_text(entry), uid))
        self.entries[uid] = entry
        return entry

    def remove(self, uid: str) -> None:
        """Forget a job."""
        self._db.execute("DELETE FROM jobs WHERE uid = ?", (uid,))
        self.entries.pop(uid, None)

    def at(self, *stages: Stage) -> list[Entry]:
        """Return the jobs in these stages, in their order of arrival."""
        found = [entry for entry in self.entries.values() if entry.stage in stages]
        return sorted(found, key=lambda entry: entry.number)

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _text(entry: Entry) -> str:
    return json.dumps({key: value for key, value in asdict(entry).items() if key != "number"})


def _entry(number: int, fields: dict[str, Any]) -> Entry:
    return Entry(number=number, **{**fields, "devices": tuple(fields["devices"])})


@dataclass(frozen=True)
class Places:
    """What the machine has for jobs."""

    cpus: int
    gpus: int

    def free(self, running: Iterable[Entry]) -> tuple[int, list[int]]:
        """Return how many CPUs and which GPUs nobody has."""
        running = list(running)
        taken = {device for entry in running for device in entry.devices}
        devices = [device for device in range(self.gpus) if device not in taken]
        return self.cpus - sum(entry.cpus for entry in running), devices

    def next(self, running: Iterable[Entry], queued: Iterable[Entry]) -> Entry | None:
        """Return the job to start now, with its GPUs: in order of arrival, nobody overtakes."""
        cpus, devices = self.free(running)
        first = next(iter(queued), None)
        if first is None or first.cpus > cpus or first.gpus > len(devices):
            return None
        return replace(first, devices=tuple(devices[: first.gpus]))
