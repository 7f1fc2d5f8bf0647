"""How one record adds to the sums: pure functions of the record alone.

The sums can so be made anew at any time, and a corrected record replaces what it had added
before. Everything that lasts is split at midnight (UTC) in proportion to the time; workloads and
their waits count on the day of their end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from .records import MEASURED, UsageRecord

DAY = 86400
MS = 1000
IDLE = 0.05
"""Below this share of its cores' time, a job with GPUs counts as idle."""

Key = tuple[str, int, str, str, str, str]
"""Owner, day since the epoch, group, site, profile, kind."""
Sums = Counter[str]

_EPOCH = date(1970, 1, 1)


def day_of(when: float) -> int:
    """Return the day of a time, in days since the epoch (UTC)."""
    return int(when // DAY)


def month_of(day: int) -> int:
    """Return the month of a day as 12 x year + month - 1."""
    when = _EPOCH + timedelta(days=day)
    return when.year * 12 + when.month - 1


def day_name(day: int) -> str:
    """Return a day as people write it: 2026-11-26."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def month_name(month: int) -> str:
    """Return a month as people write it: 2026-11."""
    return f"{month // 12:04}-{month % 12 + 1:02}"


def split(start: float, end: float) -> Iterator[tuple[int, int]]:
    """Yield each day of a run and its milliseconds in it."""
    begin, stop = round(start * MS), round(end * MS)
    while begin < stop:
        day = begin // (DAY * MS)
        until = min(stop, (day + 1) * DAY * MS)
        yield day, until - begin
        begin = until


def added(record: UsageRecord, until: float | None = None) -> dict[Key, Sums]:
    """Return what a record adds to each day: up to its end, or to `until` while it lives."""
    end = record.ended if record.ended is not None else until
    if end is None:
        return {}
    found: dict[int, Sums] = {}
    pieces = list(split(record.started, end)) if record.started is not None else []
    wall = sum(piece for _, piece in pieces)
    done = 0
    for day, piece in pieces:
        sums = found[day] = Counter()
        for name, total in _totals(record, wall).items():
            sums[name] = total * (done + piece) // wall - total * done // wall
        done += piece
    last = found.setdefault(day_of(max(end, record.started or 0.0)), Counter())
    last["workloads"] += 1
    last["failed"] += record.state == "failed"
    last["wait_ms"] += round(record.wait_s * MS)
    return {_key(record, day): sums for day, sums in found.items()}


def _key(record: UsageRecord, day: int) -> Key:
    return record.owner, day, record.vo, record.site, record.profile, record.kind


def _totals(record: UsageRecord, wall: int) -> dict[str, int]:
    """Return what is split over the days, for a run of so many milliseconds."""
    core, gpu = round(record.cores * wall), round(record.gpus * wall)
    mwh = round((record.energy_kwh or 0.0) * 1e6)
    known = record.cpu_s is not None
    return {
        "core_ms": core,
        "gpu_ms": gpu,
        "idle_gpu_ms": gpu if is_idle(record, wall) else 0,
        "cpu_ms": round((record.cpu_s or 0.0) * MS),
        "known_core_ms": core if known else 0,
        "mib_s": record.memory * wall // (2**20 * MS),
        "measured_mwh": mwh if record.energy_source == MEASURED else 0,
        "estimated_mwh": mwh if record.energy_source != MEASURED else 0,
        "co2e_mg": round((record.co2e_g or 0.0) * 1000),
    }


def is_idle(record: UsageRecord, wall: int) -> bool:
    """Say whether a job held GPUs and did next to nothing, as far as its CPU time tells."""
    used = record.cpu_s
    return bool(record.gpus) and used is not None and used * MS < IDLE * record.cores * wall


def difference(old: UsageRecord | None, new: UsageRecord) -> dict[Key, Sums]:
    """Return what must be added so that the sums hold `new` where they held `old`."""
    changed = {key: Counter(sums) for key, sums in added(new).items()}
    for key, sums in (added(old) if old is not None else {}).items():
        changed.setdefault(key, Counter()).subtract(sums)
    return {key: sums for key, sums in changed.items() if any(sums.values())}


def together(parts: Iterable[dict[Key, Sums]]) -> dict[Key, Sums]:
    """Return the sum of several of them."""
    whole: dict[Key, Sums] = {}
    for part in parts:
        for key, sums in part.items():
            # Not `update`'s sum of positives: a correction takes out as well.
            held = whole.setdefault(key, Counter())
            for name, amount in sums.items():
                held[name] += amount
    return whole
