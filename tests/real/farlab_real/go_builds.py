"""Build the servers of the tests that are Go programs, once per machine; standard library only.

    python3 tests/real/farlab_real/go_builds.py

prints their paths. A cold build of the control plane takes four to six minutes on two cores. The
binaries lie in $XDG_CACHE_HOME/farlab (~/.cache/farlab) under names made from everything that goes
into them, so that no clone builds what another one has built.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "control_plane"
INPUTS = ("go.mod", "go.sum", "main.go")
KUBERNETES = "v1.34.4"  # the binary says so: programs decide by it what the API server can do
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
INSTALL = "install Go 1.24 or newer (https://go.dev/dl)"


class BuildError(RuntimeError):
    """The binary can't be built; the message says why."""


def control_plane() -> Path:
    """Return the Kubernetes control plane's binary; build it first when this machine has none."""
    inputs = b"\0".join([KUBERNETES.encode(), *((SOURCE / name).read_bytes() for name in INPUTS)])
    return _built("control-plane", inputs, _build_control_plane)


def versitygw() -> Path:
    """Return the S3 server's binary; build it first when this machine has none."""
    return _built("versitygw", VERSITYGW.encode(), _build_versitygw)


def has_versitygw() -> bool:
    """Tell whether the S3 server is built, for those who would not wait for it."""
    return _go() is not None and _target("versitygw", VERSITYGW.encode()).exists()


def cache_folder() -> Path:
    """Return the folder that keeps built binaries; it outlives the clone."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "farlab"


def _built(name: str, inputs: bytes, build: Callable[[str, Path], None]) -> Path:
    go = _go()
    if go is None:
        raise BuildError(f"{name}, a server of the tests, needs the command go: {INSTALL}")
    target = _target(name, inputs)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(f"{name}.lock")):
        if not target.exists():  # someone else may have built it while we waited
            build(go, target)
    return target


def _go() -> str | None:
    return shutil.which("go")


def _target(name: str, inputs: bytes) -> Path:
    version = subprocess.run(["go", "version"], capture_output=True, check=True).stdout
    return cache_folder() / f"{name}-{hashlib.sha256(version + inputs).hexdigest()[:16]}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock in a file: one process of the machine at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go by the system if this process dies
        yield


def _build_control_plane(go: str, target: Path) -> None:
    part = target.with_suffix(".part")
    argv = ["build", "-mod=readonly", "-ldflags", _link_flags(), "-o", str(part), "."]
    _run(go, argv, {}, SOURCE)
    part.rename(target)


def _build_versitygw(go: str, target: Path) -> None:
    folder = target.with_suffix(".part")
    env = {"GOBIN": str(folder), "GOFLAGS": ""}
    _run(go, ["install", "-ldflags", "-s -w", VERSITYGW], env, target.parent)
    (folder / "versitygw").rename(target)
    folder.rmdir()


def _run(go: str, words: list[str], env: dict[str, str], folder: Path) -> None:
    argv = [go, words[0], "-p", "2", "-trimpath", *words[1:]]
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, "CGO_ENABLED": "0", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-20:])
        raise BuildError(f"`{' '.join(argv)}` in {folder} failed ({INSTALL}):\n{end}")


def _link_flags() -> str:
    package = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    facts = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {package}.{key}={value}" for key, value in facts.items())])


def main() -> int:
    """Build what is missing and say where it is."""
    for build in (control_plane, versitygw):
        start = time.monotonic()
        try:
            path = build()
        except BuildError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{path} (ready after {time.monotonic() - start:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
