"""The demo's DataLake: a real Rucio with a small made-up climate, on this machine alone."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from farlab_real.go_builds import has_versitygw
from farlab_real.rucio_conf import VENV
from farlab_real.tutorial_lake import RSES, TutorialLake

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("memcached", "postgresql")
ACCOUNT_MAX = 20
"""Letters of an account's name: Rucio allows 25 for that of its scope, which begins with `user.`"""


def start_lake(stack: ExitStack, folder: Path) -> TutorialLake | None:
    """Start the DataLake; None, after saying why, where that cannot be."""
    if not (VENV / "bin/gunicorn").exists():
        print("DataLake: left out, Rucio is not installed; run: make .venv-rucio/.stamp")
        return None
    with_store = has_versitygw()
    if not with_store:
        print(
            "DataLake: without its S3 store; with Go, tests/real/farlab_real/go_builds.py builds it"
        )
    try:
        _install()
        print("DataLake: starting Rucio ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        lake = stack.enter_context(TutorialLake(folder, with_store=with_store))
        for rse in RSES:
            lake.rse_folder(rse).chmod(0o777)  # results come from users' own accounts
        return lake
    except (subprocess.CalledProcessError, OSError, RuntimeError, AssertionError) as error:
        print(f"DataLake: left out, Rucio could not be installed or started: {error}")
        return None


def _install() -> None:
    """Install its Debian packages where they are missing and this is root."""
    missing = not shutil.which("memcached") or not [*Path("/usr/lib/postgresql").glob("*/bin")]
    if missing and os.geteuid() != 0:
        raise RuntimeError(f"the Debian packages {' and '.join(PACKAGES)} are needed")
    if missing:
        command = [str(REPOSITORY / "tests/real/install-packages"), *PACKAGES]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def account_of(name: str) -> str:
    """Return the Rucio account of a user, whose name is letters, digits and dashes already."""
    if len(name) <= ACCOUNT_MAX and name != "root":
        return name
    return f"{name[: ACCOUNT_MAX - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
