"""What a job used gets into the ledger, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from farlab_hub.models import now
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import free_ports
from farlab_sites.carriers import CarrierUnreachable
from farlab_sites.usage import Usage

PATIENCE = 60.0
FARLAB = str(Path(sys.executable).with_name("farlab"))


async def recorded(running: Any, uid: str, done: Callable[[Any], bool] = lambda r: r.final) -> Any:
    """Wait until a workload's record is as wished; return it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await running.service.recorder.ledger.get(uid)
            if found is not None and done(found):
                return found
            await asyncio.sleep(0.02)


def usage(**changes: Any) -> Usage:
    said = {"job_id": "1", "started": now() - 100, "ended": now() - 1, "cores": 4.0}
    return Usage(**{**said, "cpu_s": 40.0, "source": "sacct", "final": True, **changes})


async def test_a_workloads_usage_from_its_request_to_its_end(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    asked = await running.service.recorder.ledger.get(uid)
    assert (asked.started, asked.ended, asked.vo, asked.groups) == (None, None, "itw", ("itw",))
    site.run(uid)
    begun = await recorded(running, uid, lambda r: r.started is not None)
    assert begun.heartbeat >= begun.started >= begun.submitted - 1
    site.set(uid, phase="Succeeded", usage=usage())
    ended = await recorded(running, uid)
    assert (ended.cores, ended.cpu_s, ended.source) == (4.0, 40.0, "sacct")
    assert 98 <= ended.wall_s <= 100
    await running.api.until(uid, lambda w: w["state"] == "finished")


async def test_nothing_is_taken_away_before_the_last_word(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.run(uid)
    site.set(uid, phase="Succeeded", usage=usage(final=False, cpu_s=None))
    first = await recorded(running, uid, lambda r: r.ended is not None)
    assert not first.final
    assert site.deletes[uid] == 0
    site.set(uid, usage=usage(cpu_s=77.0))
    assert (await recorded(running, uid)).cpu_s == 77.0


async def test_a_batch_system_without_a_last_word_is_not_waited_for_for_ever(
    place, running, monkeypatch
):
    monkeypatch.setattr("farlab_hub.ledger.recorder.FINAL_PATIENCE", 0.1)
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.run(uid)
    site.set(uid, phase="Succeeded", usage=usage(final=False))
    found = await recorded(running, uid)
    assert (found.cpu_s, found.final) == (40.0, True)


async def test_a_cancelled_job_is_billed_until_it_is_gone(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.run(uid)
    await recorded(running, uid, lambda r: r.started is not None)
    await running.api.call("DELETE", f"workloads/{uid}", token="alice")
    found = await recorded(running, uid)
    assert (found.state, found.source) == ("cancelled", "status")
    assert found.wall_s > 0
    assert site.deletes[uid] == 1


async def test_what_a_site_says_after_its_silence_corrects_the_record(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.run(uid)
    await recorded(running, uid, lambda r: r.started is not None)
    site.trouble["all"] = CarrierUnreachable("no answer")
    cancel = asyncio.create_task(running.api.call("DELETE", f"workloads/{uid}", token="alice"))
    first = await recorded(running, uid, lambda r: r.ended is not None)
    assert not first.final
    site.set(uid, phase="Failed", usage=usage(ended=now() - 40))
    site.trouble.clear()
    assert (await recorded(running, uid)).ended < first.ended
    await cancel


async def test_an_end_while_the_service_was_down(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.run(uid)
    await recorded(running, uid, lambda r: r.started is not None)
    await place.stop()
    site.set(uid, phase="Succeeded", usage=usage())
    running = await place.start()
    assert (await recorded(running, uid)).source == "sacct"


async def test_a_job_that_the_site_lost_ends_with_its_last_heartbeat(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.run(uid)
    seen = await recorded(running, uid, lambda r: r.started is not None)
    del site.jobs[uid]
    found = await recorded(running, uid)
    assert (found.source, found.state) == ("heartbeat", "failed")
    assert seen.heartbeat <= found.ended == found.heartbeat


async def test_two_users_of_one_account_are_billed_apart(place, running):
    place.hub.tokens["bob"]["groups"] = ["itw"]
    site = place.sites["cluster"]
    for owner in ("alice", "bob"):
        body = {"kind": "kernel", "site": "cluster"}
        _, kernel = await running.api.call("POST", "workloads", token=owner, json=body)
        await running.api.until(kernel["uid"], lambda w: w["job_id"] != "")
        site.set(kernel["uid"], phase="Succeeded", usage=usage(account="itw001"))
        found = await recorded(running, kernel["uid"])
        assert (found.owner, found.account) == (owner, "itw001")
    _, mine = await running.api.call("GET", "usage?by=site", token="alice")
    assert mine["totals"]["workloads"] == 1


async def test_a_locked_database_loses_nothing(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.run(uid)
    await recorded(running, uid, lambda r: r.started is not None)
    lock = sqlite3.connect(place.folder / "state" / "farlab.sqlite", isolation_level=None)
    lock.execute("begin immediate")
    site.set(uid, phase="Succeeded", usage=usage())
    before = site.calls["status"]
    async with asyncio.timeout(PATIENCE):
        # The store has given up at least once, and the watcher goes on asking.
        while site.calls["status"] < before + 2:
            await asyncio.sleep(0.05)
    assert site.deletes[uid] == 0
    lock.execute("rollback")
    lock.close()
    assert (await recorded(running, uid)).cpu_s == 40.0
    _, total = await running.api.call("GET", "usage?by=", token="alice")
    assert total["totals"]["workloads"] == 1


async def test_a_record_that_cannot_be_written_keeps_the_job_at_its_site(
    place, running, monkeypatch
):
    ledger, site = running.service.recorder.ledger, place.sites["cloud"]
    put, fails = ledger.put, 2

    async def refused(record: Any) -> None:
        nonlocal fails
        if fails:
            fails -= 1
            assert site.deletes[record.uid] == 0
            raise OSError("disk full")
        await put(record)

    monkeypatch.setattr(ledger, "put", refused)
    uid = await place.submitted()
    site.set(uid, phase="Succeeded", usage=usage())
    await recorded(running, uid)
    assert fails == 0


async def test_a_site_that_left_the_catalogue(place, running, monkeypatch):
    monkeypatch.setattr("farlab_hub.workloads.CANCEL_PATIENCE", 0.1)
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.run(uid)
    await recorded(running, uid, lambda r: r.started is not None)
    await place.stop()
    content = yaml.safe_load(place.catalogue.read_text())
    content["sites"] = [one for one in content["sites"] if one["name"] != "cloud"]
    place.catalogue.write_text(yaml.safe_dump(content))
    running = await place.start()
    await running.api.call("DELETE", f"workloads/{uid}", token="alice")
    assert (await recorded(running, uid)).state == "cancelled"


class Service:
    """`farlab hub` as a process, with a real plugin that starts processes."""

    def __init__(self, folder: Path, hub_api: str) -> None:
        self.port, relay = free_ports(2)
        self.plugin = RunningPlugin(folder / "plugin", {"local": {"cpus": 4}})
        profile = {
            "name": "p",
            "title": "P",
            "sizes": [{"title": "s", "cpu": 1, "memory": "1Gi"}],
            "images": [{"title": "i", "image": sys.prefix}],
        }
        site = {"name": "local", "title": "Local", "kind": "cloud", "profiles": [profile]}
        catalogue = folder / "sites.yaml"
        catalogue.write_text(yaml.safe_dump({"sites": [site | {"carrier": self.plugin.carrier}]}))
        self.database = folder / "state" / "farlab.sqlite"
        self._environment = {
            **os.environ,
            "JUPYTERHUB_API_URL": hub_api,
            "JUPYTERHUB_API_TOKEN": "service",
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{self.port}",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/farlab/",
        }
        self._command = [
            FARLAB, "hub", f"--catalogue={catalogue}", f"--state-dir={folder / 'state'}",
            f"--relay-port={relay}",
        ]  # fmt: skip
        self._log = folder / "service.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stderr=log, stdout=log, start_new_session=True
            )

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def records(self, uid: str) -> list[tuple[Any, ...]]:
        """Return what the database has of a workload, read beside the service."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            query = "select started, ended, final, state from usage_records where uid = ?"
            return db.execute(query, [uid]).fetchall()


@pytest.fixture
async def service(place: Any, tmp_path: Path) -> AsyncIterator[Service]:
    found = Service(tmp_path, place.hub_api)
    with found.plugin:
        yield found
        found.kill()
        found.plugin.end()


async def call(place: Any, service: Service, verb: str, path: str, **options: Any) -> Any:
    """Call the service as soon as it answers."""
    url = f"http://127.0.0.1:{service.port}/services/farlab/api/{path}"
    headers = {"Authorization": "Bearer spawner"}
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError, aiohttp.ClientError):
                async with place.session.request(verb, url, headers=headers, **options) as answer:
                    return await answer.json()
            await asyncio.sleep(0.1)


async def test_killed_between_a_jobs_end_and_its_record(place, service, tmp_path):
    service.start()
    go = tmp_path / "go"
    code = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.05)"
    body = place.announcement(site="local", groups=[])
    container = body["pod"]["spec"]["containers"][0]
    container |= {"image": sys.prefix, "command": ["python", "-c", code], "args": [], "env": []}
    body["secrets"] = []
    uid = (await call(place, service, "POST", "workloads", json=body))["uid"]
    async with asyncio.timeout(PATIENCE):
        while not any(started for started, *_ in service.records(uid)):
            await asyncio.sleep(0.05)
    # The service dies, the job ends, and only then the service comes back.
    service.kill()
    go.touch()
    service.start()
    async with asyncio.timeout(PATIENCE):
        while not (service.records(uid) and service.records(uid)[0][2]):
            await asyncio.sleep(0.05)
    ((started, ended, final, state),) = service.records(uid)
    assert 0 < ended - started < 3600
    assert (final, state) == (1, "finished")


async def test_killed_at_any_moment_each_job_has_one_record(place, service):
    service.start()
    uids = []
    for number in range(6):
        body = place.announcement(site="local", groups=[], uid=str(uuid.uuid4()))
        container = body["pod"]["spec"]["containers"][0]
        container |= {"image": sys.prefix, "command": ["true"], "args": [], "env": []}
        body["secrets"] = []
        uids.append((await call(place, service, "POST", "workloads", json=body))["uid"])
        if number % 2:
            service.kill()
            service.start()
    async with asyncio.timeout(PATIENCE):
        while not all(rows and rows[0][2] for rows in map(service.records, uids)):
            await asyncio.sleep(0.1)
    states = [service.records(uid) for uid in uids]
    assert [len(rows) for rows in states] == [1] * 6
    assert {rows[0][3] for rows in states} == {"finished"}
    with contextlib.closing(sqlite3.connect(f"file:{service.database}?mode=ro", uri=True)) as db:
        assert db.execute("select sum(workloads) from usage_days").fetchone() == (6,)
