"""Writing records and their sums, in one transaction of the caller's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from functools import cache
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, String, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from .records import UsageRecord
from .rollup import Key, Sums, difference, month_of, together
from .tables import DayRow, GroupDayRow, MonthRow, RejectRow, UsageRow, table_of
from .tables import Sums as SumColumns

RECORDS = table_of(UsageRow)
FIELDS = tuple(field.name for field in fields(UsageRecord))
COLUMNS = tuple(RECORDS.c[name] for name in FIELDS)
MEASURES = tuple(name for name in SumColumns.__annotations__)
_TEXTS = tuple(
    (column.name, column.type.length or 10_000)
    for column in COLUMNS
    if isinstance(column.type, String)
)
AT_ONCE = 500  # uids in one statement
KEPT_REJECTS = 1000

_NEW = insert(RECORDS)
_PUT = update(RECORDS).where(RECORDS.c.uid == bindparam("_uid"))
_KNOWN = select(*COLUMNS).where(RECORDS.c.uid == bindparam("_uid"))


def record_of(row: Row[Any]) -> UsageRecord:
    """Return a row of `COLUMNS` as a record."""
    values = {name: getattr(row, name) for name in FIELDS}
    values["groups"] = tuple(values["groups"])
    return UsageRecord(**values)


def values_of(record: UsageRecord) -> dict[str, Any]:
    """Return a record as a row's values."""
    values = {name: getattr(record, name) for name in FIELDS}
    values["groups"] = [*record.groups]
    return values


def storable(record: UsageRecord) -> UsageRecord:
    """Return a record whose texts every database takes; sums have the same names then."""
    cut = {}
    for name, most in _TEXTS:
        text = getattr(record, name)
        if len(text) > most or not text.isprintable():
            cut[name] = text.encode(errors="replace").decode().replace("\0", "")[:most]
    return replace(record, **cut) if cut else record


def get(connection: Connection, uid: str) -> UsageRecord | None:
    """Return a workload's record."""
    row = connection.execute(_KNOWN, {"_uid": uid}).one_or_none()
    return record_of(row) if row is not None else None


def put(
    connection: Connection, records: Sequence[UsageRecord], walltime: float | None = None
) -> None:
    """Write records, each in place of what was there of its workload, and correct the sums.

    `walltime` is how long new ones may run.
    """
    old = dict(known(connection, [record.uid for record in records]))
    # Of a workload that is there twice, the last word counts.
    newest = {record.uid: storable(record) for record in records}
    fresh = [r for r in newest.values() if r.uid not in old]
    if fresh:
        rows = [{**values_of(record), "walltime": walltime} for record in fresh]
        connection.execute(_NEW, rows)
    changed = [r for r in newest.values() if r.uid in old and old[r.uid] != r]
    if changed:
        connection.execute(_PUT, [{**values_of(r), "_uid": r.uid} for r in changed])
    parts = [difference(old.get(record.uid), record) for record in [*fresh, *changed]]
    add(connection, parts[0] if len(parts) == 1 else together(parts))


def known(connection: Connection, uids: Sequence[str]) -> Iterator[tuple[str, UsageRecord]]:
    """Yield these workloads' records, by uid."""
    if len(uids) == 1:
        found = get(connection, uids[0])
        if found is not None:
            yield found.uid, found
        return
    for some in _batches(uids):
        for row in connection.execute(select(*COLUMNS).where(RECORDS.c.uid.in_(some))):
            yield row.uid, record_of(row)


def _batches(uids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(uids)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def add(connection: Connection, sums: dict[Key, Sums]) -> None:
    """Add to the sums by day and by month."""
    days: dict[tuple[Any, ...], Sums] = {}
    groups: dict[tuple[Any, ...], Sums] = {}
    months: dict[tuple[Any, ...], Sums] = {}
    for (owner, day, vo, site, profile, kind), amounts in sums.items():
        for into, key in (
            (days, (owner, day, vo, site, profile, kind)),
            (groups, (vo, day, site, profile, kind)),
            (months, (month_of(day), vo, site, owner, profile, kind)),
        ):
            held = into.setdefault(key, Counter())
            for name, amount in amounts.items():
                held[name] += amount
    for table, rows in ((DayRow, days), (GroupDayRow, groups), (MonthRow, months)):
        if rows:
            _upsert(connection, table_of(table), rows)


def _upsert(connection: Connection, table: Table, rows: dict[tuple[Any, ...], Sums]) -> None:
    keys = tuple(column.name for column in table.primary_key)
    values = [
        {**dict(zip(keys, key, strict=True)), **{name: sums[name] for name in MEASURES}}
        for key, sums in rows.items()
    ]
    connection.execute(_adding(table, connection.dialect.name), values)


@cache
def _adding(table: Table, dialect: str) -> Any:
    """Return the statement that adds to a row of sums, or makes it."""
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    return statement.on_conflict_do_update(
        index_elements=[*table.primary_key],
        set_={name: table.c[name] + statement.excluded[name] for name in MEASURES},
    )


def rebuild(connection: Connection) -> None:
    """Make all sums anew from the records."""
    for table in (DayRow, GroupDayRow, MonthRow):
        connection.execute(delete(table_of(table)))
    ended = select(*COLUMNS).where(RECORDS.c.ended.is_not(None))
    rows = connection.execute(ended, execution_options={"yield_per": 10_000})
    for some in rows.partitions():
        add(connection, together(difference(None, record_of(row)) for row in some))


def beat(connection: Connection, uids: Iterable[str], when: float) -> None:
    """Note that these live workloads were seen running; a clock that goes back changes nothing."""
    for some in _batches(uids):
        alive = RECORDS.c.uid.in_(some) & RECORDS.c.ended.is_(None)
        older = RECORDS.c.heartbeat < when
        connection.execute(update(RECORDS).where(alive, older).values(heartbeat=when))


def reject(connection: Connection, site: str, workload: str, problem: str, when: float) -> None:
    """Note what a site said that can't be true; the newest thousand are kept."""
    table = table_of(RejectRow)
    said = {"site": site, "workload": workload, "problem": problem[:1000], "time": when}
    newest = connection.execute(insert(table).values(said)).inserted_primary_key
    assert newest is not None  # noqa: S101 - one row was inserted
    connection.execute(delete(table).where(table.c.id <= newest[0] - KEPT_REJECTS))
