"""The pods that the plugin knows, on disk: written before a job is submitted.

A row holds no secret: the request itself waits in a private file until the job is submitted.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

Stage = Literal["submitting", "unsure", "submitted", "ended", "deleting"]
"""How far a pod is. `unsure`: the batch system did not answer when it was handed over."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pods (
    uid TEXT PRIMARY KEY,
    stage TEXT NOT NULL,
    job_id TEXT NOT NULL DEFAULT '',
    record TEXT NOT NULL,
    answer TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS gone (
    uid TEXT PRIMARY KEY,
    job_id TEXT NOT NULL,
    record TEXT NOT NULL,
    answer TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
"""

KEPT = 86400.0  # seconds for which it is known of a deleted pod what it used


@dataclass(frozen=True)
class Record:
    """One pod: what never changes (`pod`, `account`, `job`) and how far it is."""

    uid: str
    stage: Stage
    pod: dict[str, Any]  # metadata and container names, without any variable
    account: str | None
    folder: str
    job: dict[str, Any]  # the numbers that a driver needs
    job_id: str = ""
    answer: dict[str, Any] | None = field(default=None)  # its last status, once it has ended


class Store:
    """The database; every change outlives the plugin's death once the method returns.

    A power cut may take back the last seconds: waiting for the disk at each change would make
    every other pod wait too, and Slurm itself does not.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        self._known = {record.uid: record for record in self._read()}

    def _read(self) -> Iterator[Record]:
        for uid, stage, job_id, record, answer in self._db.execute(
            "SELECT uid, stage, job_id, record, answer FROM pods"
        ):
            yield Record(
                uid=uid,
                stage=stage,
                job_id=job_id,
                answer=json.loads(answer) if answer else None,
                **json.loads(record),
            )

    def get(self, uid: str) -> Record | None:
        """Return a pod, None if it is not known."""
        return self._known.get(uid)

    def all(self) -> list[Record]:
        """Return every pod."""
        return list(self._known.values())

    def add(self, record: Record) -> None:
        """Keep a new pod."""
        self._db.execute(
            "INSERT INTO pods (uid, stage, job_id, record) VALUES (?, ?, ?, ?)",
            (record.uid, record.stage, record.job_id, _fixed(record)),
        )
        self._known[record.uid] = record
        self._db.execute("DELETE FROM gone WHERE uid = ?", (record.uid,))

    def bury(self, record: Record) -> None:
        """Keep for a while how a pod ended, for those who ask after its deletion."""
        now = time.time()
        self._db.execute("DELETE FROM gone WHERE at < ?", (now - KEPT,))
        self._db.execute(
            "INSERT INTO gone (uid, job_id, record, answer, at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (uid) DO UPDATE SET answer = excluded.answer",
            (record.uid, record.job_id, _fixed(record), json.dumps(record.answer), now),
        )

    def gone(self, uid: str) -> Record | None:
        """Return a pod that was deleted lately, None if it is not known."""
        found = self._db.execute("SELECT job_id, record, answer FROM gone WHERE uid = ?", (uid,))
        for job_id, record, answer in found:
            told = json.loads(answer)
            return Record(uid=uid, stage="ended", job_id=job_id, answer=told, **json.loads(record))
        return None

    def update(
        self,
        uid: str,
        stage: Stage,
        *,
        job_id: str | None = None,
        answer: dict[str, Any] | None = None,
    ) -> Record:
        """Note how far a pod is; what is not given stays."""
        old = self._known[uid]
        new = replace(
            old,
            stage=stage,
            job_id=old.job_id if job_id is None else job_id,
            answer=old.answer if answer is None else answer,
        )
        text = json.dumps(new.answer) if new.answer else None
        self._db.execute(
            "UPDATE pods SET stage = ?, job_id = ?, answer = ? WHERE uid = ?",
            (new.stage, new.job_id, text, uid),
        )
        self._known[uid] = new
        return new

    def remove(self, uid: str) -> None:
        """Forget a pod."""
        self._db.execute("DELETE FROM pods WHERE uid = ?", (uid,))
        self._known.pop(uid, None)

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _fixed(record: Record) -> str:
    """Return what never changes of a pod."""
    return json.dumps({key: getattr(record, key) for key in ("pod", "account", "folder", "job")})
