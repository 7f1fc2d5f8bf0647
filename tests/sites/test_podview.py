"""What a pod of Kubernetes says, as data: phases, events, ends, deletions."""

from __future__ import annotations

from typing import Any

import pytest
from farlab_sites.carriers.node_facts import PING, facts_of, trouble_of
from farlab_sites.carriers.podview import PodEvent, gone, status_of

ENDED = {"exitCode": 3, "reason": "Error", "finishedAt": "2026-11-26T18:00:00Z"}
DELETED = {"deletionTimestamp": "2026-11-26T18:00:05Z", "deletionGracePeriodSeconds": 5}


def pod(phase: str, state: Any = None, *, meta: Any = None, **status: Any) -> dict[str, Any]:
    if state is not None:
        status["containerStatuses"] = [{"name": "main", "state": state}]
    return {
        "metadata": {"name": "jupyter-ada", "uid": "k8s", **(meta or {})},
        "spec": {"nodeName": "node7"},
        "status": {"phase": phase, **status},
    }


def event(reason: str, message: str, time: str, kind: str = "Normal") -> PodEvent:
    return PodEvent.read(
        {"type": kind, "reason": reason, "message": message, "lastTimestamp": time, "metadata": {}}
    )


LATE, EARLY = "2026-11-26T18:00:02Z", "2026-11-26T18:00:01Z"
FAILED = event("FailedScheduling", "0/1 nodes are available", EARLY, "Warning")
SCHEDULED = event("Scheduled", "Successfully assigned to node7", LATE)
BEFORE = {**ENDED, "finishedAt": "2026-11-26T17:59:00Z"}
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "too few",
}
PREEMPTED = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}


@pytest.mark.parametrize(
    ("seen", "events", "phase", "reason", "message"),
    [
        (pod("Pending"), (), "Waiting", "Pending", ""),
        (pod("Pending"), (FAILED,), "Waiting", "FailedScheduling", "0/1 nodes are available"),
        (pod("Pending"), (SCHEDULED, FAILED), "Waiting", "Scheduled", "Successfully assigned to"),
        (pod("Pending", conditions=[UNSCHEDULABLE]), (), "Waiting", "Unschedulable", "too few"),
        (
            pod("Pending", {"waiting": {"reason": "Pending", "message": "place 3 of 12"}}),
            (FAILED,), "Waiting", "Pending", "place 3 of 12",
        ),
        (pod("Running", {"running": {"startedAt": EARLY}}), (FAILED,), "Running", "Running", ""),
        (pod("Failed", {"terminated": ENDED}), (), "Failed", "Error", ""),
        (pod("Running", {"terminated": ENDED}), (), "Failed", "Error", ""),
        (pod("Succeeded", {"terminated": {"exitCode": 0}}), (), "Succeeded", "Completed", ""),
        (
            pod("Failed", reason="FailedSubmission", message="sbatch: error: invalid partition"),
            (), "Failed", "FailedSubmission", "sbatch: error: invalid partition",
        ),
        (
            pod("Failed", {"waiting": {"reason": "x"}}, reason="Evicted", message="disk pressure"),
            (), "Failed", "Evicted", "disk pressure",
        ),
        # Deleted first, and ended by that.
        (
            pod("Failed", {"terminated": {**ENDED, "finishedAt": LATE}}, meta=DELETED),
            (), "Failed", "Deleted", "Its pod jupyter-ada was deleted in Kubernetes",
        ),
        # Ended first, and deleted afterwards.
        (
            pod("Failed", {"terminated": BEFORE}, meta=DELETED),
            (), "Failed", "Error", "",
        ),
        (pod("Running", {"running": {}}, meta=DELETED), (), "Running", "Running", ""),
    ],
)  # fmt: skip
def test_what_a_pod_says(
    seen: dict[str, Any], events: tuple[PodEvent, ...], phase: str, reason: str, message: str
) -> None:
    found = status_of("uid", seen, events, is_virtual=False)
    assert (found.uid, found.phase, found.reason) == ("uid", phase, reason)
    assert found.message.startswith(message)
    assert found.node == "node7"
    assert status_of("uid", seen, events, is_virtual=True).node is None


@pytest.mark.parametrize(
    ("last", "phase", "reason", "words"),
    [
        (pod("Running", {"running": {}}), "Failed", "Deleted", "not by this hub"),
        (pod("Pending"), "Failed", "Deleted", "not by this hub"),
        (
            pod("Running", {"running": {}}, conditions=[PREEMPTED]),
            "Failed", "Evicted", "a more urgent pod took its place",
        ),
        (pod("Succeeded", {"terminated": {"exitCode": 0}}), "Succeeded", "Completed", ""),
        (pod("Failed", {"terminated": ENDED}), "Failed", "Error", ""),
    ],
)  # fmt: skip
def test_how_a_deleted_pod_ended(last: dict[str, Any], phase: str, reason: str, words: str) -> None:
    found = gone("uid", last, is_virtual=False)
    assert (found.phase, found.reason) == (phase, reason)
    assert words in found.message


def test_the_job_is_the_kubelets_annotation() -> None:
    seen = pod("Running", {"running": {}}, meta={"annotations": {"JobID": "4711"}})
    assert status_of("uid", seen, (), is_virtual=True).job_id == "4711"


def node(ready: str = "True", **more: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "message": "Kubelet stopped posting"}
    amounts = {"cpu": "3500m", "memory": "1Gi", "pods": "110", "nvidia.com/gpu": "2", "x": "?"}
    return {
        "metadata": {"name": "n1", **more},
        "status": {"conditions": [condition], "allocatable": amounts},
    }


def test_nodes_tell_what_they_have() -> None:
    facts = facts_of([node(), node(), node("Unknown")])
    assert facts["nodes"] == 2
    assert facts["resources"] == {
        "cpu": "7",
        "pods": "220",
        "memory": str(2 * 2**30),
        "accelerators": [
            {"resourceType": "nvidia.com/gpu", "available": 4},
            {"resourceType": "x", "available": 0},
        ],
    }


@pytest.mark.parametrize(("note", "known"), [('{"status": "ok"}', True), ("rubbish", False)])
def test_a_virtual_node_repeats_what_its_plugin_said(note: str, known: bool) -> None:
    facts = facts_of([node(annotations={PING: note})])
    assert (facts == {"status": "ok"}) is known


def test_a_node_that_is_not_ready_says_why() -> None:
    assert trouble_of(node()) == ""
    assert trouble_of(node("Unknown")) == "its node n1 is not ready: Kubelet stopped posting"
    assert trouble_of({"metadata": {"name": "new"}}) == ""
