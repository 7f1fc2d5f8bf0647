"""Sites that are down, refuse, forget, talk rubbish; what the user reads, and what is left."""

from __future__ import annotations

import asyncio

import pytest
from farlab_sites.carriers import CarrierRejected, CarrierUnreachable


async def test_a_refused_job_fails_with_the_sites_own_words(place, running):
    site = place.sites["vega"]
    site.trouble["create"] = CarrierRejected("sbatch: error: invalid partition specified: gpu")
    uid = (await place.announce(site="vega"))["uid"]
    failed = await running.api.state(uid, "failed")
    assert failed["reason"] == "Rejected"
    assert failed["message"] == "sbatch: error: invalid partition specified: gpu"
    await running.api.until(uid, lambda w: w["cleaned"])
    assert site.creates[uid] == 1


async def test_an_unreachable_site_is_tried_again_and_says_so(place, running, monkeypatch):
    monkeypatch.setattr("farlab_hub.submitting.PAUSES", (0.05,))
    site = place.sites["cloud"]
    site.trouble["create"] = CarrierUnreachable("connection refused")
    uid = (await place.announce())["uid"]
    waiting = await running.api.until(uid, lambda w: w["reason"] != "")
    assert waiting["state"] == "requested"
    assert waiting["reason"].startswith("Cloud has not answered since")
    assert waiting["reason"].endswith("(connection refused); trying again")
    site.trouble.clear()
    await running.api.state(uid, "queued")


async def test_patience_with_an_unreachable_site_ends(place, running, monkeypatch):
    monkeypatch.setattr("farlab_hub.submitting.PAUSES", (0.05,))
    monkeypatch.setattr("farlab_hub.submitting.PATIENCE", 0.3)
    monkeypatch.setattr("farlab_hub.submitting.UNCERTAIN", 0.1)
    monkeypatch.setattr("farlab_hub.cleaning.LONGEST_PAUSE", 0.1)
    site = place.sites["cloud"]
    site.trouble["all"] = CarrierUnreachable("connection refused")
    uid = (await place.announce())["uid"]
    failed = await running.api.state(uid, "failed")
    assert failed["reason"] == "Unreachable"
    assert "Cloud has not answered since" in failed["message"]
    assert not failed["cleaned"]
    site.trouble.clear()
    await running.api.until(uid, lambda w: w["cleaned"])


async def test_a_site_that_goes_away_changes_no_state(place, running, agent):
    site = place.sites["cloud"]
    queued, ready = await place.submitted(), await place.submitted()
    site.set(queued, message="place 3 of 12")
    site.run(ready)
    await agent(ready)
    await running.api.until(queued, lambda w: w["message"] == "place 3 of 12")
    await running.api.state(ready, "ready")

    site.trouble["all"] = CarrierUnreachable("connection refused")
    for uid, state in ((queued, "queued"), (ready, "ready")):
        dark = await running.api.until(uid, lambda w: "has not answered since" in w["reason"])
        assert dark["state"] == state
    seen = (await running.api.get(f"workloads/{ready}"))["seq"]
    asked = site.calls["status"]
    while site.calls["status"] < asked + 3:
        await running.api.get("workloads")
    assert (await running.api.get(f"workloads/{ready}"))["seq"] == seen  # said once

    site.trouble.clear()
    await running.api.until(ready, lambda w: (w["state"], w["reason"]) == ("ready", ""))
    back = await running.api.until(queued, lambda w: w["reason"] == "Priority")
    assert back["message"] == "place 3 of 12"


async def test_a_forgotten_job_has_failed_after_a_few_answers(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    kept = await place.submitted()
    await running.api.state(uid, "queued")
    site.jobs.pop(uid)
    failed = await running.api.state(uid, "failed")
    assert failed["reason"] == "Lost"
    assert f"job-{uid[:4]}" in failed["message"]
    assert (await running.api.get(f"workloads/{kept}"))["state"] == "queued"


async def test_an_exit_code_is_said_in_words(place, running):
    site = place.sites["cloud"]
    site.text = "sh: farlab-agent: not found"
    uid = await place.submitted()
    site.set(uid, phase="Failed", reason="Error", exit_code=127)
    failed = await running.api.state(uid, "failed")
    assert "the image has no farlab-agent or no jupyterhub-singleuser" in failed["message"]
    assert failed["log_tail"] == "sh: farlab-agent: not found"


async def test_an_end_without_a_log_is_still_an_end(place, running):
    site = place.sites["cloud"]
    site.trouble["logs"] = CarrierUnreachable("no")
    uid = await place.submitted()
    site.set(uid, phase="Failed", reason="NodeFailure", message="node7 went down", exit_code=1)
    failed = await running.api.state(uid, "failed")
    assert (failed["reason"], failed["message"]) == ("NodeFailure", "node7 went down")


async def test_one_question_a_site_for_all_workloads(place, running):
    site = place.sites["cloud"]
    uids = [await place.submitted() for _ in range(10)]
    for uid in uids:
        await running.api.state(uid, "queued")
    asked, statuses = [], site.status

    async def counting(pods):
        asked.append(len(pods))
        return await statuses(pods)

    site.status = counting
    while len(asked) < 3:
        await running.api.get("workloads")
    assert set(asked) == {10}


async def test_logs(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    site.text = "one\ntwo\n"
    assert await running.api.get(f"workloads/{uid}/logs?tail=5") == {
        "uid": uid,
        "log": "one\ntwo\n",
    }

    site.trouble["logs"] = CarrierUnreachable("connection refused")
    status, answer = await running.api.call("GET", f"workloads/{uid}/logs")
    assert (status, answer["code"]) == (503, "no-log")
    assert "Cloud does not give the log: connection refused" in answer["message"]
    site.trouble["logs"] = CarrierRejected("no such container")
    status, answer = await running.api.call("GET", f"workloads/{uid}/logs")
    assert (status, answer["code"]) == (502, "no-log")

    site.trouble.clear()
    site.set(uid, phase="Failed", exit_code=1)
    await running.api.until(uid, lambda w: w["cleaned"])
    site.text = ""
    assert (await running.api.get(f"workloads/{uid}/logs"))["log"] == "one\ntwo"


async def test_a_broken_watcher_goes_on(place, running):
    site = place.sites["cloud"]
    uid = await place.submitted()
    broken, status = 0, site.status

    async def breaks(pods):
        nonlocal broken
        broken += 1
        if broken < 3:
            raise RuntimeError("a bug")
        return await status(pods)

    site.status = breaks
    site.set(uid, message="place 1")
    await running.api.until(uid, lambda w: w["message"] == "place 1")
    assert broken >= 3


async def test_a_fault_of_our_own_leaves_nothing_hanging(place, running, monkeypatch):
    monkeypatch.setattr("farlab_hub.submitting.UNCERTAIN", 0.1)
    site = place.sites["cloud"]
    site.trouble["create"] = site.trouble["delete"] = RuntimeError("a bug")
    uid = (await place.announce())["uid"]
    failed = await running.api.state(uid, "failed")
    assert failed["message"] == "The hub service could not hand it over."
    site.trouble.clear()
    await running.api.until(uid, lambda w: w["cleaned"])


async def test_many_jobs_that_end_at_once(place, running):
    site = place.sites["cloud"]
    uids = [await place.submitted() for _ in range(20)]
    site.gates["logs"] = asyncio.Event()
    for uid in uids:
        site.set(uid, phase="Failed", reason="DeadlineExceeded", exit_code=143)
    site.gates["logs"].set()
    for uid in uids:
        await running.api.state(uid, "failed")


@pytest.mark.parametrize("verb", ["create", "status"])
async def test_a_slow_site_blocks_no_other(place, running, verb):
    place.sites["vega"].gates[verb] = asyncio.Event()
    slow = (await place.announce(site="vega"))["uid"]
    uid = await place.submitted()
    await running.api.state(uid, "queued")
    assert (await running.api.get(f"workloads/{slow}"))["state"] in ("requested", "submitted")
    place.sites["vega"].gates[verb].set()
    await running.api.state(slow, "queued")
