"""What a workload's job is started with, tokens included: on disk only until its site has it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


class Vault:
    """One file for each workload that its site does not have yet, for this account's eyes only.

    Beside the database, not in it: a deleted row leaves its bytes behind, and a database may be
    on another machine.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def put(self, uid: str, submission: Mapping[str, Any]) -> None:
        """Keep a submission so that it outlives this process and the machine's power."""
        descriptor = os.open(self._file(uid), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(submission, file)
            file.flush()
            os.fsync(file.fileno())

    def get(self, uid: str) -> dict[str, Any] | None:
        """Return a submission; None when it is not there, or not whole."""
        try:
            submission: dict[str, Any] = json.loads(self._file(uid).read_text())
        except (OSError, ValueError):
            return None
        return submission

    def drop(self, uid: str) -> None:
        """Remove a submission that is needed no more."""
        self._file(uid).unlink(missing_ok=True)

    def keep(self, uids: Collection[str]) -> None:
        """Remove every submission but these."""
        for file in self._folder.glob("*.json"):
            if file.stem not in uids:
                file.unlink()

    def _file(self, uid: str) -> Path:
        return self._folder / f"{uid}.json"
