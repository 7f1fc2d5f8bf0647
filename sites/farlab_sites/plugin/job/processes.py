"""Processes as Linux shows them, without any library."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 20.0  # seconds for killed processes to disappear
STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
SIGNALS = STOPS | {signal.SIGCHLD}


def write_atomically(path: Path, text: str, *, sync: bool = False) -> None:
    """Replace a private file so that a reader sees the old or the new text, never a part."""
    handle, name = tempfile.mkstemp(dir=str(path.parent))
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink()
        raise


def process_stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; empty when there is no process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return []


def start_time(pid: int) -> str:
    """Return when a living process started, in clock ticks after boot; empty when it is dead."""
    fields = process_stat(pid)
    return fields[19] if fields and fields[0] not in "ZX" else ""


def node_name() -> str:
    """Return this machine's name: the batch system's for it, which users know, where it has one."""
    return os.environ.get("SLURMD_NODENAME") or os.uname().nodename


def boot_id() -> str:
    """Return the kernel's id of this boot: a process id means something only within one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def processes() -> list[int]:
    """Return the ids of all processes."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def descendants(root: int) -> list[int]:
    """Return every living process below `root`."""
    children: dict[int, list[int]] = {}
    for pid in processes():
        fields = process_stat(pid)
        if fields and fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(pid)
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def private_memory(pids: list[int]) -> int:
    """Return the bytes that these processes hold for themselves alone."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{pid}/statm").read_text().split()
            pages += int(fields[1]) - int(fields[2])
    return pages * os.sysconf("SC_PAGE_SIZE")


def resident_memory(pids: list[int]) -> int:
    """Return the bytes of memory that these processes have, what they share counted each time."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU seconds of living processes, and of those children that they collected."""
    ticks = 0
    for pid in pids:
        fields = process_stat(pid)
        if len(fields) > 14:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def oom_kills() -> int:
    """Return how many processes the kernel has ended on this machine for want of memory."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def signal_quietly(pid: int, number: int, group: bool = False) -> None:
    """Send a signal to a process or its group, which may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        (os.killpg if group else os.kill)(pid, number)


def kill_group(pid: int) -> None:
    """Kill a child that began with `fresh_session`, and what it has started."""
    signal_quietly(pid, signal.SIGKILL)  # it may not have made its group yet
    signal_quietly(pid, signal.SIGKILL, group=True)


def fresh_session() -> None:
    """Prepare a child: its own session and group, no blocked signal."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def run_quietly(argv: list[str]) -> None:
    """Run a command whose outcome changes nothing, for at most a minute."""
    if argv:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(argv, capture_output=True, timeout=60, check=False)


def end_all(find: Callable[[], list[int]], reap: Callable[[], None] | None = None) -> None:
    """Kill processes until none are found any more."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = find()
        if not found:
            return
        for pid in found:
            signal_quietly(pid, signal.SIGKILL)
        time.sleep(0.02)
        if reap:
            reap()
