"""Budgets: what is used of them, what is left, and when there is room again.

A budget of days counts whole days (UTC), today the last of them; one of hours counts to the
second. What lives holds back what it may still use, so two that are asked for at once can't both
get the last hour.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from farlab_sites.accounting import EVERYONE, Budget, Unit
from sqlalchemy import Connection, func, select

from ..errors import TooManyError
from ..models import clock_and_day
from . import writing
from .ledger import Ledger, live_until
from .records import UsageRecord
from .rollup import DAY, day_of
from .tables import DayRow, GroupDayRow, table_of

HOUR = 3600.0
OPEN_END = HOUR  # what a workload without a walltime holds back, in seconds
WARN = 0.8
RATE_DAYS = 7  # days that "at this rate" is taken from
MOST_COMING = 200  # times that are told
SLACK = 1e-6

Scope = Literal["user", "group"]
State = Literal["ok", "warn", "full"]


@dataclass(frozen=True)
class Share:
    """A budget, and the user or group whose use of it is meant."""

    budget: Budget
    scope: Scope
    subject: str


@dataclass(frozen=True)
class Standing:
    """How a share stands. Amounts in the budget's unit, times in seconds since the epoch."""

    share: Share
    used: float
    held: float
    """What live workloads may still use of it."""
    empty_on: float | None
    room_at: float | None
    """When there is room again; None while there is, and where that can't be told."""
    coming: tuple[tuple[float, float], ...] = ()
    """Times to come, and what will be left then if nothing else is used; if it was asked for."""

    @property
    def budget(self) -> Budget:
        """The budget."""
        return self.share.budget

    @property
    def left(self) -> float:
        """What a new workload may use."""
        return max(0.0, self.budget.amount - self.used - self.held)

    @property
    def state(self) -> State:
        """Whether it is used up, or soon will be."""
        taken = self.used + self.held
        if taken >= self.budget.amount - SLACK:
            return "full"
        return "warn" if taken >= WARN * self.budget.amount else "ok"


@dataclass(frozen=True)
class Demand:
    """What is known of a budget's use: by day, by record where it counts hours, and what lives."""

    days: dict[int, float]
    runs: tuple[tuple[float, float, float], ...]  # begin, end, units an hour
    held: float


def cost(unit: Unit, *, core: float, gpu: float, gib: float, cpu: float | None = None) -> float:
    """Return what some hours cost; CPU time that is not known counts as the cores' time."""
    known = core if cpu is None else cpu
    return unit.core * core + unit.gpu * gpu + unit.gib * gib + unit.cpu * known


def rate(unit: Unit, record: UsageRecord) -> float:
    """Return what an hour of a workload costs, as far as that is known beforehand."""
    return cost(unit, core=record.cores, gpu=record.gpus, gib=record.memory / 2**30)


def matching(
    budgets: Iterable[Budget], *, owner: str | None, groups: Sequence[str], site: str | None = None
) -> Iterator[Share]:
    """Yield the budgets that count for a user, or for a group, and whose use is meant."""
    for budget in budgets:
        if site is not None and budget.sites is not None and site not in budget.sites:
            continue
        if owner is not None and budget.users and {owner, EVERYONE} & {*budget.users}:
            yield Share(budget, "user", owner)
        for group in groups:
            if budget.groups and {group, EVERYONE} & {*budget.groups}:
                yield Share(budget, "group", group)


class Budgets:
    """Says how budgets stand, and refuses what they have no room for."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def standings(
        self,
        budgets: Sequence[Budget],
        now: float,
        *,
        owner: str | None,
        groups: Sequence[str] = (),
        site: str | None = None,
    ) -> list[Standing]:
        """Return how the budgets of a user and of these groups stand."""
        wanted = list(matching(budgets, owner=owner, groups=groups, site=site))

        def work(connection: Connection) -> list[Standing]:
            return [
                standing(connection, share, now) for share in wanted if active(share.budget, now)
            ]

        return await self._ledger.read(work)

    async def of(self, shares: Collection[Share], now: float) -> dict[Share, Standing]:
        """Return how each of these stands, with the room that comes; those that count now."""
        if not shares:
            return {}

        def work(connection: Connection) -> dict[Share, Standing]:
            return {
                share: standing(connection, share, now, coming=True)
                for share in shares
                if active(share.budget, now)
            }

        return await self._ledger.read(work)

    def admit(
        self,
        connection: Connection,
        budgets: Sequence[Budget],
        record: UsageRecord,
        walltime: float | None,
        now: float,
    ) -> None:
        """Raise `TooManyError` when a budget has no room for a new workload."""
        groups = [record.vo] if record.vo else []
        for share in matching(budgets, owner=record.owner, groups=groups, site=record.site):
            if not active(share.budget, now):
                continue
            asked = rate(share.budget.unit, record) * (walltime or OPEN_END) / HOUR
            stands = standing(connection, share, now, asked)
            if asked > SLACK and asked > stands.left + SLACK:
                raise over_budget(stands, asked)


def active(budget: Budget, now: float) -> bool:
    """Say whether a budget counts now: a fixed allocation counts between its days only."""
    if budget.window.seconds is not None:
        return True
    first, last = budget.window.bounds
    return first <= now < last


def over_budget(stands: Standing, asked: float) -> TooManyError:
    """Return the refusal of a workload that a budget has no room for."""
    budget = stands.budget
    share = stands.share
    whose = "you have" if share.scope == "user" else f"the group {share.subject} has"
    unit = budget.unit.name
    msg = f"this may use {asked:.4g} {unit}, and {whose} {stands.left:.4g} left of "
    msg += f"{budget.amount:.4g} ({budget.name}, {budget.window})"
    return TooManyError(msg, refusal_fix(stands, asked), code="over-budget")


def refusal_fix(stands: Standing, asked: float) -> str:
    """Return what to do about a budget without room: when there is some, if that is known."""
    if asked > stands.budget.amount:
        return "Choose less: a shorter time, a smaller size. It is more than the whole budget."
    less = "Choose less, end a workload of yours, or ask the hub's operator."
    if stands.room_at is None:
        return less
    return f"There is room for it from {clock_and_day(stands.room_at)}. {less}"


def standing(
    connection: Connection,
    share: Share,
    now: float,
    asked: float = 0.0,
    *,
    coming: bool = False,
) -> Standing:
    """Return how a budget stands for a user or group; `room_at` is for `asked` more units."""
    budget = share.budget
    demand = _demand(connection, share, now)
    used = _used(budget, demand, now, now)
    room_at = None
    if used + demand.held + max(asked, SLACK) > budget.amount:
        room_at = _room_at(budget, demand, now, asked)
    empty = _empty_on(budget, demand, now, used)
    to_come = tuple(_coming(budget, demand, now, used)) if coming else ()
    return Standing(share, used, demand.held, empty, room_at, to_come)


def _demand(connection: Connection, share: Share, now: float) -> Demand:
    budget, last = share.budget, day_of(now)
    first = min(_first_day(budget, now), last - RATE_DAYS + 1)
    days = _ended(connection, share, first)
    held, runs = 0.0, []
    for record, walltime in _live(connection, share):
        hourly = rate(budget.unit, record)
        until = live_until(record, now)
        if record.started is not None:
            runs.append((record.started, until, hourly))
        ran = max(0.0, until - record.started) if record.started is not None else 0.0
        held += hourly * max(0.0, (walltime or ran + OPEN_END) - ran) / HOUR
    for begin, end, hourly in runs:
        for day in range(day_of(begin), day_of(end) + 1):
            part = min(end, (day + 1) * DAY) - max(begin, day * DAY)
            days[day] = days.get(day, 0.0) + hourly * max(0.0, part) / HOUR
    if _counts_hours(budget):
        begin = now - (budget.window.seconds or 0.0)
        runs += _runs(connection, share, begin)
    return Demand(days, tuple(runs), held)


def _counts_hours(budget: Budget) -> bool:
    return budget.window.seconds is not None and "hour" in (budget.window.last or "")


def _first_day(budget: Budget, now: float) -> int:
    seconds = budget.window.seconds
    if seconds is None:
        return day_of(budget.window.bounds[0])
    return day_of(now) - int(seconds // DAY) + 1


def _used(budget: Budget, demand: Demand, when: float, now: float) -> float:
    """Return what will count at a time `when` of what was used until now."""
    if _counts_hours(budget):
        begin = when - (budget.window.seconds or 0.0)
        return sum(
            hourly * max(0.0, min(end, now) - max(start, begin)) / HOUR
            for start, end, hourly in demand.runs
        )
    first = _first_day(budget, when)
    return sum(units for day, units in demand.days.items() if first <= day <= day_of(now))


def _room_at(budget: Budget, demand: Demand, now: float, asked: float) -> float | None:
    """Return when enough old use has left the window; None if that alone is not enough."""
    seconds = budget.window.seconds
    most = budget.amount - demand.held - max(asked, SLACK)
    if seconds is None or most < 0:
        return None
    if not _counts_hours(budget):
        midnights = ((day_of(now) + n) * DAY for n in range(1, int(seconds // DAY) + 1))
        found = (when for when in midnights if _used(budget, demand, when, now) <= most)
        return float(next(found, now + seconds))
    early, late = now, now + seconds
    while late - early > 1:
        middle = (early + late) / 2
        fits = _used(budget, demand, middle, now) <= most
        early, late = (early, middle) if fits else (middle, late)
    return late


def _coming(
    budget: Budget, demand: Demand, now: float, used: float
) -> Iterator[tuple[float, float]]:
    """Yield when old use leaves a rolling window, and what is left from then on.

    Of a window of hours they are full hours from now on, of a long window some steps of its own:
    there is never less than is said.
    """
    seconds = budget.window.seconds
    if seconds is None:
        return
    step = HOUR if _counts_hours(budget) else DAY
    step *= ceil(seconds / step / MOST_COMING)
    begin = now if _counts_hours(budget) else day_of(now) * DAY
    before = used
    for number in range(1, ceil(seconds / step) + 1):
        if before <= SLACK:
            return
        when = begin + number * step
        after = _used(budget, demand, when, now)
        if before - after > SLACK:
            yield when, max(0.0, budget.amount - demand.held - after)
        before = after


def _empty_on(budget: Budget, demand: Demand, now: float, used: float) -> float | None:
    """Return when a budget is used up if use goes on as in the last days; None if it is not."""
    today = day_of(now)
    recent = [demand.days.get(day, 0.0) for day in range(today - RATE_DAYS + 1, today + 1)]
    daily = sum(recent) / (RATE_DAYS - 1 + (now / DAY) % 1)
    if used >= budget.amount or daily <= 0:
        return now if used >= budget.amount else None
    if budget.window.seconds is None:
        when = now + (budget.amount - used) / daily * DAY
        return when if when < budget.window.bounds[1] else None
    for ahead in range(1, int(budget.window.seconds // DAY) + 2):
        when = now + ahead * DAY
        before = _used(budget, demand, when, now) + (ahead - 1) * daily
        if before + daily >= budget.amount:
            return when - DAY + max(0.0, budget.amount - before) / daily * DAY
    return None


def _ended(connection: Connection, share: Share, first: int) -> dict[int, float]:
    """Return what ended workloads used, in the budget's unit by day."""
    budget, by_user = share.budget, share.scope == "user"
    table = table_of(DayRow if by_user else GroupDayRow)
    whose = table.c.owner if by_user else table.c.vo
    names = ("core_ms", "gpu_ms", "mib_s", "cpu_ms", "known_core_ms")
    query = select(table.c.day, *(func.sum(table.c[name]).label(name) for name in names))
    query = query.where(whose == share.subject, table.c.day >= first).group_by(table.c.day)
    if budget.sites is not None:
        query = query.where(table.c.site.in_(budget.sites))
    return {row.day: _cost_of(budget.unit, row) for row in connection.execute(query)}


def _cost_of(unit: Unit, row: Any) -> float:
    hours = {name: float(getattr(row, name)) / (HOUR * 1000) for name in ("core_ms", "gpu_ms")}
    unknown = float(row.core_ms - row.known_core_ms)
    return cost(
        unit,
        core=hours["core_ms"],
        gpu=hours["gpu_ms"],
        gib=float(row.mib_s) / 1024 / HOUR,
        cpu=(float(row.cpu_ms) + unknown) / (HOUR * 1000),
    )


def _live(connection: Connection, share: Share) -> list[tuple[UsageRecord, float | None]]:
    columns = writing.RECORDS.c
    query = _subject(share).where(columns.ended.is_(None))
    return [(writing.record_of(row), row.walltime) for row in connection.execute(query)]


def _runs(connection: Connection, share: Share, since: float) -> list[tuple[float, float, float]]:
    """Return begin, end and hourly cost of what has ended since then."""
    columns = writing.RECORDS.c
    query = _subject(share)
    query = query.where(columns.ended >= since, columns.started.is_not(None))
    runs = []
    for row in connection.execute(query):
        record = writing.record_of(row)
        hours = record.wall_s / HOUR
        cpu = record.cpu_s / HOUR / hours if record.cpu_s is not None and hours else None
        gib = record.memory / 2**30
        hourly = cost(share.budget.unit, core=record.cores, gpu=record.gpus, gib=gib, cpu=cpu)
        runs.append((record.started or 0.0, record.ended or 0.0, hourly))
    return runs


def _subject(share: Share) -> Any:
    columns = writing.RECORDS.c
    whose = columns.owner if share.scope == "user" else columns.vo
    query = select(*writing.COLUMNS, columns.walltime).where(whose == share.subject)
    sites = share.budget.sites
    return query.where(columns.site.in_(sites)) if sites is not None else query
