"""Fetch and build the tests' OpenID Connect provider, once per machine; standard library only.

    python3 tests/real/farlab_real/keycloak_build.py

prints its folder. Keycloak comes from Maven Central through Maven itself. It lies beside the tests'
other servers (see `go_builds`), ready to start: nothing is fetched or built while tests run. With
it lies a database in which it has made its tables, which takes a third of a first start.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for when this is run as a program

from farlab_real.go_builds import BuildError, cache_folder, locked

VERSION = "26.4.5"
ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
OPTIONS = ("--db=dev-file", "--health-enabled=false", "--metrics-enabled=false")
DATABASE = "keycloakdb"
PASSWORD = "a-password-of-the-tests"
# Less work for the compiler: a provider of the tests lives for minutes.
JAVA = "-XX:ActiveProcessorCount=2 -XX:TieredStopAtLevel=1"
FIRST_START_S = 300
ATTEMPTS = 3  # a registry may be busy for a moment


def keycloak() -> Path:
    """Return the folder of a Keycloak that can start; fetch and build it when there is none."""
    made_with = hashlib.sha256(" ".join([*OPTIONS, DATABASE, PASSWORD]).encode()).hexdigest()
    target = cache_folder() / f"keycloak-{VERSION}-{made_with[:16]}"
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
    _make_tables(unpacked)
    unpacked.rename(target)
    part.rmdir()


def start_command(keycloak: Path, folder: Path) -> list[str]:
    """Return how to start it with its database in a folder of its own."""
    database = f"--db-url=jdbc:h2:file:{folder}/{DATABASE};NON_KEYWORDS=VALUE"
    start = ["start", "--optimized", "--cache=local", "--http-host=127.0.0.1", database]
    return ["bash", str(keycloak / "bin/kc.sh"), *start]


def environment() -> dict[str, str]:
    """Return what it runs with; the first start makes the account `admin`."""
    return {
        **os.environ,
        "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
        "JAVA_OPTS_APPEND": JAVA,
        "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
        "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
    }


def _make_tables(unpacked: Path) -> None:
    """Start it once on an empty database, which stays."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = start_command(unpacked, unpacked)
    command += ["--http-enabled=true", f"--http-port={port}", "--hostname-strict=false"]
    log = unpacked / "first-start.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    deadline = time.monotonic() + FIRST_START_S
    try:
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                end = log.read_text(errors="replace")[-4000:]
                raise BuildError(f"Keycloak does not start:\n{end}")
            time.sleep(0.5)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/realms/master", timeout=30).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


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
