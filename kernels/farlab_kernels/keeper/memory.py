"""How much memory this job may use, and whether the system killed something for using more.

Both are read from the job's control group (version 2 or 1), as the Linux kernel documents them.
Where there is none, the answers are None and 0.
"""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60


def _files(name2: str, name1: str) -> list[Path]:
    """Return where a file of this process's control group may be, the likeliest place first."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if "memory" in controllers.split(","):
            found += [_ROOT / "memory" / group.lstrip("/") / name1, _ROOT / "memory" / name1]
        elif not controllers:
            # Inside a container the group's path may be the host's.
            found += [_ROOT / group.lstrip("/") / name2, _ROOT / name2]
    return found


def _read(name2: str, name1: str) -> str:
    for path in _files(name2, name1):
        try:
            return path.read_text()
        except OSError:
            continue
    return ""


def kills() -> int:
    """Return how many processes of this job the system has killed for want of memory."""
    for line in _read("memory.events", "memory.oom_control").splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return 0


def limit() -> int | None:
    """Return the bytes that this job may use, or None for no limit."""
    text = _read("memory.max", "memory.limit_in_bytes").strip()
    if not text.isdigit() or int(text) > _UNLIMITED:
        return None
    return int(text)


def free() -> int | None:
    """Return the bytes that this job can still use, None where that is not known."""
    found = []
    for line in _lines(Path("/proc/meminfo")):
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            found.append(int(rest.split()[0]) * 1024)
    most, used = limit(), _read("memory.current", "memory.usage_in_bytes").strip()
    if most is not None and used.isdigit():
        found.append(max(0, most - int(used) + _cached()))
    return min(found, default=None)


def _cached() -> int:
    """Return the bytes of files that this job's memory holds, and the system can drop."""
    for line in _read("memory.stat", "memory.stat").splitlines():
        name, _, size = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(size)
    return 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def words(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
