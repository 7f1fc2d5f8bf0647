"""The keeper's command line: `python -m farlab_kernels.keeper --port {port:9000}`.

It is what a kernel workload's agent starts. Environment: FARLAB_KERNEL_KEY, the key that every
client must have (the kernel does not get it); FARLAB_DEADLINE, when the job ends (seconds since
1970); FARLAB_IDLE, after how many seconds of doing nothing it ends; FARLAB_FIRST_CELL, a folder
with a cell to begin with (first.py); TMPDIR, below which its private folder lies. Exit codes: 0 the
kernel was shut down, 1 it died and nobody restarted it, or could not be started; 2 wrong use; 79 it
did nothing for too long; 143 told to end (SIGTERM).
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from farlab_kernels.keeper.keys import LEAST_KEY, message_key
from farlab_kernels.keeper.launch import launch

_LONGEST_FOLDER = 80  # a socket's path has at most 107 bytes

log = logging.getLogger("farlab_kernels.keeper")


class UseError(Exception):
    """The keeper can't run like this; says what to do."""


def check(environment: Mapping[str, str]) -> str:
    """Return the key. Raises UseError when something is missing."""
    missing = [name for name in ("zmq", "ipykernel") if importlib.util.find_spec(name) is None]
    if missing:
        raise UseError(
            f"this image has no {' and no '.join(missing)} in its Python ({sys.executable}, "
            f"{sys.version.split()[0]}): install them with `{sys.executable} -m pip install "
            "'farlab[job]'`, or choose an image that has them"
        )
    key = environment.get("FARLAB_KERNEL_KEY", "")
    if len(key) < LEAST_KEY:
        raise UseError(f"FARLAB_KERNEL_KEY must be set to at least {LEAST_KEY} characters")
    return key


def private_folder() -> Path:
    """Make a folder that nobody else may enter, whose path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="farlab-kernel-"))
    if len(os.fsencode(folder)) <= _LONGEST_FOLDER:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="farlab-kernel-", dir="/tmp"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line program."""
    parser = argparse.ArgumentParser(prog="python -m farlab_kernels.keeper", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the loopback port to listen on")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="farlab-keeper: %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        key = check(os.environ)
    except UseError as error:
        log.error("%s", error)
        return 2
    folder = private_folder()
    try:
        launched = launch(folder, 1, message_key(key), os.environ)
        # Only now: while the kernel starts, which takes longest, the keeper imports the rest.
        import asyncio  # noqa: PLC0415

        from farlab_kernels.keeper.serving import keep  # noqa: PLC0415

        return asyncio.run(keep(key, options.port, folder, launched))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
