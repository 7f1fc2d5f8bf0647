"""Records: written once each, true whatever a site or a clock says, found by the page."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from farlab_hub.apel.naming import fqan
from farlab_hub.ledger import overview, writing
from farlab_hub.ledger.closing import begun, closed, told
from farlab_hub.ledger.energy import Draw, energy
from farlab_hub.ledger.ledger import Place
from farlab_hub.ledger.opening import attributed, limit
from farlab_hub.ledger.queries import Span, Whose
from farlab_hub.ledger.queries import usage as usage_of
from farlab_hub.ledger.writing import KEPT_REJECTS
from farlab_hub.models import Workload
from farlab_hub.states import State
from farlab_real.usage_records import at, record
from farlab_sites.accounting import SiteAccounting
from farlab_sites.carriers import PodStatus
from farlab_sites.usage import Usage

NOW = at("2026-11-26 12:00")
HOUR = 3600.0


def workload(**changes: Any) -> Workload:
    said = {
        "uid": record().uid, "owner": "alice", "server_name": "", "kind": "kernel", "site": "vega",
        "profile": "gpu", "account": None, "state": State.FINISHED, "reason": "Completed",
        "message": "", "job_id": "1000", "node": "", "address": "", "listeners": {},
        "secret_sha256": "", "pod": {}, "created": NOW - 2 * HOUR, "updated": NOW, "walltime": None,
    }  # fmt: skip
    return Workload(**{**said, **changes})


def live(**changes: Any) -> Any:
    asked = NOW - 2 * HOUR
    said = {"submitted": asked, "started": asked + 60, "ended": None, "heartbeat": NOW - 90}
    return record(**{**said, "final": False, "state": "starting", **changes})


def close(of: Any, status: PodStatus | None, last: bool = True, **changes: Any) -> Any:
    site = changes.pop("accounting", SiteAccounting())
    return closed(
        of, workload(**changes), told(of, status, NOW), now=NOW, site=site, status=status, last=last
    )


def usage(**changes: Any) -> Usage:
    said = {"job_id": "1000", "started": NOW - HOUR, "ended": NOW - 600, "cores": 4.0}
    return Usage(**{**said, "source": "sacct", "final": True, **changes})


def ended(of: Usage | None = None, **changes: Any) -> PodStatus:
    return PodStatus("u", "1000", "Succeeded", usage=of, **changes)


async def test_a_record_comes_back_as_it_was_written(ledger):
    written = record(
        cores=1.125, gpus=2.0, gpu_type="a100", cpu_s=12.5, peak_memory=2**31, energy_kwh=0.25,
        energy_source="measured", co2e_g=75.0, groups=("itw", "other"), issuer_subject="x@y",
    )  # fmt: skip
    await ledger.put(written)
    assert await ledger.get(written.uid) == written
    await ledger.put(replace(written, state="failed"))
    assert (await ledger.get(written.uid)).state == "failed"
    assert len(await ledger.records(0, NOW * 2)) == 1


async def test_many_at_once_are_all_there(ledger):
    await asyncio.gather(*(ledger.put(record(n)) for n in range(200)))
    assert len(await ledger.records(0, NOW * 2)) == 200


async def test_pages_have_every_record_once(ledger):
    # Many end in the same second.
    for n in range(60):
        when = at("2026-11-26 10:00") + (n % 7) * 60.125
        await ledger.put(record(n, ended=when + HOUR, heartbeat=when + HOUR, owner="ab"[n % 2]))
    for newest in (False, True):
        seen: list[Any] = []
        after: Place | None = None
        while page := await ledger.records(0, NOW * 2, after=after, limit=7, newest=newest):
            seen += page
            after = Place(page[-1].ended, page[-1].uid)
        assert len({one.uid for one in seen}) == len(seen) == 60
        assert seen == sorted(seen, key=lambda r: (r.ended, r.uid), reverse=newest)
    assert len(await ledger.records(0, NOW * 2, owner="a")) == 30
    assert await ledger.records(0, NOW * 2, group="none") == []


async def test_a_time_has_what_was_used_in_it(ledger):
    over = record(0, started=at("2026-11-30 20:00"), ended=at("2026-12-01 02:00"))
    never = record(1, started=None, ended=at("2026-12-01 03:00"))
    for one in (over, never):
        await ledger.put(one)
    november = await ledger.records(at("2026-11-01 00:00"), at("2026-12-01 00:00"))
    december = await ledger.records(at("2026-12-01 00:00"), at("2027-01-01 00:00"))
    assert november == [over]
    assert december == [over, never]


async def test_a_heartbeat_never_goes_back(ledger):
    await ledger.put(live())
    await ledger.beat([record().uid], NOW)
    await ledger.beat([record().uid], NOW - 1000)
    assert (await ledger.get(record().uid)).heartbeat == NOW


async def test_texts_that_no_database_takes_are_cut(ledger):
    odd = "a\0b\udc80" + "x" * 20_000
    await ledger.put(record(image=odd, account=odd, reason=odd))
    found = await ledger.get(record().uid)
    assert found.account.startswith("ab?x")
    assert len(found.account) == 255


async def test_sums_have_the_names_of_their_records(ledger):
    odd = "a\0b" + "x" * 300
    await ledger.put(record(vo=odd, profile=odd))
    await ledger.put(replace(await ledger.get(record().uid), cores=7.0))
    span, whose = Span(0, 30_000), Whose(group=(await ledger.get(record().uid)).vo)
    rows, total = await ledger.read(lambda c: usage_of(c, span, ["group", "profile"], whose, NOW))
    assert len(rows) == 1
    assert total.core_hours == 7.0 * (await ledger.get(record().uid)).wall_s / HOUR


async def test_a_late_look_at_a_running_job_does_not_take_back_its_end(ledger):
    await ledger.put(live())
    end = replace(live(), ended=NOW, heartbeat=NOW, state="cancelled", final=True)
    await ledger.put(end)
    await ledger.begin([live(job_id="1000")])
    assert await ledger.get(end.uid) == end


async def test_rejects_are_bounded(ledger):
    def work(connection: Any) -> int:
        for n in range(KEPT_REJECTS + 5):
            writing.reject(connection, "vega", "u", f"problem {n}", NOW)
        newest = overview.rejects(connection)[0].problem
        assert newest == f"problem {KEPT_REJECTS + 4}"
        return len(connection.execute(writing.table_of(writing.RejectRow).select()).all())

    assert await ledger.write(work) == KEPT_REJECTS


def test_the_batch_system_says_what_a_job_used():
    said = usage(cpu_s=9000.0, peak_memory=2**31, gpus=1.0, gpu_type="a100", account="itw7")
    found = close(live(cores=1.0), ended(said))
    assert (found.started, found.ended, found.final) == (NOW - HOUR, NOW - 600, True)
    assert (found.cores, found.gpus, found.account) == (4.0, 1.0, "itw7")
    assert (found.cpu_s, found.source, found.job_id) == (9000.0, "sacct", "1000")
    assert found.wait_s == HOUR


def test_what_a_slow_batch_system_says_later_corrects_it():
    first = close(live(), ended(usage(final=False, cpu_s=None)), last=False)
    assert (first.ended, first.final) == (NOW - 600, False)
    assert close(first, ended(usage(ended=NOW - 590, cpu_s=5.0))).ended == NOW - 590


def test_without_usage_the_pods_times_count():
    times = {
        "started_at": datetime.fromtimestamp(NOW - HOUR, UTC),
        "finished_at": datetime.fromtimestamp(NOW - 60, UTC),
    }
    found = close(live(), ended(**times))
    assert (found.started, found.ended, found.source) == (NOW - HOUR, NOW - 60, "status")
    assert found.final


def test_an_end_that_nobody_saw_is_the_last_heartbeat():
    found = close(live(), None, state=State.FAILED, reason="Lost")
    assert (found.ended, found.source, found.final) == (NOW - 90, "heartbeat", True)


def test_a_cancelled_job_that_its_site_forgot_ends_with_its_cancelling():
    # The service was killed after it had told the site to delete it, and is back a day later.
    found = close(live(), None, state=State.CANCELLED, updated=NOW - 24 * 60)
    assert found.ended == NOW - 24 * 60
    assert close(live(), PodStatus("u", "1", "Running"), state=State.CANCELLED).ended == NOW


def test_what_never_started_used_nothing():
    found = close(live(started=None), None, state=State.CANCELLED, reason="Cancelled")
    assert (found.started, found.wall_s, found.state) == (None, 0.0, "cancelled")
    assert found.wait_s == 2 * HOUR


@pytest.mark.parametrize("back", [10.0, HOUR, 30 * HOUR])
def test_no_duration_is_negative_when_a_clock_goes_back(back):
    found = close(live(), ended(usage(ended=NOW - HOUR - back)))
    assert found.wall_s >= 0
    assert found.wait_s >= 0
    assert found.ended >= found.started
    early = begun(live(started=None), told(live(), ended(usage(started=NOW + 5)), NOW), NOW)
    assert early.heartbeat >= early.started


def test_nonsense_is_refused_and_told():
    said = usage(started=0.0, cores=1e9, cpu_s=1e15)
    known = told(live(), ended(said), NOW)
    assert len(known.problems) == 3
    found = close(live(cores=2.0), ended(said))
    assert (found.started, found.cores, found.cpu_s) == (live().started, 2.0, None)


def test_energy_is_measured_where_it_can_be():
    site = SiteAccounting(
        watts={"core": 10, "gpu": 300, "gib": 0.5}, pue=1.5, grid={"2026-11": 200, "2026-12": 100}
    )
    draw = Draw(4.0, 1.0, 8 * 2**30)
    estimated = energy(site, draw, NOW, NOW + HOUR)
    assert estimated.kwh == pytest.approx(0.344 * 1.5)
    assert (estimated.source, estimated.co2e_g) == ("estimated", pytest.approx(0.516 * 200))
    measured = energy(site, draw, NOW, NOW + HOUR, 3.6e6)
    assert (measured.kwh, measured.source) == (1.5, "measured")
    turn = at("2026-12-01 00:00")
    halves = energy(site, draw, turn - HOUR, turn + HOUR, 3.6e6)
    assert halves.co2e_g == pytest.approx(1.5 * 150)
    assert energy(SiteAccounting(), draw, NOW, NOW + HOUR).source == ""
    assert energy(SiteAccounting(grid=100), draw, NOW, NOW + HOUR).co2e_g is None


def test_hours_count_for_one_group():
    assert attributed(("b", "c"), ["a", "c", "b"]) == "b"
    assert attributed(None, ["a", "c"]) == "a"
    assert attributed(("x",), ["a"]) == "a"
    assert attributed(None, []) == ""
    member = "urn:geant:example.org:group:itw:role=member#aai.example.org"
    any_role = "urn:geant:example.org:group:itw:role=*#aai.example.org"
    assert attributed((member, "b"), ["a", "b"], [member]) == member
    assert attributed((any_role,), ["a"], [member]) == any_role
    assert attributed((member,), ["a"], [member.replace("example.org:", "example.com:")]) == "a"
    assert fqan(any_role) == "/itw"


def test_all_containers_of_a_pod_count():
    containers: list[dict[str, Any]] = [
        {"resources": {"limits": {"cpu": "1500m", "memory": "2Gi"}}},
        {"resources": {"requests": {"cpu": 0.25, "memory": "512Mi"}}},
        {"resources": {"limits": {"cpu": "much"}}},
        {},
    ]
    pod = {"spec": {"containers": containers}}
    assert limit(pod, "cpu") == 1.75
    assert limit(pod, "memory") == 2.5 * 2**30
    assert limit(pod, "nvidia.com/gpu") == 0
