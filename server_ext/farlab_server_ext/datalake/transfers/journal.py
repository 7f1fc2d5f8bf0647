"""The transfers on disk, so that a killed server comes back with every one of them.

One SQLite file that only this user can read. It holds no token. Calls block for as long as a local
disk takes; they are few, and small.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import count
from pathlib import Path

from .model import File, Transfer, file_as_json, file_from_json, restored, stored

SCHEMA = """
create table if not exists transfers (id text primary key, content text not null);
create table if not exists files (
    transfer text not null, number integer not null, content text not null,
    primary key (transfer, number)
);
"""


class Journal:
    """The file; it is opened for each call, and may lie where another process looks too."""

    def __init__(self, path: Path) -> None:
        self._lock: int | None = None
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # SQLite gives its side files the mode of the file itself.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._path = path
        with closing(self._open()) as database, database:
            database.executescript(SCHEMA)

    def put(self, transfer: Transfer, numbers: Iterable[int] | None = None) -> None:
        """Write a transfer and those of its files, or all of them."""
        wanted = range(len(transfer.files)) if numbers is None else numbers
        rows = [(transfer.id, n, json.dumps(file_as_json(transfer.files[n]))) for n in wanted]
        with closing(self._open()) as database, database:
            row = (transfer.id, json.dumps(stored(transfer)))
            database.execute("insert or replace into transfers values (?, ?)", row)
            database.executemany("insert or replace into files values (?, ?, ?)", rows)

    def take(self) -> bool:
        """Say whether it is this server's alone from now on, until it is closed or killed."""
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def close(self) -> None:
        """Leave it to the next server."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def forget(self, identifier: str) -> None:
        """Remove a transfer."""
        with closing(self._open()) as database, database:
            database.execute("delete from files where transfer = ?", (identifier,))
            database.execute("delete from transfers where id = ?", (identifier,))

    def read(self) -> list[Transfer]:
        """Return all transfers, the oldest first."""
        files: dict[str, list[File]] = {}
        with closing(self._open()) as database:
            listed = database.execute(
                "select transfer, content from files order by transfer, number"
            )
            for identifier, content in listed:
                files.setdefault(identifier, []).append(file_from_json(json.loads(content)))
            found = database.execute("select content from transfers").fetchall()
        contents = [json.loads(content) for (content,) in found]
        transfers = [restored(one, files.get(one["id"], [])) for one in contents]
        return sorted(transfers, key=lambda transfer: transfer.created)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30)


def own_journal(folder: Path) -> Journal:
    """Return the folder's first journal that no other server of this user writes."""
    for number in count():
        path = folder / (f"transfers-{number}.sqlite" if number else "transfers.sqlite")
        journal = Journal(path)
        if journal.take():
            return journal
    raise AssertionError
