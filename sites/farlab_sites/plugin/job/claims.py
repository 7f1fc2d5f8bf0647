"""The file `started`: which process runs a pod, decided once and for all."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from farlab_sites.plugin.job.processes import (
    boot_id,
    end_all,
    node_name,
    processes,
    run_quietly,
    signal_quietly,
    start_time,
    write_atomically,
)


def claim(folder: Path, pid: int) -> bool:
    """Make the file, whole and only once; False when another process was first.

    A pid of 0 stands for a pod that was ended before it started.
    """
    mark = {
        "pid": pid,
        "start": start_time(pid) if pid else "",
        "boot": boot_id(),
        "node": node_name(),
        "job_id": os.environ.get("SLURM_JOB_ID") or os.environ.get("FARLAB_JOB_ID") or str(pid),
    }
    draft = folder / f"started.{os.getpid()}"
    write_atomically(draft, json.dumps(mark))
    try:
        os.link(str(draft), str(folder / "started"))
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def claimed(folder: Path) -> dict[str, Any]:
    """Return what the file says; empty when no process has claimed the pod."""
    try:
        mark = json.loads((folder / "started").read_text())
    except FileNotFoundError:
        return {}
    return dict(mark)


def alive(mark: dict[str, Any]) -> bool:
    """Tell whether the process that claimed a pod lives, on this machine and since this boot."""
    return bool(
        mark.get("pid") and mark["boot"] == boot_id() and start_time(mark["pid"]) == mark["start"]
    )


def strays(uid: str) -> list[int]:
    """Return this account's processes that carry the pod's uid in their first environment."""
    needle = f"FARLAB_POD_UID={uid}".encode()
    found = []
    for pid in processes():
        try:
            if (
                pid != os.getpid()
                and Path(f"/proc/{pid}").stat().st_uid == os.getuid()
                and needle in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                and start_time(pid)
            ):
                found.append(pid)
        except OSError:
            continue
    return found


def kill(folder: Path, uid: str, grace: float, mark: dict[str, Any]) -> None:
    """End a pod: its runner first, which ends the containers in peace, then what is left.

    `mark` says which process runs it where the folder does not tell.
    """
    if folder.is_dir() and not claim(folder, 0):
        mark = mark or claimed(folder)
    until = time.monotonic() + grace + 10
    if alive(mark):
        signal_quietly(mark["pid"], signal.SIGTERM)
    while alive(mark) and time.monotonic() < until:
        time.sleep(0.02)
    if alive(mark):
        signal_quietly(mark["pid"], signal.SIGKILL)
    _clean_up(folder)
    end_all(lambda: strays(uid))


def _clean_up(folder: Path) -> None:
    """Do what a runner that was killed can do no more: remove its containers from the engine."""
    try:
        pod = json.loads((folder / "pod.json").read_text())
        if json.loads((folder / "status.json").read_text())["ended"]:
            return
    except FileNotFoundError:
        return
    for container in (*pod["init"], *pod["containers"]):
        run_quietly(container["cleanup"])
