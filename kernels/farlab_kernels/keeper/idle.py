"""Whether a kernel does anything: a site may want its node back when it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable

_LOOKS = 20
"""How often it is looked during the time that a kernel may do nothing."""


async def until_idle(limit: float, busy: Callable[[], bool], count: Callable[[], Hashable]) -> None:
    """Return when for `limit` seconds the kernel was not `busy` and `count` stayed as it was.

    Time that passes while the process is stopped, as on a laptop that sleeps, counts for nothing.
    """
    seen, idle, step = count(), 0.0, limit / _LOOKS
    while idle < limit:
        before = time.monotonic()
        await asyncio.sleep(step)
        if busy() or count() != seen:
            seen, idle = count(), 0.0
        else:
            idle += min(time.monotonic() - before, 2 * step)


def words(seconds: float) -> str:
    """Return a time span as a person says it."""
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= size:
            number = round(seconds / size, 1)
            return f"{number:g} {unit}" + ("" if number == 1 else "s")
    return f"{seconds:g} second" + ("" if seconds == 1 else "s")
