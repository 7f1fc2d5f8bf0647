"""Budgets: what is left, who is refused, and when there is room again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from farlab_hub.ledger import writing
from farlab_hub.ledger.budgets import MOST_COMING, Share, active, standing
from farlab_hub.models import now
from farlab_real.usage_records import at, record
from farlab_sites.accounting import Budget
from pydantic import ValidationError
from sqlalchemy.engine import Engine

NOW = at("2026-11-26 12:00")
HOUR, DAY = 3600.0, 86400.0


def budget(**changes: Any) -> Budget:
    said = {"name": "b", "users": ["*"], "unit": "core-hours", "amount": 100, "window": "30 days"}
    if "groups" in changes:
        del said["users"]
    return Budget.model_validate(said | changes)


def stands(engine: Engine, which: Budget, asked: float = 0.0, when: float = NOW) -> Any:
    scope, subject = ("user", "alice") if which.users else ("group", "itw")
    with engine.begin() as connection:
        return standing(connection, Share(which, scope, subject), when, asked)


def write(engine: Engine, *records: Any, walltime: float | None = None) -> None:
    with engine.begin() as connection:
        writing.put(connection, list(records), walltime)


def job(number: int, begun: str, hours: float, **changes: Any) -> Any:
    start = at(begun)
    return record(number, started=start, submitted=start, ended=start + hours * HOUR, **changes)


def test_days_are_whole_days(engine):
    write(engine, job(0, "2026-10-27 23:00", 2), job(1, "2026-11-20 10:00", 30))
    found = stands(engine, budget(amount=40), asked=10)
    # Thirty days with today: from 28 October on.
    assert (found.used, found.left, found.state) == (31.0, 9.0, "ok")
    assert found.room_at == at("2026-11-27 00:00")
    assert stands(engine, budget(amount=40), asked=9).room_at is None
    assert stands(engine, budget(amount=35)).state == "warn"
    full = stands(engine, budget(amount=30), asked=1)
    assert (full.state, full.left) == ("full", 0.0)
    # The jobs of the 20th and of the 21st have to leave.
    assert full.room_at == at("2026-12-20 00:00")


def test_hours_are_counted_to_the_second(engine):
    write(engine, job(0, "2026-11-26 02:00", 4), job(1, "2026-11-25 20:00", 3))
    found = stands(engine, budget(window="12 hours", amount=4), asked=1)
    assert found.used == pytest.approx(4)
    assert found.room_at == pytest.approx(at("2026-11-26 15:00"), abs=2)


def coming(engine: Engine, which: Budget) -> Any:
    with engine.begin() as connection:
        return standing(connection, Share(which, "user", "alice"), NOW, coming=True).coming


def test_the_room_to_come_is_told(engine):
    write(engine, job(0, "2026-11-20 00:00", 24), job(1, "2026-11-26 02:00", 4))
    assert coming(engine, budget(amount=40)) == (
        (at("2026-12-20 00:00"), 36.0),
        (at("2026-12-26 00:00"), 40.0),
    )
    hours = coming(engine, budget(amount=40, window="12 hours"))
    assert [when for when, _ in hours] == [NOW + n * HOUR for n in (3, 4, 5, 6)]
    assert [left for _, left in hours] == pytest.approx([37, 38, 39, 40])
    year = coming(engine, budget(amount=40, window="168 hours"))
    assert len(year) <= MOST_COMING
    assert year[-1] == (year[-1][0], pytest.approx(40))
    assert coming(engine, budget(amount=40, window="9000 days"))[-1][1] == 40.0
    assert coming(engine, budget(window={"from": "2026-01-01", "to": "2026-12-31"})) == ()


def test_a_window_of_very_many_hours_has_to_be_one_of_days():
    with pytest.raises(ValidationError, match="more than 168 hours"):
        budget(window="169 hours")


def test_an_allocation_counts_between_its_days(engine):
    year = budget(window={"from": "2026-01-01", "to": "2026-12-31"})
    write(engine, job(0, "2025-12-31 22:00", 5), job(1, "2026-06-01 10:00", 20))
    found = stands(engine, year)
    assert (found.used, found.left, found.room_at) == (23.0, 77.0, None)
    assert active(year, NOW)
    assert not active(year, at("2027-01-01 00:00"))
    assert not active(year, at("2025-12-31 23:59"))
    assert stands(engine, year, asked=80).room_at is None


def test_sites_units_and_groups(engine):
    write(
        engine,
        job(0, "2026-11-20 10:00", 10, cores=4.0, gpus=1.0, memory=2**33, cpu_s=18_000.0),
        job(1, "2026-11-20 10:00", 10, owner="bob", site="cloud"),
        job(2, "2026-11-20 10:00", 10, vo="other"),
    )

    def used(**changes: Any) -> float:
        return float(stands(engine, budget(**changes)).used)

    assert used() == 50.0
    assert used(sites=["vega"]) == 50.0
    assert used(sites=["cloud"]) == 0.0
    assert used(unit="gpu-hours") == 10.0
    # Five hours were really used; of the other one nobody knows, so its core counts.
    assert used(unit="cpu-hours") == 15.0
    assert used(unit={"core": 1, "gpu": 20, "gib": 0.5}) == 50 + 200 + 40 + 5
    assert used(groups=["itw"]) == 50.0
    assert used(groups=["*"], sites=["cloud"]) == 10.0


def test_what_lives_counts_and_holds_back_what_it_may_use(engine):
    live = record(0, started=NOW - HOUR, submitted=NOW - HOUR, ended=None, heartbeat=NOW, cores=2.0)
    waiting = record(1, started=None, submitted=NOW, ended=None, heartbeat=NOW)
    write(engine, live, waiting, walltime=4 * HOUR)
    found = stands(engine, budget(amount=15), asked=2)
    assert (found.used, found.held, found.left) == (2.0, 10.0, 3.0)
    found = stands(engine, budget(amount=15), asked=4)
    assert found.room_at == at("2026-12-26 00:00")


def test_at_this_rate(engine):
    write(engine, *(job(n, f"2026-11-{20 + n} 00:00", 10) for n in range(6)))
    found = stands(engine, budget(amount=100))
    daily = 60 / 6.5
    assert found.empty_on == pytest.approx(NOW + 40 / daily * DAY, rel=0.02)
    assert stands(engine, budget(amount=1000)).empty_on is None
    year = budget(amount=1000, window={"from": "2026-01-01", "to": "2026-12-31"})
    assert stands(engine, year).empty_on is None


BUDGETS = """
accounting: {managers: {itw: [bob]}}
budgets:
  - {name: hours, users: ["*"], sites: [cloud], unit: core-hours, amount: 2, window: "30 days"}
  - {name: gpus, groups: [itw], unit: gpu-hours, amount: 1, window: "2 days"}
"""


def limited(place: Any, hours: float = 1.0, **limits: str) -> dict[str, Any]:
    body: dict[str, Any] = place.announcement()
    body["pod"]["spec"]["activeDeadlineSeconds"] = int(hours * HOUR)
    body["pod"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1", **limits}}
    return body


async def test_two_at_once_cannot_both_have_the_last_hour(place):
    place.catalogue.write_text(place.catalogue.read_text() + BUDGETS)
    running = await place.start()
    bodies = [limited(place) for _ in range(6)]
    calls = [running.api.call("POST", "workloads", json=body) for body in bodies]
    answers = await asyncio.gather(*calls)
    assert sorted(status for status, _ in answers) == [201, 201, 429, 429, 429, 429]
    refused = next(answer for status, answer in answers if status == 429)
    assert refused["code"] == "over-budget"
    assert "1 core-hours" in refused["message"]
    assert "0 left of 2 (hours, 30 days)" in refused["message"]
    # What was refused has left nothing.
    _, live = await running.api.call("GET", "usage/now", token="alice")
    assert len(live) == 2


async def test_the_refusal_says_when_there_is_room(place):
    place.catalogue.write_text(place.catalogue.read_text() + BUDGETS)
    running = await place.start()
    ended = now() - 60
    used = record(
        7, site="cloud", submitted=ended - 5400, started=ended - 5400, ended=ended, heartbeat=ended
    )
    await running.service.recorder.ledger.put(used)
    status, answer = await running.api.call("POST", "workloads", json=limited(place))
    assert (status, answer["code"]) == (429, "over-budget")
    today = datetime.now(UTC).date()
    days = {f"{today + timedelta(days=n)}" for n in (28, 29, 30)}
    assert any(f"There is room for it from {day} 00:00 UTC" in answer["fix"] for day in days)
    # Half an hour fits.
    assert (await running.api.call("POST", "workloads", json=limited(place, 0.25)))[0] == 201


async def test_a_group_shares_its_budget(place):
    place.catalogue.write_text(place.catalogue.read_text() + BUDGETS)
    place.hub.tokens["dora"] = {**place.hub.tokens["alice"], "name": "dora"}
    running = await place.start()
    first = limited(place, **{"nvidia.com/gpu": "1"})
    assert (await running.api.call("POST", "workloads", json=first))[0] == 201
    second = {**limited(place, **{"nvidia.com/gpu": "1"}), "owner": "dora"}
    status, answer = await running.api.call("POST", "workloads", json=second)
    assert (status, answer["code"]) == (429, "over-budget")
    assert "the group itw has 0 left" in answer["message"]
    _, budgets = await running.api.call("GET", "usage/budgets", token="dora")
    shown = {one["name"]: (one["scope"], one["subject"], one["state"]) for one in budgets}
    assert shown == {"hours": ("user", "dora", "ok"), "gpus": ("group", "itw", "full")}
    _, managed = await running.api.call("GET", "usage/budgets?group=itw", token="bob")
    assert [one["name"] for one in managed] == ["gpus"]


async def test_the_estimate_says_it_before(place):
    place.catalogue.write_text(place.catalogue.read_text() + BUDGETS)
    running = await place.start()
    path = "usage/estimate?site=cloud&walltime=1:30:00"
    _, estimate = await running.api.call("GET", path, token="alice")
    assert (estimate["core_hours"], estimate["hours"], estimate["refused"]) == (1.5, 1.5, "")
    (hours,) = [one for one in estimate["budgets"] if one["name"] == "hours"]
    assert (hours["takes"], hours["after"], hours["state"]) == (1.5, 0.5, "ok")
    status, _ = await running.api.call("POST", "workloads", json=limited(place, 1.7))
    assert status == 201
    _, estimate = await running.api.call("GET", path, token="alice")
    (hours,) = [one for one in estimate["budgets"] if one["name"] == "hours"]
    assert hours["state"] == "warn"
    assert (
        "There is room for it from" in estimate["refused"]
        or "end a workload" in estimate["refused"]
    )
    spawner = f"{path}&user=alice&user_group=itw"
    assert (await running.api.call("GET", spawner, token="spawner"))[1] == estimate
    assert (await running.api.call("GET", spawner, token="bob"))[0] == 403
