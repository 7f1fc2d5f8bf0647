"""Cancelling in every state; nothing is left at the site, sooner or later."""

from __future__ import annotations

import asyncio

import pytest
from farlab_sites.carriers import CarrierUnreachable


async def cancel(running, uid):
    return await running.api.call("DELETE", f"workloads/{uid}")


async def connects(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.mark.parametrize("phase", ["submitted", "queued", "starting", "ready"])
async def test_cancel_takes_the_job_away(place, running, agent, phase):
    site = place.sites["cloud"]
    if phase == "submitted":
        site.trouble["status"] = CarrierUnreachable("down")
    uid = await place.submitted()
    process = None
    if phase in ("starting", "ready"):
        site.run(uid)
    if phase == "ready":
        process = await agent(uid)
    await running.api.state(uid, phase)
    site.trouble.clear()

    status, workload = await cancel(running, uid)
    assert (status, workload["state"], workload["cleaned"]) == (200, "cancelled", True)
    assert workload["message"] == "Its job is gone"
    assert uid not in site.jobs
    if process is not None:  # refused from now on, so it ends its payload
        assert await asyncio.wait_for(process.wait(), 60) != 0
    async with asyncio.timeout(60):
        while await connects(workload["port"]):
            await asyncio.sleep(0.05)


async def test_cancel_before_the_first_try(place, running, monkeypatch):
    site = place.sites["cloud"]
    # The site's lane is full, so this one waits before its first try.
    monkeypatch.setattr(running.service._links.by_name["cloud"], "creating", asyncio.Semaphore(0))
    uid = (await place.announce())["uid"]
    cancelling = asyncio.create_task(cancel(running, uid))
    await running.api.state(uid, "cancelled")
    running.service._links.by_name["cloud"].creating.release()
    status, workload = await cancelling
    assert (status, workload["state"]) == (200, "cancelled")
    assert (site.creates[uid], site.deletes[uid]) == (0, 0)


async def test_cancel_in_the_middle_of_create_waits_and_leaves_nothing(place, running, until):
    site = place.sites["cloud"]
    site.gates["create"] = asyncio.Event()
    uid = (await place.announce())["uid"]
    await until(lambda: site.creates[uid] == 1)
    cancelling = asyncio.create_task(cancel(running, uid))
    await running.api.state(uid, "cancelled")
    assert site.deletes[uid] == 0  # a delete now could be quicker than the create
    site.gates["create"].set()
    status, workload = await cancelling
    assert (status, workload["state"], workload["cleaned"]) == (200, "cancelled", True)
    assert (site.creates[uid], site.jobs) == (1, {})


async def test_cancel_while_the_site_is_down_says_so_and_cleans_later(place, running, monkeypatch):
    monkeypatch.setattr("farlab_hub.workloads.CANCEL_PATIENCE", 0.3)
    monkeypatch.setattr("farlab_hub.cleaning.LONGEST_PAUSE", 0.2)
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.trouble["all"] = CarrierUnreachable("connection refused")
    status, workload = await cancel(running, uid)
    assert (status, workload["state"], workload["cleaned"]) == (202, "cancelled", False)
    told = await running.api.until(uid, lambda w: "as soon as it answers" in w["message"])
    assert "Cloud has not answered since" in told["message"]
    site.trouble.clear()
    await running.api.until(uid, lambda w: w["cleaned"])
    assert uid not in site.jobs


async def test_cleaning_outlives_the_service(place, running, monkeypatch):
    monkeypatch.setattr("farlab_hub.workloads.CANCEL_PATIENCE", 0.3)
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.trouble["all"] = CarrierUnreachable("connection refused")
    assert (await cancel(running, uid))[0] == 202
    await place.stop()
    again = await place.start()
    site.trouble.clear()
    await again.api.until(uid, lambda w: w["cleaned"])
    assert uid not in site.jobs


async def test_a_job_that_does_not_end_is_not_called_gone(place, running, monkeypatch, until):
    monkeypatch.setattr("farlab_hub.workloads.CANCEL_PATIENCE", 0.3)
    monkeypatch.setattr("farlab_hub.cleaning.LONGEST_PAUSE", 0.05)
    site = place.sites["cloud"]
    site.stubborn = True
    uid = await place.submitted()
    site.run(uid)
    assert (await cancel(running, uid))[0] == 202
    await until(lambda: site.deletes[uid] > 2)
    assert not (await running.api.get(f"workloads/{uid}"))["cleaned"]
    site.set(uid, phase="Failed")
    await running.api.until(uid, lambda w: w["cleaned"])


async def test_a_create_that_timed_out_is_taken_away_even_if_it_arrives_late(
    place, running, monkeypatch, until
):
    monkeypatch.setattr("farlab_hub.submitting.UNCERTAIN", 1000.0)
    monkeypatch.setattr("farlab_hub.cleaning.LONGEST_PAUSE", 0.05)
    site = place.sites["cloud"]
    site.trouble["create"] = CarrierUnreachable("no answer in 60 s")
    uid = (await place.announce())["uid"]
    await until(lambda: site.creates[uid] >= 1)
    cancelling = asyncio.create_task(cancel(running, uid))
    await until(lambda: site.deletes[uid] >= 1)
    site.trouble.clear()  # the site was slow: only now has it the job
    await site.create({"metadata": {"uid": uid}})
    running.service._submitter.trust(uid)  # as when the time of doubt is over
    status, workload = await cancelling
    assert (status, workload["cleaned"]) == (200, True)
    assert site.jobs == {}


async def test_a_create_under_way_delays_no_other_cancel(place, running, until):
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.gates["create"] = asyncio.Event()
    slow = (await place.announce())["uid"]
    await until(lambda: site.creates[slow] == 1)
    cancelling = asyncio.create_task(cancel(running, slow))
    await running.api.state(slow, "cancelled")
    assert (await cancel(running, uid))[0] == 200
    assert not cancelling.done()
    site.gates["create"].set()
    assert (await cancelling)[0] == 200


async def test_cancel_twice_and_after_the_end(place, running):
    uid = await place.submitted()
    answers = await asyncio.gather(cancel(running, uid), cancel(running, uid))
    assert [status for status, _ in answers] == [200, 200]
    other = await place.submitted()
    place.sites["cloud"].set(other, phase="Succeeded", exit_code=0)
    await running.api.state(other, "finished")
    status, workload = await cancel(running, other)
    assert (status, workload["state"]) == (200, "finished")


async def test_what_ended_cannot_be_cancelled_back(place, running):
    status, answer = await cancel(running, "123e4567-e89b-42d3-a456-426614174000")
    assert (status, answer["code"]) == (404, "not-found")
