"""The usage API: what it answers, and that nobody reads what is another's."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from farlab_hub.apel.formats import CLOUD
from farlab_hub.apel.items import Item, Refusal
from farlab_hub.apel.message import read_message
from farlab_hub.apel.state import Batch
from farlab_hub.apel.state import State as Publication
from farlab_hub.identity.person import Person
from farlab_hub.models import Change, now
from farlab_hub.states import State
from farlab_real.usage_records import record
from prometheus_client.parser import text_string_to_metric_families

DOCS = Path(__file__).parents[2] / "docs"
MANAGERS = """
accounting: {managers: {itw: [mara], other: [otto]}}
"""
# What each is answered about alice's usage: in the group itw, whose manager mara is.
WAYS = {
    "": "own",
    "owner=alice": "alice",
    "owner=alice&group=itw": "group",
    "group=itw": "group",
    "all=true": "all",
}
MAY = {
    "own": {"alice": 200, "bob": 200, "mara": 200, "otto": 200, "admin": 200},
    "alice": {"alice": 200, "bob": 403, "mara": 403, "otto": 403, "admin": 200},
    "group": {"alice": 403, "bob": 403, "mara": 200, "otto": 403, "admin": 200},
    "all": {"alice": 403, "bob": 403, "mara": 403, "otto": 403, "admin": 200},
}
MEMBER = "urn:geant:example.org:group:itw:role=member#aai.example.org"
ROLES = ["alice", "bob", "mara", "otto", "admin", "spawner", "scraper", ""]
OF_SOMEBODY = ["usage", "usage/now", "usage/records", "usage/export", "usage/overview"]


@pytest.fixture
async def told(place: Any) -> Any:
    """A service with records of alice, bob and carl, of yesterday, and a live one of alice."""
    place.catalogue.write_text(place.catalogue.read_text() + MANAGERS)
    hub = place.hub.tokens
    for name in ("mara", "otto"):
        hub[name] = {**hub["bob"], "name": name}
    hub["scraper"] = {"name": "scraper", "kind": "service", "scopes": ["custom:farlab:metrics"]}
    running = await place.start()
    ledger = running.service.recorder.ledger
    day = now() - 86400
    times = {"submitted": day - 7200, "started": day - 3600, "ended": day, "heartbeat": day}
    for n, owner in enumerate(["alice", "alice", "bob", "carl"]):
        vo = "" if owner == "carl" else "itw"
        site, cores = ["vega", "cloud"][n % 2], float(n + 1)
        await ledger.put(
            record(n, owner=owner, vo=vo, site=site, cores=cores, gpus=1.0, cpu_s=10.0, **times)
        )
    uid = await place.submitted()
    place.sites["cloud"].run(uid)
    await running.api.state(uid, "starting")
    return running


async def status(running: Any, path: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with running.api.session.get(running.api.base + path, headers=headers) as answer:
        await answer.read()
        return answer.status


@pytest.mark.parametrize("role", ROLES)
async def test_every_address_as_everybody(told, role):
    found, expected = {}, {}
    for path in OF_SOMEBODY:
        for way, kind in WAYS.items():
            # alice is not in the list of itw's managers, but her own usage there is hers.
            own = role == "alice" and way.startswith("owner=alice")
            service = {"": 401}.get(role, 403)
            expected[path, way] = 200 if own else MAY[kind].get(role, service)
            found[path, way] = await status(told, f"{path}?{way}", role)
    for path, allowed in (
        ("usage/health", ("admin",)),
        ("metrics", ("admin", "scraper")),
    ):
        expected[path, ""] = 200 if role in allowed else 403 if role else 401
        found[path, ""] = await status(told, path, role)
    assert found == expected


async def test_a_token_for_figures_opens_nothing_else(told, place):
    place.hub.tokens["narrow"] = {**place.hub.tokens["alice"], "scopes": ["custom:farlab:metrics"]}
    assert await status(told, "metrics", "narrow") == 200
    for path in ("usage", "identity", "workloads", "sites", "nothing/here"):
        assert await status(told, path, "narrow") == 403


@pytest.mark.parametrize("role", ROLES)
async def test_everybody_learns_whose_usage_is_theirs_to_read(told, role):
    path = "usage/readable"
    if not role:
        assert await status(told, path, role) == 401
        return
    if role == "scraper":
        assert await status(told, path, role) == 403
        return
    groups = {"mara": ["itw"], "otto": ["other"]}.get(role, [])
    expected = {"groups": groups, "all": role == "admin"}
    assert await get(told, path, role) == expected


TARGETS = """
publishing:
  - {name: apel, records: cloud, names: global, folder: out}
  - {name: slurm, records: jobs, sites: [vega], names: global, folder: out2}
"""


@pytest.mark.parametrize("role", ROLES)
async def test_what_is_published_of_a_workload_as_everybody(told, place, role):
    place.catalogue.write_text(
        place.catalogue.read_text().replace(
            "name: vega\n", "name: vega\n    accounting: {name: V}\n", 1
        )
        + TARGETS
    )
    uid = record(0).uid  # alice's, at vega
    allowed = 200 if role in ("alice", "admin") else 403 if role else 401
    assert await status(told, f"usage/records/{uid}/apel", role) == allowed
    assert await status(told, f"usage/records/{record(99).uid}/apel", "alice") == 404
    if allowed != 200:
        return
    cloud, job = await get(told, f"usage/records/{uid}/apel", role)
    assert (cloud["target"], cloud["records"], cloud["problem"]) == ("apel", "cloud", "")
    [entry] = read_message(cloud["text"]).entries
    assert (entry.fields["VMUUID"], entry.fields["SiteName"]) == (uid, "V")
    assert (job["target"], job["text"]) == ("slurm", "")
    assert "benchmark" in job["problem"]


async def test_records_name_their_owner_to_the_world(place, monkeypatch):
    running = await place.start()

    async def person(name: str, groups: Any) -> Person:
        return Person(name, tuple(groups), "https://aai.example.org", "4711", (MEMBER,))

    monkeypatch.setattr(running.service.people, "person", person)
    text = place.catalogue.read_text()
    place.catalogue.write_text(text.replace("groups: [itw]", f'groups: ["{MEMBER}"]', 1) + TARGETS)
    uid = await place.submitted(site="vega", groups=["first"])
    written = await running.service.recorder.ledger.get(uid)
    assert written.issuer_subject == "4711@https://aai.example.org"
    assert written.vo == MEMBER
    place.sites[written.site].run(uid)
    await running.api.state(uid, "starting")


@pytest.mark.parametrize("role", ROLES)
async def test_budgets_and_estimates_as_everybody(told, role):
    users = ("alice", "bob", "mara", "otto", "admin")
    nobody = 403 if role else 401
    expected = {
        "usage/budgets": 200 if role in users else nobody,
        "usage/budgets?owner=alice": 200 if role in ("alice", "admin") else nobody,
        "usage/budgets?group=itw": 200 if role in ("mara", "admin") else nobody,
        # Neither opens the other: mara manages itw, alice is in it.
        "usage/budgets?owner=alice&group=itw": 200 if role == "admin" else nobody,
        "usage/budgets?owner=mara&group=other": 200 if role == "admin" else nobody,
        "usage/estimate?site=cloud": (
            200 if role in users else 400 if role == "spawner" else nobody
        ),
        "usage/estimate?site=cloud&user=alice": (
            200 if role in ("alice", "admin", "spawner") else nobody
        ),
    }
    assert {path: await status(told, path, role) for path in expected} == expected


async def get(running: Any, path: str, token: str = "alice") -> Any:
    code, answer = await running.api.call("GET", path, token=token)
    assert code == 200, answer
    return answer


async def test_nobody_counts_the_users_of_others(told):
    for token, query, count in (
        ("bob", "", 1),
        ("alice", "owner=alice&group=other", 0),
        ("mara", "group=itw", 2),
        ("admin", "all=true", 3),
    ):
        found = await get(told, f"usage/overview?{query}", token)
        assert found["active_users"]["month"] == count


async def test_usage_by_site_and_day(told):
    found = await get(told, "usage?by=day,site")
    day = f"{datetime.now(UTC).date() - timedelta(days=1)}"
    assert found["totals"]["core_hours"] == pytest.approx(3.0, abs=0.1)
    assert found["totals"]["workloads"] == 3  # with the one that lives
    sites = {row["site"] for row in found["rows"]}
    assert sites == {"vega", "cloud"}
    assert day in {row["day"] for row in found["rows"]}
    assert found["totals"]["wait_hours"] == pytest.approx(2.0, abs=0.1)
    assert found["totals"]["idle_gpu_hours"] == 2.0
    mine = await get(told, "usage?by=user&all=true", "admin")
    assert [row["user"] for row in mine["rows"]] == ["alice", "bob", "carl"]
    group = await get(told, "usage?by=user&group=itw", "mara")
    assert [row["user"] for row in group["rows"]] == ["alice", "bob"]
    longago = await get(told, "usage?since=2020-01-01&until=2020-02-01")
    assert longago["rows"] == []


@pytest.mark.parametrize(
    "query", ["by=days", "since=yesterday", "until=1", "by=day,,site", "since=2026-02-30"]
)
async def test_a_question_that_makes_no_sense_is_refused(told, query):
    assert await status(told, f"usage?{query}", "alice") == 400


async def test_what_lives_now(told):
    (live,) = await get(told, "usage/now")
    assert (live["site"], live["state"], live["kind"]) == ("cloud", "starting", "server")
    assert live["elapsed_s"] >= 0
    assert 3500 < live["left_s"] <= 3600
    assert await get(told, "usage/now", "bob") == []


async def test_records_page_by_page(told):
    seen, cursor = [], ""
    while cursor is not None:
        page = await get(told, f"usage/records?all=true&limit=3&cursor={cursor}", "admin")
        seen += page["records"]
        cursor = page["next"]
    assert len({one["uid"] for one in seen}) == len(seen) == 4
    assert seen[0]["wall_s"] == pytest.approx(3600)
    (first, second) = (await get(told, "usage/records"))["records"]
    assert {first["owner"], second["owner"]} == {"alice"}


async def test_a_manager_is_not_told_of_other_groups(told):
    secret = record(50, owner="bob", groups=("itw", "secret"), ended=now() - 60)
    await told.service.recorder.ledger.put(secret)
    for path in ("usage/records?group=itw", "usage/export?group=itw"):
        headers = {"Authorization": "Bearer mara"}
        async with told.api.session.get(told.api.base + path, headers=headers) as answer:
            text = await answer.text()
        assert secret.uid in text
        assert "secret" not in text
    (own,) = (await get(told, "usage/records?limit=1", "bob"))["records"]
    assert own["groups"] == ["itw", "secret"]


async def exported(running: Any, path: str) -> tuple[Any, bytes]:
    headers = {"Authorization": "Bearer alice"}
    async with running.api.session.get(running.api.base + path, headers=headers) as answer:
        assert answer.status == 200
        return answer.headers, await answer.read()


async def test_a_spreadsheet_is_not_tricked(told):
    day = now() - 600
    times = {"submitted": day, "started": day, "ended": day + 60}
    evil = ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\t=1", 'a"b,c']
    for n, image in enumerate(evil):
        await told.service.recorder.ledger.put(record(50 + n, image=image, reason=image, **times))
    headers, body = await exported(told, "usage/export")
    assert headers["Content-Disposition"].startswith('attachment; filename="usage-')
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    images = [row["image"] for row in rows]
    assert all(f"'{text}" in images for text in evil[:5])
    assert evil[5] in images
    cells = [value for row in rows for value in row.values()]
    assert not any(value.startswith(("=", "+", "-", "@", "\t")) for value in cells)
    assert len(rows) == 8
    datetime.fromisoformat(rows[0]["started"])


async def test_parquet_has_the_same(told, tmp_path):
    headers, body = await exported(told, "usage/export?format=parquet")
    assert headers["Content-Type"] == "application/vnd.apache.parquet"
    table = pyarrow.parquet.read_table(io.BytesIO(body))
    assert table.num_rows == 2
    assert table.column("groups").to_pylist() == [["itw"], ["itw"]]
    assert table.schema.field("started").type == pyarrow.timestamp("ms", tz="UTC")


async def test_the_overview(told):
    found = await get(told, "usage/overview?all=true", "admin")
    assert found["users"][0]["user"] == "carl"
    assert {row["user"] for row in found["users"]} == {"alice", "bob", "carl"}
    assert {row["group"] for row in found["groups"]} == {"itw", ""}
    assert found["images"][0]["image"] == "/opt/plain"
    assert found["active_users"]["week"] == 3
    (vega,) = [site for site in found["starts"] if site["site"] == "vega"]
    assert vega["wait_p50"] == 3600
    group = await get(told, "usage/overview?group=itw", "mara")
    assert {row["user"] for row in group["users"]} == {"alice", "bob"}


async def test_first_cells_and_starts_are_counted(place, told):
    uid = await place.submitted()
    await told.service.journal.change(uid, Change(state=State.READY, reason="Ready"))
    failed = await place.submitted()
    place.sites["cloud"].set(failed, phase="Failed", reason="Error")
    async with asyncio.timeout(60):
        while not (await told.service.recorder.ledger.get(failed)).final:
            await asyncio.sleep(0.02)
    found = await get(told, "usage/overview?all=true", "admin")
    (cloud,) = [site for site in found["starts"] if site["site"] == "cloud"]
    assert (cloud["started"], cloud["failed"], cloud["success"]) == (1, 1, 0.5)
    assert cloud["first_cell_p50"] > 0
    metrics = await scraped(told)
    assert metrics["farlab_start_seconds_count", "cloud"] == 1
    # A service that runs for years remembers none that has ended.
    await told.api.call("DELETE", f"workloads/{uid}", token="alice")
    assert not told.service.metrics._ready
    assert (await scraped(told))["farlab_start_seconds_count", "cloud"] == 1


async def test_counters_never_go_back(told):
    ledger = told.service.recorder.ledger
    ended = record(70, site="vega", cores=100.0, final=False)
    await ledger.put(ended)
    counter = "farlab_core_seconds_total", "vega"
    before = (await scraped(told))[counter]
    await ledger.put(replace(ended, cores=1.0, final=True))
    assert (await scraped(told))[counter] == before
    await ledger.put(record(71, site="vega", cores=200.0))
    assert (await scraped(told))[counter] > before


async def test_the_ledgers_health(told):
    ledger = told.service.recorder.ledger
    await ledger.put(record(60, job_id="1000", site="vega", ended=now(), owner="carl"))
    silent = now() - 7200
    await ledger.put(record(61, started=silent, submitted=silent, heartbeat=silent, ended=None))
    await ledger.reject("vega", record(61).uid, "cores 1e9", now())
    found = await get(told, "usage/health", "admin")
    assert {site["site"] for site in found["sites"]} == {"vega", "cloud"}
    assert [gap["uid"] for gap in found["gaps"]] == [record(61).uid]
    assert found["duplicates"][0]["job_id"] == "1000"
    assert len(found["duplicates"][0]["uids"]) == 2
    assert found["rejects"][0]["problem"] == "cores 1e9"
    assert found["publication"] == []


async def test_health_tells_of_the_publication(told, place):
    month = f"{datetime.now(UTC):%Y-%m}"
    refusal = Refusal(record(0).uid, "FQAN", "", "is missing", "name a VO")
    with Publication(place.folder / "state") as state:
        batch = Batch("m1", "text", "", [(Item(CLOUD, record(0).uid, "text"), b"0")])
        state.note("apel", month, [batch])
        state.reject("apel", month, [refusal])
        state.failed("apel", "the host does not answer")
    [row] = (await get(told, "usage/health", "admin"))["publication"]
    assert row == {
        "target": "apel", "month": month, "records": 1, "messages": 0, "waiting": 1,
        "last_sent": None, "rejected": 1, "failure": "the host does not answer",
    }  # fmt: skip


async def scraped(running: Any) -> dict[tuple[str, str], float]:
    headers = {"Authorization": "Bearer scraper"}
    async with running.api.session.get(running.api.base + "metrics", headers=headers) as answer:
        assert answer.content_type == "text/plain"
        families = text_string_to_metric_families(await answer.text())
        return {
            (sample.name, sample.labels.get("site", "")): sample.value
            for family in families
            for sample in family.samples
        }


async def test_prometheus_reads_it(told):
    found = await scraped(told)
    assert found["farlab_workloads", "cloud"] == 1
    assert found["farlab_core_seconds_total", "vega"] == 4 * 3600
    assert found["farlab_idle_gpu_seconds_total", "vega"] == 2 * 3600
    assert found["farlab_workloads_ended_total", "cloud"] == 2
    assert found["farlab_ledger_unfinished", ""] == 0


async def test_the_dashboard_asks_for_what_there_is(told):
    board = json.loads((DOCS / "examples" / "grafana-dashboard.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"farlab_[a-z_]+", target["expr"])
    }
    headers = {"Authorization": "Bearer scraper"}
    async with told.api.session.get(told.api.base + "metrics", headers=headers) as answer:
        text = await answer.text()
    told_names = set(re.findall(r"^# TYPE (farlab_[a-z_]+) ", text, re.MULTILINE))
    buckets = {f"{name}_bucket" for name in told_names}
    assert asked <= told_names | buckets
