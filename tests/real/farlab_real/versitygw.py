"""versitygw, a real S3 server: buckets are folders, objects are plain files in them.

    with RunningVersitygw(folder) as s3:
        s3.endpoint, s3.key, s3.secret, s3.bucket("results")

Its one binary is built from a pinned version, once per machine (see `go_builds`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from farlab_real import go_builds
from farlab_real.processes import Process, free_ports

KEY, SECRET = "farlab-key", "a-secret-of-the-tests"
REGION = "us-east-1"


class RunningVersitygw:
    """A server over one folder; it can be stopped and started again."""

    key, secret, region = KEY, SECRET, REGION

    def __init__(self, folder: Path, *, more: Mapping[str, str] | None = None) -> None:
        self.data = folder / "buckets"
        self.data.mkdir(parents=True)
        self._port = free_ports(1)[0]
        self.endpoint = f"http://127.0.0.1:{self._port}"
        argv = [str(go_builds.versitygw()), "--port", f"127.0.0.1:{self._port}", "--region", REGION]
        environment = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET, **(more or {})}
        self.process = Process(
            [*argv, "posix", str(self.data)], folder / "s3.log", {**os.environ, **environment}
        )

    def bucket(self, name: str) -> Path:
        """Make a bucket, and return its folder: what lies in there are its objects."""
        (self.data / name).mkdir(exist_ok=True)
        return self.data / name

    def start(self) -> Self:
        """Start it, and return when it takes connections."""
        self.process.start()
        self.process.wait_until(lambda: _answers(self._port), "versitygw")
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.stop()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
