"""The life of a workload, from its request to its end, on the real application."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import pytest


def states(workload: Any) -> list[str]:
    """The states that a workload went through, in order."""
    seen = [event["state"] for event in workload["events"]]
    return [state for n, state in enumerate(seen) if n == 0 or seen[n - 1] != state]


async def test_a_server_from_its_request_to_its_end(place, running, agent):
    site = place.sites["vega"]
    workload = await place.announce(site="vega")
    uid = workload["uid"]
    assert (workload["state"], workload["account"]) == ("requested", "itw042")

    site.gates.clear()
    site.text = "fetching\nthe \x1b[31mserver\x1b[0m starts\n"
    queued = await running.api.state(uid, "queued")
    assert queued["reason"] == "Priority"
    assert queued["job_id"] == f"job-{uid[:4]}"

    site.set(uid, message="place 3 of 12 in partition gpu")
    await running.api.until(uid, lambda w: "place 3" in w["message"])

    site.run(uid)
    starting = await running.api.until(uid, lambda w: "the server starts" in w["message"])
    assert (starting["state"], starting["node"]) == ("starting", "node7")
    assert starting["reason"] == "The job runs on node7"
    assert 3500 < starting["deadline"] - starting["created"] < 3700

    await agent(uid)
    ready = await running.api.state(uid, "ready")
    assert ready["reason"] == ready["message"] == ""
    async with place.session.get(ready["address"]) as answer:
        assert answer.status == 200

    site.set(uid, phase="Failed", reason="DeadlineExceeded", message="Walltime over", exit_code=143)
    ended = await running.api.state(uid, "failed")
    assert (ended["reason"], ended["message"]) == ("DeadlineExceeded", "Walltime over")
    assert ended["exit_code"] == 143
    assert ended["log_tail"] == "fetching\nthe server starts"
    await running.api.until(uid, lambda w: w["cleaned"])
    assert uid not in site.jobs
    assert states(ended) == ["requested", "submitted", "queued", "starting", "ready", "failed"]
    assert [event["seq"] for event in ended["events"]] == list(range(1, ended["seq"] + 1))


async def test_the_pod_reaches_its_site_as_it_is_with_the_account(place, running):
    uid = await place.submitted(site="vega", owner="Alîce Ümlaut")
    pod = place.sites["vega"].pods[uid]
    assert pod["metadata"]["annotations"] == {"farlab/account": "itw043"}
    assert pod["spec"] == place.announcement(uid=uid)["pod"]["spec"]
    assert place.sites["vega"].secrets[uid][0]["data"]["TOKEN"]


async def test_nobody_names_an_account_at_a_site_without_mapping(place, running):
    body = place.announcement()
    body["pod"]["metadata"]["annotations"] = {"farlab/account": "root", "farlab/site": "cloud"}
    _, workload = await running.api.call("POST", "workloads", json=body)
    await running.api.until(workload["uid"], lambda w: w["job_id"] != "")
    annotations = place.sites["cloud"].pods[workload["uid"]]["metadata"]["annotations"]
    assert annotations == {"farlab/site": "cloud"}


def files_with(folder: Path, text: bytes) -> list[str]:
    """The files below a folder that hold these bytes; nobody else may read any."""
    found = []
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError), file.open("rb") as opened:
            assert os.fstat(opened.fileno()).st_mode & 0o077 == 0, file
            found += [file.name] if text in opened.read() else []
    return found


@pytest.mark.parametrize("end", ["submitted", "cancelled"])
async def test_secrets_are_on_disk_only_until_the_site_has_the_pod(place, running, until, end):
    site = place.sites["cloud"]
    site.gates["create"] = asyncio.Event()
    uid = (await place.announce())["uid"]
    await until(lambda: site.creates[uid] == 1)
    secret = b"dGhlLXNlY3JldC10b2tlbg"
    assert files_with(place.folder / "state", secret) == [f"{uid}.json"]
    if end == "cancelled":
        cancelling = asyncio.create_task(running.api.call("DELETE", f"workloads/{uid}"))
        await running.api.state(uid, "cancelled")
        await until(lambda: files_with(place.folder / "state", secret) == [])
        site.gates["create"].set()
        await cancelling
    site.gates["create"].set()
    await until(lambda: files_with(place.folder / "state", secret) == [])


async def test_the_same_announcement_starts_one_job(place, running):
    body = place.announcement()
    answers = await asyncio.gather(
        *(running.api.call("POST", "workloads", json=body) for _ in range(5))
    )
    assert {status for status, _ in answers} == {201}
    assert len({workload["address"] for _, workload in answers}) == 1
    await running.api.until(body["uid"], lambda w: w["job_id"] != "")
    assert place.sites["cloud"].creates[body["uid"]] == 1


async def test_an_agent_seen_before_the_sites_answer_counts(place, running, agent):
    site = place.sites["cloud"]
    site.gates["create"] = asyncio.Event()
    uid = (await place.announce())["uid"]
    await agent(uid)
    ready = await running.api.state(uid, "ready")
    assert ready["job_id"] == ""
    site.gates["create"].set()
    taken = await running.api.until(uid, lambda w: w["job_id"] != "")
    assert taken["state"] == "ready"


async def test_the_agents_word_counts_when_the_site_says_nothing(
    place, running, agent, monkeypatch
):
    monkeypatch.setattr("farlab_hub.watching.PLUGIN_FIRST", 0.2)
    uid = await place.submitted()
    place.sites["cloud"].run(uid)
    await agent(uid, "jupyterhub-singleuser-that-is-not-there")
    failed = await running.api.state(uid, "failed")
    assert failed["exit_code"] == 127
    assert "command not found: jupyterhub-singleuser-that-is-not" in failed["message"]
    await running.api.until(uid, lambda w: w["cleaned"])


async def test_a_payload_that_ends_well_is_finished(place, running, agent, monkeypatch):
    monkeypatch.setattr("farlab_hub.watching.PLUGIN_FIRST", 0.2)
    uid = await place.submitted()
    place.sites["cloud"].run(uid)
    await agent(uid, "true")
    finished = await running.api.state(uid, "finished")
    assert finished["message"] == "The server ended by itself."


async def test_the_site_knows_best_why_a_job_ended(place, running, agent, monkeypatch):
    monkeypatch.setattr("farlab_hub.watching.PLUGIN_FIRST", 1000.0)
    uid = await place.submitted()
    site = place.sites["cloud"]
    site.run(uid)
    process = await agent(uid, "false")
    assert await process.wait() == 1
    site.set(uid, phase="Failed", reason="OOMKilled", message="Used 5 GB of 4 GB", exit_code=137)
    failed = await running.api.state(uid, "failed")
    assert (failed["reason"], failed["exit_code"]) == ("OOMKilled", 137)


async def test_a_lost_agent_keeps_the_state(place, running, agent, kill):
    uid = await place.submitted()
    place.sites["cloud"].run(uid)
    process = await agent(uid)
    await running.api.state(uid, "ready")
    await kill(process)
    lost = await running.api.until(uid, lambda w: w["reason"] != "")
    assert lost["state"] == "ready"
    assert "connection to the node was lost" in lost["reason"]
    # Another agent is not the one that was lost, although it has the secret.
    other = await agent(uid)
    assert await asyncio.wait_for(other.wait(), 60) != 0
    assert (await running.api.get(f"workloads/{uid}"))["reason"] == lost["reason"]


async def test_a_second_agent_with_the_same_secret_is_refused(place, running, agent):
    uid = await place.submitted()
    place.sites["cloud"].run(uid)
    await agent(uid)
    await running.api.state(uid, "ready")
    second = await agent(uid)
    assert await asyncio.wait_for(second.wait(), 60) != 0
    ready = await running.api.get(f"workloads/{uid}")
    async with place.session.get(ready["address"]) as answer:
        assert answer.status == 200


async def test_an_agent_with_a_wrong_secret_is_refused(place, running, agent):
    uid = await place.submitted()
    process = await agent(uid, secret="guess")
    assert await asyncio.wait_for(process.wait(), 60) != 0
    await running.api.state(uid, "queued")
    assert not running.service.relay.is_connected(uid)
