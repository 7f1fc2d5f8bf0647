"""The sums: hours fall on the days in which they were used, and a correction leaves no trace."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from farlab_hub.ledger import writing
from farlab_hub.ledger.queries import Span, Whose, usage
from farlab_hub.ledger.rollup import added, day_of, month_name, month_of, split, together
from farlab_hub.ledger.tables import DayRow, GroupDayRow, MonthRow, table_of
from farlab_real.usage_records import at, record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.engine import Engine

NOW = at("2026-12-03 12:00")
ALL = Span(0, day_of(NOW) + 400)


def hours(engine: Engine, by: list[Any], span: Span = ALL) -> dict[tuple[str, ...], float]:
    with engine.begin() as connection:
        rows, _ = usage(connection, span, by, Whose(), NOW)
    return {row.key: round(row.core_hours, 6) for row in rows}


def sums(engine: Engine) -> dict[str, Counter[Any]]:
    """Return what all tables of sums hold, without rows of nothing."""
    found: dict[str, Counter[Any]] = {}
    with engine.begin() as connection:
        for row in (DayRow, GroupDayRow, MonthRow):
            table = table_of(row)
            keys = [column.name for column in table.primary_key]
            held = found[table.name] = Counter()
            for line in connection.execute(select(table)):
                values = line._mapping
                key = tuple(values[name] for name in keys)
                for name in writing.MEASURES:
                    if values[name]:
                        held[key, name] = values[name]
    return found


def test_a_job_over_midnight_is_split():
    pieces = list(split(at("2026-11-26 23:00"), at("2026-11-28 01:30")))
    first = day_of(at("2026-11-26 00:00"))
    hour = 3_600_000
    assert pieces == [(first, hour), (first + 1, 24 * hour), (first + 2, 3 * hour // 2)]


def test_hours_fall_into_the_month_in_which_they_were_used(engine):
    job = record(cores=8.0, started=at("2026-11-30 20:00"), ended=at("2026-12-01 02:00"))
    with engine.begin() as connection:
        writing.put(connection, [job])
    assert hours(engine, ["month"]) == {("2026-11",): 32.0, ("2026-12",): 16.0}
    assert hours(engine, ["day"]) == {("2026-11-30",): 32.0, ("2026-12-01",): 16.0}
    december = Span(day_of(at("2026-12-01 00:00")), day_of(at("2026-12-31 00:00")))
    assert december.is_months
    assert hours(engine, ["site"], december) == {("vega",): 16.0}
    assert hours(engine, ["user", "site"], december) == {("alice", "vega"): 16.0}
    with engine.begin() as connection:
        rows, total = usage(connection, ALL, ["month"], Whose("alice"), NOW)
    # It counts where it ended; what was split adds up to the whole.
    assert [row.workloads for row in rows] == [0, 1]
    assert total.core_hours == 48.0


def test_a_month_that_ends_a_leap_year():
    assert month_name(month_of(day_of(at("2028-02-29 23:59")))) == "2028-02"
    assert month_name(month_of(day_of(at("2028-03-01 00:00")))) == "2028-03"


def test_what_lives_is_added_when_somebody_asks(engine):
    live = record(started=NOW - 7200, ended=None, heartbeat=NOW - 30, final=False, cores=2.0)
    lost = record(1, started=NOW - 7200, ended=None, heartbeat=NOW - 3600, final=False)
    with engine.begin() as connection:
        writing.put(connection, [live, lost])
    # The one that nobody has seen for an hour does not go on.
    assert hours(engine, ["site"]) == {("vega",): 5.0}
    assert all(not held for held in sums(engine).values())


def test_a_record_counts_once_however_often_it_is_written(engine):
    job = record(cores=2.5, cpu_s=3000.5, energy_kwh=0.5, energy_source="measured", co2e_g=100.0)
    for _ in range(3):
        with engine.begin() as connection:
            writing.put(connection, [job, job])
    with engine.begin() as connection:
        _, total = usage(connection, ALL, [], Whose(), NOW)
    assert (total.workloads, total.core_hours, total.cpu_hours) == (1, 2.5, 3000.5 / 3600)
    assert (total.energy_kwh, total.energy_source, total.co2e_g) == (0.5, "measured", 100.0)
    assert total.efficiency == pytest.approx(3000.5 / 9000)


def test_a_correction_takes_out_what_was_there(engine):
    job = record(started=at("2026-11-30 20:00"), ended=at("2026-12-01 02:00"), final=False)
    corrected = replace(job, ended=at("2026-11-30 21:00"), cores=4.0, site="other", final=True)
    with engine.begin() as connection:
        writing.put(connection, [job])
        writing.put(connection, [corrected])
    assert hours(engine, ["site", "month"]) == {("other", "2026-11"): 4.0}


def test_a_job_that_held_gpus_and_did_nothing_is_idle(engine):
    idle = record(gpus=2.0, cores=10.0, cpu_s=100.0)
    busy = record(1, gpus=2.0, cores=10.0, cpu_s=20_000.0)
    unknown = record(2, gpus=2.0, cores=10.0)
    with engine.begin() as connection:
        writing.put(connection, [idle, busy, unknown])
        _, total = usage(connection, ALL, [], Whose(), NOW)
    assert (total.gpu_hours, total.idle_gpu_hours) == (6.0, 2.0)


SECONDS = st.integers(0, 40 * 86400 * 4).map(lambda quarter: NOW - quarter / 4)
RECORDS = st.builds(
    lambda number, start, length, cores, gpus, cpu, energy, ends, final, owner, vo, site: record(
        number,
        submitted=start - 5,
        started=start,
        ended=start + length if ends else None,
        cores=cores / 1000,
        gpus=float(gpus),
        cpu_s=cpu,
        energy_kwh=energy,
        energy_source="" if energy is None else "measured" if gpus else "estimated",
        owner=owner,
        vo=vo,
        site=site,
        state="failed" if final else "finished",
        final=final,
    ),
    st.integers(0, 8),
    SECONDS,
    st.floats(0, 5 * 86400),
    st.integers(0, 128_000),
    st.integers(0, 8),
    st.none() | st.floats(0, 1e6),
    st.none() | st.floats(0, 1e3),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(["itw", ""]),
    st.sampled_from(["vega", "cloud"]),
)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.lists(RECORDS, min_size=1, max_size=4), max_size=12))
def test_whatever_was_written_the_sums_are_those_of_the_records(engine, batches):
    with engine.begin() as connection:
        connection.execute(writing.RECORDS.delete())
        writing.rebuild(connection)
        for batch in batches:
            writing.put(connection, batch)
    kept = sums(engine)
    with engine.begin() as connection:
        writing.rebuild(connection)
    assert kept == sums(engine)
    last = {one.uid: one for batch in batches for one in batch}
    expected = together(added(one) for one in last.values())
    days = kept["usage_days"]
    for key, amounts in expected.items():
        for name, amount in amounts.items():
            assert days[key, name] == amount
