"""What a pod uses: CPU seconds and memory of all its processes."""

from __future__ import annotations

import os
import resource
import time
from typing import Any

from farlab_sites.plugin.job.processes import cpu_seconds, descendants, resident_memory

FIRST, SAMPLE = 1.0, 15.0  # seconds between looks: short ones at first, then ever longer
SHORTEST = 0.2  # seconds over which cores in use mean something


class Meter:
    """Measures the processes below this one, which also collects those that lost their parent."""

    def __init__(self) -> None:
        self.cpu = 0.0
        self.memory = 0
        self.peak = 0
        self.cores = 0.0
        self.at = time.time()
        self._next, self._pause = 0.0, FIRST
        self._before = (time.monotonic(), 0.0)

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() >= self._next

    def look(self) -> None:
        """Measure now."""
        now = time.monotonic()
        living = descendants(os.getpid())
        own = resource.getrusage(resource.RUSAGE_SELF)
        past = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = sum((own.ru_utime, own.ru_stime, past.ru_utime, past.ru_stime))
        self.cpu = max(self.cpu, total + cpu_seconds(living))
        self.memory = resident_memory([os.getpid(), *living])
        self.peak = max(self.peak, self.memory, past.ru_maxrss << 10)
        then, cpu = self._before
        if now - then >= SHORTEST:
            self.cores = (self.cpu - cpu) / (now - then)
            self._before = (now, self.cpu)
        self.at, self._next = time.time(), now + self._pause
        self._pause = min(2 * self._pause, SAMPLE)

    def report(self) -> dict[str, Any]:
        """Return what was measured last: seconds, bytes, and cores in use since the look before."""
        return {
            "cpu_s": round(self.cpu, 3),
            "cores": round(self.cores, 3),
            "memory": self.memory,
            "peak_memory": self.peak,
            "at": self.at,
        }
