"""Usage records as APEL takes them: every kind of them is read by the independent reader."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from farlab_hub.apel.items import Item, Refusal
from farlab_hub.apel.message import json_message, text_message
from farlab_hub.apel.months import Month, months_between
from farlab_hub.apel.naming import Place, fqan
from farlab_hub.apel.publisher import items_for
from farlab_hub.apel.validator import check_message
from farlab_hub.ledger.records import UsageRecord
from farlab_real.apel_parts import HOUR, NOVEMBER, OCTOBER, PLACES, target, usage
from farlab_real.apel_reader import Record, read, row_key
from farlab_sites.login import Login
from farlab_spawner.memberships import groups_of

M10, M11, M12 = Month(2026, 10), Month(2026, 11), Month(2026, 12)


def made(
    usages: list[UsageRecord],
    /,
    month: Month = M10,
    places: dict[str, Place] = PLACES,
    **how: object,
) -> tuple[list[Record], list[Refusal]]:
    """Return what the reader finds in the messages of a month, and what was refused."""
    items = list(items_for(target(**how), month, lambda _: usages, places))
    good = [item for item in items if isinstance(item, Item)]
    found: list[Record] = []
    for item in good:
        is_json = item.text.startswith("{")
        text = json_message([item.text]) if is_json else text_message(item.format, [item.text])
        assert check_message(text) == []
        found += read(text)
    return found, [item for item in items if isinstance(item, Refusal)]


def test_a_cloud_record_says_everything() -> None:
    record = usage()
    [found], refused = made([record], names="global")
    assert refused == []
    assert found == {
        "": "APEL-cloud-message: v0.4",
        "RecordCreateTime": OCTOBER + 3 * HOUR,
        "VMUUID": record.uid,
        "SiteName": "VEGA",
        "CloudComputeService": "vega",
        "MachineName": "4711",
        "LocalUserId": "itw001",
        "LocalGroupId": "vo.example.org",
        "GlobalUserName": "1234@https://aai.example.org",
        "FQAN": ("vo.example.org", "/vo.example.org", ""),
        "Status": "completed",
        "StartTime": OCTOBER + HOUR,
        "EndTime": OCTOBER + 3 * HOUR,
        "WallDuration": 2 * HOUR,
        "CpuDuration": 40_000,
        "CpuCount": Decimal(8),
        "Memory": 64 * 2**30,
        "BenchmarkType": "hepscore23",
        "Benchmark": Decimal("12.5"),
        "ImageId": "registry.example.org/itwinai:1.0",
        "CloudType": "Farlab",
    }


def test_names_are_withheld_unless_they_are_asked_for() -> None:
    for kind in ("cloud", "jobs", "summaries"):
        [found, *_], _ = made([usage()], records=kind)
        assert found["GlobalUserName"] == "withheld"
        assert found.get("LocalUserId", "withheld") == "withheld"
        assert "1234" not in str(found)
        assert "alice" not in str(found)


def test_memory_has_the_targets_unit() -> None:
    [found], _ = made([usage()], memory="GB")
    assert found["Memory"] == 69
    [found], _ = made([usage(memory=2**28)], memory="GB")
    assert found["Memory"] == 1
    [found], _ = made([usage(memory=0)])
    assert "Memory" not in found


def test_a_workload_of_three_months_has_a_cumulative_record_in_each() -> None:
    record = usage(started=OCTOBER + 100.4, ended=M12.start + 600.0, cpu_s=1e6)
    rows = [row for month in (M10, M11, M12) for row in made([record], month)[0]]
    assert [row_key(row)[1:] for row in rows] == [(10, 2026), (11, 2026), (12, 2026)]
    assert {row["VMUUID"] for row in rows} == {record.uid}
    assert [row["Status"] for row in rows] == ["started", "started", "completed"]
    walls = [row["WallDuration"] for row in rows]
    assert walls == [31 * 86400 - 100, 61 * 86400 - 100, 61 * 86400 + 500]
    assert rows[2]["CpuDuration"] == 1_000_000
    assert rows[0]["CpuDuration"] == pytest.approx(1e6 * walls[0] / walls[2], abs=1)
    assert made([record], M12.next()) == ([], [])


def test_a_workload_that_runs_is_replaced_by_itself_until_it_is_final() -> None:
    begun = usage(ended=None, heartbeat=OCTOBER + 2 * HOUR, cpu_s=None)
    [early], _ = made([begun])
    [ended], _ = made([usage(uid=begun.uid, final=False)])
    [final], _ = made([usage(uid=begun.uid)])
    assert [one["Status"] for one in (early, ended, final)] == ["started", "started", "completed"]
    assert "CpuDuration" not in early
    assert early["WallDuration"] == HOUR
    assert len({row_key(one) for one in (early, ended, final)}) == 1


def test_what_never_ran_or_ran_elsewhere_is_in_no_record() -> None:
    others = [
        usage(started=None, ended=OCTOBER + 60.0),
        usage(site="another"),
        usage(started=NOVEMBER + 60.0, ended=NOVEMBER + 120.0),
        usage(ended=None, heartbeat=OCTOBER - 60.0, started=OCTOBER - 120.0),
    ]
    assert made(others) == ([], [])


def test_an_end_in_the_last_half_second_stays_in_its_month() -> None:
    [found], _ = made([usage(ended=NOVEMBER - 0.3)])
    assert row_key(found)[1:] == (10, 2026)
    assert made([usage(ended=NOVEMBER - 0.3)], M11) == ([], [])


def test_parts_of_cores_go_into_cloud_records_only() -> None:
    half = usage(cores=0.5)
    [found], _ = made([half])
    assert found["CpuCount"] == Decimal("0.5")
    for kind in ("jobs", "summaries"):
        found_none, [refusal] = made([half], records=kind)
        assert found_none == []
        assert "Processors" in str(refusal)
        assert "records: cloud" in str(refusal)
        assert half.uid in str(refusal)


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("vo.example.org", "/vo.example.org"),
        ("/vo/sub/Role=x", "/vo/sub/Role=x"),
        ("urn:geant:egi.eu:group:vo:sub:role=admin#aai.egi.eu", "/vo/sub/Role=admin"),
        ("urn:mace:egi.eu:group:vo.example.org#aai.egi.eu", "/vo.example.org"),
        ("", ""),
    ],
)
def test_groups_become_fqans(group: str, name: str) -> None:
    assert fqan(group) == name


@pytest.mark.parametrize("path", ["vo", "vo:sub", "vo:sub:role=admin", "vo:role=admin"])
def test_what_the_login_makes_of_an_entitlement_is_the_same_fqan(path: str) -> None:
    entitlement = f"urn:geant:example.org:group:{path}#aai.example.org"
    login = Login(issuer="https://aai.example.org", client_id="hub")
    [group] = groups_of(login, {"entitlements": [entitlement]})
    assert fqan(group) == fqan(entitlement)
    for kind in ("cloud", "jobs", "summaries"):
        assert made([usage(vo=group)], records=kind)[1] == []


def test_without_a_vo_a_record_is_refused_or_counted_for_the_targets() -> None:
    alone = usage(vo="", groups=())
    for kind in ("cloud", "jobs", "summaries"):
        found, [refusal] = made([alone], records=kind)
        assert found == []
        assert refusal.field in ("FQAN", "VO")
        assert refusal.words == "is missing"
        assert made([alone], records=kind, vo="vo.all")[1] == []


def test_a_clock_that_moved_back_is_refused_with_the_record() -> None:
    record = usage(started=OCTOBER + 500.0, ended=OCTOBER + 100.0)
    found, [refusal] = made([record])
    assert found == []
    assert record.uid in str(refusal)


def test_strange_names_stay_one_line_of_ascii() -> None:
    strange = usage(owner="Ren\u00e9e\n%%\nVMUUID: x", issuer_subject="", account="", image="a\tb")
    [found], _ = made([strange], names="global")
    assert found["GlobalUserName"] == "Ren%C3%A9e%0A%%%0AVMUUID: x"
    assert found["ImageId"] == "a%09b"


def test_a_job_record_says_everything() -> None:
    [found], _ = made([usage()], records="jobs", names="global")
    assert found["LocalJobId"] == "4711"
    assert found["Processors"] == 8
    assert found["WallDuration"] == 2 * HOUR
    assert found["CpuDuration"] == 40_000
    assert found["MemoryReal"] == 3 * 2**20
    assert found["ServiceLevel"] == {"hepscore23": Decimal("12.5")}
    assert found["FQAN"][0] == "vo.example.org"


def test_jobs_are_in_the_month_of_their_end_and_only_when_final() -> None:
    crossing = usage(started=NOVEMBER - 600.0, ended=NOVEMBER + 600.0)
    assert made([crossing], records="jobs") == ([], [])
    [found], _ = made([crossing], M11, records="jobs")
    assert found["WallDuration"] == 1200
    assert made([usage(final=False)], records="jobs") == ([], [])


def test_job_records_need_a_benchmark_and_say_so() -> None:
    bare = {"vega": Place("VEGA", "vega")}
    for kind in ("jobs", "summaries"):
        _, [refusal] = made([usage()], places=bare, records=kind)
        assert 'add "benchmark:"' in str(refusal)
        assert '"vega"' in str(refusal)


def test_unmeasured_cpu_time_of_a_job_is_that_of_its_cores() -> None:
    [found], _ = made([usage(cpu_s=None)], records="jobs")
    assert found["CpuDuration"] == 8 * 2 * HOUR


def test_summaries_split_hours_at_the_months_end() -> None:
    records = [
        usage(),
        usage(started=NOVEMBER - 1800.0, ended=NOVEMBER + 3600.0, cpu_s=5400.0),
        usage(vo="other.vo"),
    ]
    found, _ = made(records, records="summaries")
    summaries = [one for one in found if "sync" not in one[""]]
    [sync] = [one for one in found if "sync" in one[""]]
    assert sync["NumberOfJobs"] == 3 == sum(one["NumberOfJobs"] for one in summaries)
    by_vo = {one["VO"]: one for one in summaries}
    assert by_vo["vo.example.org"]["WallDuration"] == 2 * HOUR + 1800
    assert by_vo["vo.example.org"]["CpuDuration"] == 40_000 + 1800
    assert by_vo["vo.example.org"]["LatestEndTime"] == NOVEMBER - 1
    assert by_vo["other.vo"]["EarliestEndTime"] == OCTOBER + 3 * HOUR
    later, _ = made(records, M11, records="summaries")
    assert later[0]["WallDuration"] == 3600


def test_gpu_records_are_per_month_and_beside_cloud_records() -> None:
    record = usage(gpus=2.0, gpu_type="a100", started=NOVEMBER - 600.0, ended=NOVEMBER + 1200.0)
    assert len(made([record])[0]) == 1
    cloud, gpu = made([record], gpu=True)[0]
    assert gpu["AssociatedRecord"] == cloud["VMUUID"]
    assert (gpu["Count"], gpu["Model"], gpu["AvailableDuration"]) == (Decimal(2), "a100", 600)
    _, gpu = made([record], M11, gpu=True)[0]
    assert (gpu["MeasurementMonth"], gpu["AvailableDuration"]) == (11, 1200)


def test_all_core_seconds_are_in_the_records() -> None:
    rng = random.Random(7)
    records = []
    for _ in range(300):
        start = OCTOBER + rng.randrange(0, 60 * 86400)
        end = start + rng.randrange(1, 20 * 86400)
        records.append(
            usage(started=float(start), ended=float(end), cores=rng.choice([0.25, 1, 3]))
        )
    truth = sum(Decimal(record.cores) * int(record.wall_s) for record in records)
    last = Month.of(max(record.ended or 0 for record in records))
    rows: dict[str, Record] = {}
    for month in months_between(M10, last):
        rows |= {row["VMUUID"]: row for row in made(records, month)[0]}  # a later one has all
    assert sum(row["CpuCount"] * row["WallDuration"] for row in rows.values()) == truth
    summed = 0
    whole = [record for record in records if record.cores >= 1]
    for month in months_between(M10, last):
        for row in made(whole, month, records="summaries")[0]:
            summed += row.get("WallDuration", 0) * row.get("Processors", 0)
    assert summed == sum(record.cores * record.wall_s for record in whole)
