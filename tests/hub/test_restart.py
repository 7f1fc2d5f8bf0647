"""The service ends and comes back: with every workload where it was, on the same ports."""

from __future__ import annotations

import asyncio
import socket

from farlab_hub.models import Change
from farlab_hub.store import KEPT_EVENTS
from farlab_sites.carriers import CarrierUnreachable


async def test_a_ready_server_is_there_again(place, running, agent):
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.run(uid)
    # The agent dials the port that both services will have.
    port = int(running.relay_url.rpartition(":")[2])
    await agent(uid)
    before = await running.api.state(uid, "ready")
    await place.stop()
    again = await place.start(relay_port=port)
    after = await again.api.until(uid, lambda w: (w["state"], w["reason"]) == ("ready", ""))
    assert after["address"] == before["address"]
    async with place.session.get(after["address"]) as answer:
        assert answer.status == 200
    assert site.creates[uid] == 1


async def test_the_end_of_a_job_is_noticed_afterwards(place, running):
    uid = await place.submitted()
    gone = await place.submitted()
    await place.stop()
    place.sites["cloud"].set(uid, phase="Failed", reason="NodeFailure", message="node7 is down")
    place.sites["cloud"].jobs.pop(gone)
    again = await place.start()
    assert (await again.api.state(uid, "failed"))["reason"] == "NodeFailure"
    assert (await again.api.state(gone, "failed"))["reason"] == "Lost"


async def test_an_announced_workload_is_submitted_afterwards(place, running, until):
    site = place.sites["cloud"]
    site.gates["create"] = asyncio.Event()
    uid = (await place.announce())["uid"]
    await until(lambda: site.creates[uid] == 1)
    await place.stop()  # in the middle of the create
    site.gates.clear()
    again = await place.start()
    await again.api.state(uid, "queued")
    assert site.creates[uid] == 2  # the second is the same to the plugin
    assert len(site.jobs) == 1


async def test_a_port_that_was_taken_meanwhile_is_replaced(place, running):
    uid = await place.submitted()
    before = await running.api.get(f"workloads/{uid}")
    await place.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", before["port"]))
        other.listen()
        again = await place.start()
        after = await again.api.get(f"workloads/{uid}")
    assert after["port"] != before["port"]
    assert after["address"] == f"http://127.0.0.1:{after['port']}"
    (live,) = await again.api.get("workloads")
    assert live["address"] == after["address"]


async def test_an_ended_workload_stays_ended(place, running):
    uid = await place.submitted()
    await running.api.call("DELETE", f"workloads/{uid}")
    await place.stop()
    again = await place.start()
    ended = await again.api.get(f"workloads/{uid}")
    assert (ended["state"], ended["cleaned"]) == ("cancelled", True)
    status, _ = await again.api.call("POST", "workloads", json=place.announcement(uid=uid))
    assert status == 201
    assert place.sites["cloud"].creates[uid] == 1


async def test_a_first_agent_is_remembered(place, running, agent, kill):
    uid = await place.submitted()
    place.sites["cloud"].run(uid)
    first = await agent(uid)
    await running.api.state(uid, "ready")
    await kill(first)
    await place.stop()
    again = await place.start()
    other = await agent(uid)
    assert await asyncio.wait_for(other.wait(), 60) != 0
    lost = await again.api.until(uid, lambda w: w["reason"] != "")
    assert (lost["state"], "was lost" in lost["reason"]) == ("ready", True)


async def test_a_site_that_left_the_catalogue(place, running, monkeypatch):
    monkeypatch.setattr("farlab_hub.workloads.CANCEL_PATIENCE", 0.2)
    uid = await place.submitted()
    place.sites["cloud"].gates["create"] = asyncio.Event()
    waiting = (await place.announce())["uid"]
    await place.stop()
    text = place.catalogue.read_text().replace("name: cloud", "name: other")
    place.catalogue.write_text(text)
    place.sites["other"] = place.sites["vega"]
    again = await place.start()
    kept = await again.api.get(f"workloads/{uid}")
    assert kept["reason"] == "The site cloud is not in the catalogue any more"
    assert (await again.api.state(waiting, "failed"))["reason"] == "Rejected"
    status, cancelled = await again.api.call("DELETE", f"workloads/{uid}")
    assert (status, cancelled["state"], cancelled["cleaned"]) == (202, "cancelled", False)
    assert "end its job there" in cancelled["message"]


async def test_a_submission_that_the_disk_lost_is_said(place, running, until):
    site = place.sites["cloud"]
    site.gates["create"] = asyncio.Event()
    uid = (await place.announce())["uid"]
    await until(lambda: site.creates[uid] == 1)
    await place.stop()
    (file,) = (place.folder / "state/submissions").iterdir()
    file.write_text("{")
    again = await place.start()
    failed = await again.api.state(uid, "failed")
    assert failed["message"] == "Its description is lost in the hub's folder."


async def test_events_are_bounded(place, running):
    uid = await place.submitted()
    place.sites["cloud"].trouble["all"] = CarrierUnreachable("down")
    for number in range(KEPT_EVENTS + 50):
        await running.service.journal.change(uid, Change(message=f"place {number}"))
    workload = await running.api.get(f"workloads/{uid}")
    assert len(workload["events"]) == KEPT_EVENTS
    assert workload["events"][-1]["seq"] == workload["seq"]


async def test_a_hundred_workloads_at_once(place, running, until):
    site = place.sites["cloud"]
    announced = await asyncio.gather(*(place.announce() for _ in range(100)))
    uids = [workload["uid"] for workload in announced]
    assert len({workload["port"] for workload in announced}) == 100
    await until(lambda: len(site.jobs) == 100)
    for uid in uids:
        site.run(uid)
    for uid in uids:
        await running.api.state(uid, "starting")
    await place.stop()
    again = await place.start()
    live = await again.api.get("workloads?state=live")
    ports = {workload["uid"]: workload["port"] for workload in announced}
    assert {workload["uid"]: workload["port"] for workload in live} == ports
    answers = await asyncio.gather(*(again.api.call("DELETE", f"workloads/{uid}") for uid in uids))
    assert {status for status, _ in answers} <= {200, 202}
    for uid in uids:
        await again.api.until(uid, lambda w: w["cleaned"])
    assert site.jobs == {}
    assert set(site.creates.values()) == {1}
