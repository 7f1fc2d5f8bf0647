"""Build the test control plane's one binary, once per machine; standard library only.

    python3 tests/real/farlab_real/control_plane_build.py

prints the binary's path. A cold build takes four to six minutes on two cores. The binary lies in
$XDG_CACHE_HOME/farlab (~/.cache/farlab) under a name made from everything that goes into it, so
that no clone builds what another one has built.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "control_plane"
INPUTS = ("go.mod", "go.sum", "main.go")
VERSION = "v1.34.4"  # the binary says so: programs decide by it what the API server can do
INSTALL = "install Go 1.24 or newer (https://go.dev/dl), or set KUBECONFIG to a cluster of yours"


class BuildError(RuntimeError):
    """The binary can't be built; the message says why."""


def binary() -> Path:
    """Return the control plane's binary; build it first when this machine has none."""
    go = shutil.which("go")
    if go is None:
        raise BuildError(
            f"the test control plane needs the command go, which is missing: {INSTALL}"
        )
    target = cache_folder() / f"control-plane-{_key(go)}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name("control-plane.lock")):
        if not target.exists():  # someone else may have built it while we waited
            _build(go, target)
    return target


def cache_folder() -> Path:
    """Return the folder that keeps built binaries; it outlives the clone."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "farlab"


def _key(go: str) -> str:
    version = subprocess.run([go, "version"], capture_output=True, check=True).stdout
    hashed = hashlib.sha256(version)
    for name in INPUTS:
        content = (SOURCE / name).read_bytes()
        hashed.update(b"%s %d\n" % (name.encode(), len(content)) + content)
    return hashed.hexdigest()[:16]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock in a file: one process of the machine at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go by the system if this process dies
        yield


def _build(go: str, target: Path) -> None:
    part = target.with_suffix(".part")
    argv = [go, "build", "-p", "2", "-mod=readonly", "-trimpath", "-ldflags", _link_flags()]
    done = subprocess.run(
        [*argv, "-o", str(part), "."],
        cwd=SOURCE,
        env={**os.environ, "CGO_ENABLED": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-20:])
        raise BuildError(f"`go build` in {SOURCE} failed ({INSTALL}):\n{end}")
    part.rename(target)


def _link_flags() -> str:
    package = "k8s.io/component-base/version"
    major, minor, _ = VERSION.removeprefix("v").split(".")
    facts = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {package}.{key}={value}" for key, value in facts.items())])


def main() -> int:
    """Build when needed and say which it was."""
    start = time.monotonic()
    try:
        path = binary()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path} (ready after {time.monotonic() - start:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
