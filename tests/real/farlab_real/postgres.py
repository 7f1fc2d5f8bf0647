"""A PostgreSQL server of the tests' own: in a temporary folder, reached by a socket in it.

    with RunningPostgres() as database:
        create_engine(database.url)

It runs as Debian's user `postgres` where the tests are root, because it refuses to be root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from farlab_real.processes import Process, wait_until

USER = "postgres"


class RunningPostgres:
    """A server with an empty database. It can be stopped and started again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="farlab-pg-"))
        self._data = self.folder / "data"
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER, USER)
            self._as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        self._programs = _programs()
        initdb = [str(self._programs / "initdb"), f"--pgdata={self._data}", f"--username={USER}"]
        initdb += ["--auth=trust", "--no-sync", "--locale=C.UTF-8", "--encoding=UTF8"]
        subprocess.run([*self._as_user, *initdb], check=True, capture_output=True, cwd=self.folder)
        # It listens at no port: two tests can't get in each other's way.
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-F"]
        command += ["-k", str(self.folder), "-c", "listen_addresses="]
        self._process = Process([*self._as_user, *command], self.folder / "postgres.log")

    @property
    def url(self) -> str:
        """The database's address for SQLAlchemy."""
        return f"postgresql+psycopg://{USER}@/postgres?host={self.folder}"

    def start(self) -> Self:
        """Start the server, and return when it takes connections."""
        self._process.start()
        ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self.folder)]
        wait_until(
            lambda: subprocess.run(ready, check=False).returncode == 0,
            "PostgreSQL",
            self._process.read_log,
        )
        return self

    def kill(self) -> None:
        """End the server with all its connections at once, as a crash would."""
        if self._process.running:
            pg_ctl = [str(self._programs / "pg_ctl"), "stop", "-D", str(self._data)]
            command = [*self._as_user, *pg_ctl, "-m", "immediate"]
            subprocess.run(command, check=True, capture_output=True, cwd=self.folder)
        self._process.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder)


def _programs() -> Path:
    """Return where Debian has the newest version's programs, which are not in the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    if not found:
        raise RuntimeError("PostgreSQL is missing: run `make test`, or install postgresql")
    return found[-1]
