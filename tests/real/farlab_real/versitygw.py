"""versitygw, a real S3 server: buckets are folders, objects are plain files in them.

    with RunningVersitygw(folder) as s3:
        s3.endpoint, s3.key, s3.secret, s3.bucket("results")

Its one binary is built from a pinned version, once per machine (see `control_plane_build`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from farlab_real.control_plane_build import BuildError, cache_folder, locked
from farlab_real.processes import Process, free_ports

MODULE = "github.com/versity/versitygw/cmd/versitygw"
VERSION = "v1.8.0"
KEY, SECRET = "farlab-test-key", "a-secret-of-the-tests"
REGION = "us-east-1"


class RunningVersitygw:
    """A server over one folder; it can be stopped and started again."""

    key, secret, region = KEY, SECRET, REGION

    def __init__(self, folder: Path, *, more: Mapping[str, str] | None = None) -> None:
        self.data = folder / "buckets"
        self.data.mkdir(parents=True)
        self._port = free_ports(1)[0]
        self.endpoint = f"http://127.0.0.1:{self._port}"
        argv = [str(binary()), "--port", f"127.0.0.1:{self._port}", "--region", REGION]
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


def binary() -> Path:
    """Return the server's binary; build it first when this machine has none."""
    go = shutil.which("go")
    if go is None:
        raise BuildError(
            "the test S3 server needs Go: install Go 1.24 or newer (https://go.dev/dl)"
        )
    version = subprocess.run([go, "version"], capture_output=True, check=True).stdout
    key = hashlib.sha256(version + f"{MODULE}@{VERSION}".encode()).hexdigest()[:16]
    target = cache_folder() / f"versitygw-{key}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name("versitygw.lock")):
        if not target.exists():
            _build(go, target)
    return target


def _build(go: str, target: Path) -> None:
    folder = target.with_suffix(".part")
    environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0", "GOFLAGS": ""}
    argv = [go, "install", "-p", "2", "-trimpath", "-ldflags", "-s -w", f"{MODULE}@{VERSION}"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"`go install {MODULE}@{VERSION}` failed:\n{done.stderr[-2000:]}")
    (folder / "versitygw").rename(target)
    folder.rmdir()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
