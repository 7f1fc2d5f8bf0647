"""Servers whose pods KubeSpawner makes: waited for, followed, and cleaned up after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from farlab_hub import submitting
from farlab_sites.carriers import CarrierUnreachable, PodStatus

WAITING = PodStatus("", "", "Waiting", "Priority")


def made(place: Any, uid: str, **facts: Any) -> None:
    """Let KubeSpawner's pod appear."""
    place.sites["cluster"].jobs[uid] = replace(WAITING, uid=uid, **facts)


async def announced(place: Any, running: Any) -> str:
    body = place.announcement(site="cluster", groups=["itw"])
    status, workload = await running.api.call("POST", "workloads", json=body)
    assert status == 201, workload
    assert workload["account"] == "itw001"
    return str(workload["uid"])


async def test_a_pod_is_waited_for_and_then_followed(place, running):
    uid = await announced(place, running)
    site = place.sites["cluster"]
    assert (await running.api.get(f"workloads/{uid}"))["state"] == "requested"
    made(place, uid, reason="FailedScheduling", message="0/1 nodes are available")
    queued = await running.api.state(uid, "queued")
    assert queued["message"] == "0/1 nodes are available"
    assert "Kubernetes has its pod" in [event["message"][:22] for event in queued["events"]]
    site.run(uid)
    assert (await running.api.state(uid, "starting"))["node"] == "node7"
    assert site.creates == {}


async def test_a_pod_that_never_comes_is_not_waited_for_for_ever(place, running, monkeypatch):
    monkeypatch.setattr(submitting, "PATIENCE", 0.3)
    uid = await announced(place, running)
    failed = await running.api.state(uid, "failed")
    assert failed["reason"] == "NoPod"
    assert "has not made its pod" in failed["message"]


async def test_a_cancel_before_the_pod_came_takes_it_away_all_the_same(place, running, monkeypatch):
    monkeypatch.setattr(submitting, "UNCERTAIN", 1.0)
    uid = await announced(place, running)
    status, cancelled = await running.api.call("DELETE", f"workloads/{uid}")
    assert (status, cancelled["state"], cancelled["cleaned"]) == (200, "cancelled", True)
    # It was looked for again and again, as long as it might still have come.
    assert place.sites["cluster"].deletes[uid] > 1


async def test_a_restarted_service_goes_on_waiting(place, running):
    uid = await announced(place, running)
    await place.stop()
    running = await place.start()
    made(place, uid)
    assert (await running.api.state(uid, "queued"))["job_id"] == ""
    made(place, uid, job_id="4711")
    assert (await running.api.until(uid, lambda w: w["job_id"] == "4711"))["state"] == "queued"


async def test_while_kubernetes_is_away_it_is_said(place, running):
    place.sites["cluster"].trouble["status"] = CarrierUnreachable("Kubernetes does not answer: x")
    uid = await announced(place, running)
    waiting = await running.api.until(uid, lambda w: "Kubernetes does not answer" in w["reason"])
    assert waiting["state"] == "requested"
    place.sites["cluster"].trouble.clear()
    made(place, uid)
    await running.api.state(uid, "queued")


async def test_a_pod_that_was_deleted_while_nobody_looked(place, running):
    uid = await announced(place, running)
    made(place, uid)
    await running.api.state(uid, "queued")
    await place.stop()
    place.sites["cluster"].jobs.clear()
    running = await place.start()
    failed = await running.api.state(uid, "failed")
    assert failed["reason"] == "Deleted"
    assert "is gone from Kubernetes" in failed["message"]


async def test_a_server_on_ordinary_nodes_has_no_port_here(place, running):
    text = place.catalogue.read_text()
    place.catalogue.write_text(
        text.replace("kubernetes: {node: vk}", "kubernetes: {}").replace(
            "accounts: {vo: {itw: itw001}}", "accounts: {vo: {itw: itw001}}\n    runtime: none"
        )
    )
    uid = await announced(place, running)
    assert (await running.api.get(f"workloads/{uid}"))["address"] == ""
    made(place, uid)
    await running.api.state(uid, "queued")
    place.sites["cluster"].run(uid)
    ready = await running.api.state(uid, "ready")
    assert (ready["node"], ready["port"]) == ("node7", None)


async def test_a_kernel_is_made_by_the_service(place, running):
    wish = {"kind": "kernel", "site": "cluster"}
    status, kernel = await running.api.call("POST", "workloads", token="alice", json=wish)
    assert status == 201, kernel
    await running.api.state(kernel["uid"], "queued")
    pod = place.sites["cluster"].pods[kernel["uid"]]
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "vk"}
    assert pod["metadata"]["annotations"]["farlab/account"] == "itw001"


async def test_a_node_that_is_away_closes_the_site(place, running):
    site = place.sites["cluster"]
    words = "its node vk is not ready: Kubelet stopped posting node status."
    site.trouble["ping"] = CarrierUnreachable(words)
    uid = await announced(place, running)
    made(place, uid)  # its pods can be seen all the while
    await running.api.state(uid, "queued")
    sites = {one["name"]: one for one in await running.api.get("sites?user=alice&group=itw")}
    assert not sites["cluster"]["open"]
    assert words in sites["cluster"]["reason"]
    assert sites["cloud"]["open"]
