"""Starts a kernel's process: with few imports, so that it can be done before all else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from farlab_kernels.keeper import memory

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
_NOT_FOR_KERNELS = ("FARLAB_KERNEL_KEY", "FARLAB_FIRST_CELL")


class Launched(NamedTuple):
    """A process that was started; `base` is what the paths of its sockets begin with.

    `killed_before`: how many processes of this job the system had killed by then.
    """

    process: subprocess.Popen[bytes]
    base: Path
    killed_before: int


def launch(folder: Path, number: int, key: str, environment: Mapping[str, str]) -> Launched:
    """Start the kernel of that number, in a process group of its own.

    Its connection file and its sockets lie in the private `folder`; `key` signs its messages.
    """
    base = folder / f"kernel-{number}"
    file = base.with_suffix(".json")
    ports: dict[str, str | int] = {f"{name}_port": at for at, name in enumerate(CHANNELS, 1)}
    about = {"transport": "ipc", "ip": str(base), "key": key, "signature_scheme": "hmac-sha256"}
    file.write_text(json.dumps({**about, **ports}))
    kept = {name: value for name, value in environment.items() if name not in _NOT_FOR_KERNELS}
    kept |= {"JPY_PARENT_PID": str(os.getpid()), "FARLAB_KERNEL_FOLDER": str(folder)}
    # -P: what lies in the working folder must not stand in for the kernel's own modules.
    command = [sys.executable, "-P", "-m", "farlab_kernels.keeper.kernel", "-f", str(file)]
    killed_before = memory.kills()
    process = subprocess.Popen(command, env=kept, stdin=subprocess.DEVNULL, start_new_session=True)
    return Launched(process, base, killed_before)
