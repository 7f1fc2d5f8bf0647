"""What was published, and what is on its way: one SQLite file beside the hub's database.

A message is noted before it is delivered, with its text; what was noted and not delivered goes
first at the next start. A record is noted with a digest of its text: only what has changed since
is sent again.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Self

from .items import Item, Refusal

FILE = "publication.sqlite"
_KNOWN = "SELECT key, digest FROM records WHERE scope = ? AND key IN"
_TABLES = """
CREATE TABLE IF NOT EXISTS scopes (
    scope INTEGER PRIMARY KEY, target TEXT, month TEXT, UNIQUE (target, month)
);
CREATE TABLE IF NOT EXISTS records (
    scope INTEGER, key TEXT, digest BLOB, PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE, target TEXT, month TEXT, records INTEGER,
    text TEXT, place TEXT, sent REAL
);
CREATE INDEX IF NOT EXISTS unsent ON messages (target, number) WHERE sent IS NULL;
CREATE INDEX IF NOT EXISTS by_month ON messages (month, target);
CREATE TABLE IF NOT EXISTS rejected (
    target TEXT, month TEXT, key TEXT, field TEXT, value TEXT, words TEXT, fix TEXT,
    PRIMARY KEY (target, month, key, field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (target TEXT PRIMARY KEY, at REAL, words TEXT);
"""


class StateError(Exception):
    """The state can't be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that was noted and is not known to be delivered."""

    id: str
    target: str
    month: str
    text: str
    place: str
    """Where in a queue it goes; empty elsewhere."""


Dated = tuple[Item, bytes]
"""A record with the digest of its text."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A message that is to be noted: as its way has staged it, and the records in it."""

    id: str
    text: str
    place: str
    items: Sequence[Dated]


@dataclass(frozen=True)
class Published:
    """How far a month is with one target."""

    target: str
    month: str
    records: int
    """Records as the target has them: a record that was sent twice counts once."""
    messages: int
    waiting: int
    last_sent: float | None
    rejected: tuple[Refusal, ...]
    failure: str
    """Why the last try failed; empty after one that did not."""


class State:
    """The file, for one publisher at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(folder / "publication.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            msg = f"another `farlab account` publishes from {folder}: let it end first"
            raise StateError(msg) from None
        path = folder / FILE
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()
        os.close(self._lock)

    def _scope(self, target: str, month: str) -> int:
        """Return the number of a target's month: a million records need not spell it out."""
        asked = (target, month)
        query = "SELECT scope FROM scopes WHERE target = ? AND month = ?"
        found = self._db.execute(query, asked).fetchone()
        if found is None:
            with self._db:
                self._db.execute("INSERT INTO scopes (target, month) VALUES (?, ?)", asked)
            found = self._db.execute(query, asked).fetchone()
        return int(found[0])

    def changed(self, target: str, month: str, items: Sequence[Item]) -> list[Dated]:
        """Return those of some records that were not noted yet as they are now."""
        keys = [item.key for item in items]
        marks = ",".join("?" * len(keys))
        asked = (self._scope(target, month), *keys)
        known = dict(self._db.execute(f"{_KNOWN} ({marks})", asked))
        dated = ((item, _digest(item.text)) for item in items)
        return [(item, digest) for item, digest in dated if known.get(item.key) != digest]

    def note(self, target: str, month: str, batches: Iterable[Batch]) -> None:
        """Note messages, each with the records in it, before they are delivered."""
        scope = self._scope(target, month)
        with self._db:
            for batch in batches:
                self._db.execute(
                    "INSERT INTO messages (id, target, month, records, text, place) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (batch.id, target, month, len(batch.items), batch.text, batch.place),
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO records VALUES (?, ?, ?)",
                    [(scope, item.key, digest) for item, digest in batch.items],
                )

    def waiting(self, target: str, limit: int) -> list[Waiting]:
        """Return the oldest messages that are not delivered."""
        found = self._db.execute(
            "SELECT id, target, month, text, place FROM messages "
            "WHERE target = ? AND sent IS NULL ORDER BY number LIMIT ?",
            (target, limit),
        )
        return [Waiting(*row) for row in found]

    def sent(self, messages: Iterable[str]) -> None:
        """Note that messages are delivered; their text is not kept."""
        now = time.time()
        with self._db:
            self._db.executemany(
                "UPDATE messages SET sent = ?, text = NULL WHERE id = ?",
                ((now, message) for message in messages),
            )

    def forget(self, target: str, month: str) -> None:
        """Forget what was sent of a month, so that all of it is sent again."""
        with self._db:
            self._db.execute("DELETE FROM records WHERE scope = ?", (self._scope(target, month),))

    def reject(self, target: str, month: str, refusals: Iterable[Refusal]) -> None:
        """Note which records of a month were not sent, instead of those noted before."""
        with self._db:
            self._db.execute("DELETE FROM rejected WHERE target = ? AND month = ?", (target, month))
            self._db.executemany(
                "INSERT OR REPLACE INTO rejected VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (target, month, one.key, one.field, one.value, one.words, one.fix)
                    for one in refusals
                ),
            )

    def failed(self, target: str, words: str) -> None:
        """Note why a target could not be reached; with no words, that it could."""
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?)", (target, time.time(), words)
            )

    def last_month(self, target: str) -> str | None:
        """Return the newest month of which something was noted."""
        query = "SELECT max(month) FROM messages WHERE target = ?"
        found: tuple[str | None] = self._db.execute(query, (target,)).fetchone()
        return found[0]


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def publication(folder: Path, months: Iterable[str]) -> list[Published]:
    """Return how far each of these months (2026-10) is with each target; for a health page.

    Reads the file beside a publisher that writes it; there is none before the first publication.
    """
    path = folder / FILE
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [one for month in months for one in _published(db, month)]


_COUNTS = """
SELECT target, sum(sent IS NOT NULL), sum(sent IS NULL), max(sent)
FROM messages WHERE month = ? GROUP BY target
"""


def _published(db: sqlite3.Connection, month: str) -> Iterator[Published]:
    counted = {row[0]: row[1:] for row in db.execute(_COUNTS, (month,))}
    refusals: dict[str, list[Refusal]] = {}
    for target, *rest in db.execute(
        "SELECT target, key, field, value, words, fix FROM rejected WHERE month = ?", (month,)
    ):
        refusals.setdefault(target, []).append(Refusal(*rest))
    failures = dict(db.execute("SELECT target, words FROM failures"))
    for target in sorted(counted.keys() | refusals.keys()):
        sent, waiting, last = counted.get(target, (0, 0, None))
        query = "SELECT count(*) FROM records NATURAL JOIN scopes WHERE target = ? AND month = ?"
        (records,) = db.execute(query, (target, month)).fetchone()
        rejected = tuple(refusals.get(target, ()))
        failure = failures.get(target, "")
        yield Published(target, month, records, sent, waiting, last, rejected, failure)
