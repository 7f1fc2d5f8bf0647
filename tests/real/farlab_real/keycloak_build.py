"""Fetch and build the tests' OpenID Connect provider, once per machine; standard library only.

    python3 tests/real/farlab_real/keycloak_build.py

prints its folder. Keycloak comes from Maven Central through Maven itself. It lies beside the tests'
other servers (see `go_builds`), ready to start: nothing is fetched or built while tests run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for when this is run as a program

from farlab_real.go_builds import BuildError, cache_folder, locked

VERSION = "26.4.5"
ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
# Its database in memory: a provider of the tests forgets everything when it ends.
OPTIONS = ("--db=dev-mem", "--health-enabled=false", "--metrics-enabled=false")
ATTEMPTS = 3  # a registry may be busy for a moment


def keycloak() -> Path:
    """Return the folder of a Keycloak that can start; fetch and build it when there is none."""
    target = cache_folder() / f"keycloak-{VERSION}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name("keycloak.lock")):
        if not target.exists():  # someone else may have built it while we waited
            _build(target)
    return target


def _build(target: Path) -> None:
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}"]
    _patiently([*copy, f"-DoutputDirectory={part}"])
    archive = part / f"keycloak-quarkus-dist-{VERSION}.zip"
    with zipfile.ZipFile(archive) as content:
        content.extractall(part)
    archive.unlink()
    unpacked = part / f"keycloak-{VERSION}"
    _run(["bash", str(unpacked / "bin/kc.sh"), "build", *OPTIONS])
    unpacked.rename(target)
    part.rmdir()


def _patiently(argv: list[str]) -> None:
    for attempt in range(ATTEMPTS):
        try:
            return _run(argv)
        except BuildError:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(5)


def _run(argv: list[str]) -> None:
    try:
        done = subprocess.run(
            argv,
            env={**os.environ, "JAVA_OPTS_APPEND": "-XX:ActiveProcessorCount=2"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise BuildError(f"{argv[0]} is missing: apt-get install maven") from error
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-20:])
        raise BuildError(f"`{' '.join(argv)}` failed (it needs Java 17 or newer):\n{end}")


def main() -> int:
    """Build it if it is missing, and say where it is."""
    start = time.monotonic()
    try:
        path = keycloak()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path} (ready after {time.monotonic() - start:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
