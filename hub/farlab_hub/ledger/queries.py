"""What the ledger answers: sums by day, month, site and so on, from the rollup and what lives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sqlalchemy import Connection, Select, and_, func, select

from . import writing
from .ledger import live_until
from .records import ESTIMATED, MEASURED, MIXED, UsageRecord
from .rollup import added, day_name, month_name, month_of
from .tables import DayRow, GroupDayRow, MonthRow, table_of
from .writing import MEASURES

By = Literal["day", "month", "site", "profile", "kind", "user", "group"]
HOUR_MS = 3_600_000

_TIMES = frozenset({"day", "month"})
_COLUMN = {"site": "site", "profile": "profile", "kind": "kind", "user": "owner", "group": "vo"}


@dataclass(frozen=True)
class Whose:
    """Whose usage is meant; None: everyone's. Both: what that user used in that group."""

    owner: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Span:
    """Whole days (UTC), since the epoch; the last one is included."""

    first: int
    last: int

    @property
    def is_months(self) -> bool:
        """Whether it begins and ends with a month."""
        return all(
            month_of(day) != month_of(other)
            for day, other in ((self.first, self.first - 1), (self.last, self.last + 1))
        )


@dataclass(frozen=True)
class Used:
    """What was used, for one value of each of the dimensions that were asked for."""

    key: tuple[str, ...]
    core_hours: float
    gpu_hours: float
    memory_gib_hours: float
    wait_hours: float
    cpu_hours: float
    efficiency: float | None
    """CPU time per core time, of the workloads whose CPU time is known."""
    idle_gpu_hours: float
    workloads: int
    failed: int
    energy_kwh: float | None
    energy_source: str
    co2e_g: float | None


def usage(
    connection: Connection, span: Span, by: Sequence[By], whose: Whose, now: float
) -> tuple[list[Used], Used]:
    """Return what was used by each of these dimensions, and in total."""
    sums = _ended(connection, span, by, whose)
    for key, amounts in _living(live(connection, whose), span, by, now):
        held = sums.setdefault(key, Counter())
        for name, amount in amounts.items():
            held[name] += amount
    total: Counter[str] = Counter()
    for amounts in sums.values():
        for name, amount in amounts.items():
            total[name] += amount
    rows = [used(key, amounts) for key, amounts in sorted(sums.items()) if any(amounts.values())]
    return rows, used((), total)


def used(key: tuple[str, ...], sums: Counter[str]) -> Used:
    """Return sums in the units that people read."""
    energy = sums["measured_mwh"] + sums["estimated_mwh"]
    known = sums["known_core_ms"]
    return Used(
        key=key,
        core_hours=sums["core_ms"] / HOUR_MS,
        gpu_hours=sums["gpu_ms"] / HOUR_MS,
        memory_gib_hours=sums["mib_s"] / 1024 / 3600,
        wait_hours=sums["wait_ms"] / HOUR_MS,
        cpu_hours=sums["cpu_ms"] / HOUR_MS,
        efficiency=sums["cpu_ms"] / known if known else None,
        idle_gpu_hours=sums["idle_gpu_ms"] / HOUR_MS,
        workloads=sums["workloads"],
        failed=sums["failed"],
        energy_kwh=energy / 1e6 if energy else None,
        energy_source=_source(sums),
        co2e_g=sums["co2e_mg"] / 1000 if sums["co2e_mg"] else None,
    )


def _source(sums: Counter[str]) -> str:
    if sums["measured_mwh"] and sums["estimated_mwh"]:
        return MIXED
    if sums["measured_mwh"]:
        return MEASURED
    return ESTIMATED if sums["estimated_mwh"] else ""


def _ended(
    connection: Connection, span: Span, by: Sequence[By], whose: Whose
) -> dict[tuple[str, ...], Counter[str]]:
    time, columns, query = _query(span, by, whose)
    wanted = [(name, columns.index(_COLUMN.get(name, time))) for name in by]
    count = len(columns)
    found: dict[tuple[str, ...], list[int]] = {}
    for row in connection.execute(query):
        key = tuple(
            _time_name(name, time, row[at]) if name in _TIMES else row[at] for name, at in wanted
        )
        amounts = [int(value or 0) for value in row[count:]]
        held = found.get(key)
        if held is not None:
            amounts = [one + other for one, other in zip(held, amounts, strict=True)]
        found[key] = amounts
    return {key: Counter(dict(zip(MEASURES, sums, strict=True))) for key, sums in found.items()}


def _query(
    span: Span, by: Sequence[By], whose: Whose
) -> tuple[str, list[str], Select[tuple[Any, ...]]]:
    """Return what the table's time is called, the columns before the sums, and the query.

    It asks the smallest table that can answer.
    """
    months = span.is_months and "day" not in by and whose.owner is None
    if months and {"user", "month"} & {*by}:
        table, time = table_of(MonthRow), "month"
    elif whose.owner is not None or "user" in by:
        table, time = table_of(DayRow), "day"
    else:
        table, time = table_of(GroupDayRow), "day"
    first, last = (month_of(day) if time == "month" else day for day in (span.first, span.last))
    within = [table.c[time] >= first, table.c[time] <= last]
    within += [table.c.owner == whose.owner] if whose.owner is not None else []
    within += [table.c.vo == whose.group] if whose.group is not None else []
    names = [_COLUMN[name] for name in by if name in _COLUMN]
    names += [time] if _TIMES & {*by} else []
    dimensions = [table.c[name] for name in names]
    sums = [func.sum(table.c[name]) for name in MEASURES]
    return time, names, select(*dimensions, *sums).where(and_(*within)).group_by(*dimensions)


@cache
def _time_name(dimension: str, time: str, value: int) -> str:
    if dimension == "day":
        return day_name(value)
    return month_name(value if time == "month" else month_of(value))


def _living(
    records: Iterable[UsageRecord], span: Span, by: Sequence[By], now: float
) -> Iterable[tuple[tuple[str, ...], Counter[str]]]:
    for record in records:
        for (owner, day, vo, site, profile, kind), sums in added(
            record, live_until(record, now)
        ).items():
            if not span.first <= day <= span.last:
                continue
            values = {"site": site, "profile": profile, "kind": kind, "user": owner, "group": vo}
            values |= {"day": day_name(day), "month": month_name(month_of(day))}
            yield tuple(values[dimension] for dimension in by), sums


def live(connection: Connection, whose: Whose) -> list[UsageRecord]:
    """Return the records of what has not ended."""
    columns = writing.RECORDS.c
    query = select(*writing.COLUMNS).where(columns.ended.is_(None))
    if whose.owner is not None:
        query = query.where(columns.owner == whose.owner)
    if whose.group is not None:
        query = query.where(columns.vo == whose.group)
    return [writing.record_of(row) for row in connection.execute(query)]
