"""Where the plugin keeps things, and who may look: the layout below `folder` in plugin.yaml.

farlab.sqlite3     the pods, 0600
plugin.lock        held by the one plugin that uses this folder
requests/UID.json  a pod that is being submitted, with its secrets; gone once it is
jobs/UID/          a job's folder, which belongs to its account, 0700
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farlab_sites.plugin.config import ConfigError
from farlab_sites.plugin.job.processes import write_atomically

# Accounts may pass through but not look around.
PASSABLE = 0o711
# Without root an account makes its job's folder itself; like /tmp, but nobody can list it.
SHARED = 0o1733


def write_files(folder: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Make a private folder with files in it: relative path to content and mode.

    Raises:
        FileExistsError: the folder is there already.

    """
    folder.mkdir(mode=0o700)
    for name, (content, mode) in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
        path.chmod(mode)


class Folders:
    """The plugin's folders; made on first use."""

    def __init__(self, top: Path, *, accounts: bool) -> None:
        """Take the top folder, and whether jobs may run as accounts other than the plugin's."""
        self.top = top
        self.database = top / "farlab.sqlite3"
        self.jobs = top / "jobs"
        self._requests = top / "requests"
        shared = SHARED if accounts and os.geteuid() != 0 else PASSABLE
        self._modes = {
            top: PASSABLE if accounts else 0o700,
            self.jobs: shared if accounts else 0o700,
            self._requests: 0o700,
        }
        self._lock: int | None = None

    def make(self) -> None:
        """Make what is missing, and keep every other plugin out.

        Raises:
            ConfigError: the folder cannot be used.

        """
        try:
            for path, mode in self._modes.items():
                path.mkdir(mode=mode, parents=True, exist_ok=True)
                path.chmod(mode)
            self._lock = os.open(self.top / "plugin.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"folder: {self.top} cannot be used: {error.strerror}; name a folder of the"
                " plugin's own"
            ) from None
        self._take_lock()

    def _take_lock(self, patience: float = 5) -> None:
        # A plugin that was killed a moment ago may still be going away.
        assert self._lock is not None  # noqa: S101
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise ConfigError(
                        f"folder: {self.top} is in use by another plugin: stop that one, or give"
                        " this one a folder of its own"
                    ) from None
            time.sleep(0.05)

    def close(self) -> None:
        """Let another plugin in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def job(self, uid: str) -> Path:
        """Return the folder of a job; the uid is a UUID, so the path stays inside."""
        return self.jobs / uid

    def keep_request(self, uid: str, body: dict[str, Any]) -> None:
        """Keep a request until its job is submitted, on disk before this returns."""
        write_atomically(self._requests / f"{uid}.json", json.dumps(body), sync=True)

    def request(self, uid: str) -> dict[str, Any] | None:
        """Return a kept request."""
        try:
            body: dict[str, Any] = json.loads((self._requests / f"{uid}.json").read_text())
        except FileNotFoundError:
            return None
        return body

    def drop_request(self, uid: str) -> None:
        """Remove a kept request; no error when it is gone."""
        (self._requests / f"{uid}.json").unlink(missing_ok=True)

    def drop_requests_except(self, uids: set[str]) -> None:
        """Remove what a crash left behind."""
        for path in self._requests.iterdir():
            if path.stem not in uids:
                path.unlink()
