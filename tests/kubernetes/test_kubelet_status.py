"""From a site's answer to the pod's status: pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from farlab_sites.kubelet.pods import Pod, trimmed
from farlab_sites.kubelet.status import Rubbish, failed_status, told_status, waiting_status

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
STAMP = "2026-01-31T12:00:00Z"
UID = "11111111-1111-1111-1111-111111111111"
HOST = "127.0.0.1"
RUNNING = {"running": {"startedAt": "2026-01-31T11:00:00Z"}}
Json = dict[str, Any]


def make(**more: Any) -> Pod:
    """Return a pod with the containers `main` and, with `inits`, others that run before it."""
    spec: Json = {"containers": [{"name": "main", "image": "python:3"}], **more.pop("spec", {})}
    meta = {"name": "p", "namespace": "ns", "uid": UID, **more.pop("metadata", {})}
    return trimmed({"metadata": meta, "spec": spec, "status": more.pop("status", {})})


def ended(code: int, reason: str = "", message: str = "") -> Json:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def answer(state: Json, **more: Any) -> Json:
    """Return what a plugin says of one container."""
    return {
        "UID": UID,
        "name": "p",
        "namespace": "ns",
        "JID": "7",
        "containers": [{"name": "main", "state": state, **more}],
        "initContainers": [],
    }


def condition(status: Json, kind: str) -> Json:
    return next(item for item in status["conditions"] if item["type"] == kind)


def told(state: Json, pod: Pod | None = None, **more: Any) -> Json:
    return told_status(pod or make(), answer(state, **more), HOST, NOW)


def test_a_running_pod() -> None:
    status = told(RUNNING, ready=True, started=True)
    assert status["phase"] == "Running"
    assert status["reason"] is None
    assert condition(status, "Ready")["status"] == "True"
    assert status["podIP"] == "127.0.0.1"
    assert status["podIPs"] == [{"ip": "127.0.0.1"}]
    [container] = status["containerStatuses"]
    assert container["ready"]
    assert container["started"]
    assert container["state"] == RUNNING
    assert container["image"] == "python:3"


def test_ready_is_what_the_site_says() -> None:
    status = told(RUNNING, ready=False, started=True)
    assert status["phase"] == "Running"
    assert condition(status, "Ready")["status"] == "False"
    assert condition(status, "Ready")["message"] == "containers with unready status: [main]"
    assert condition(status, "ContainersReady")["status"] == "False"


def test_a_site_that_says_nothing_of_readiness_has_no_probes() -> None:
    assert condition(told(RUNNING), "Ready")["status"] == "True"


def test_the_pods_address_is_the_annotations() -> None:
    pod = make(metadata={"annotations": {"interlink.eu/pod-ip": "127.0.77.3"}})
    status = told(RUNNING, pod)
    assert status["podIP"] == "127.0.77.3"
    assert status["podIPs"] == [{"ip": "127.0.77.3"}]
    assert status["hostIP"] == HOST


def test_a_waiting_pod_says_why_and_has_no_address() -> None:
    status = told({"waiting": {"reason": "Resources", "message": "waits for GPUs"}})
    assert status["phase"] == "Pending"
    assert (status["reason"], status["message"]) == ("Resources", "waits for GPUs")
    assert "podIP" not in status
    [container] = status["containerStatuses"]
    assert container["state"] == {"waiting": {"reason": "Resources", "message": "waits for GPUs"}}


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (3, "Failed")])
def test_the_exit_code_decides(code: int, phase: str) -> None:
    status = told(ended(code))
    assert status["phase"] == phase
    assert condition(status, "Ready")["status"] == "False"
    [container] = status["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == code
    assert not container["ready"]


def test_a_failed_pod_has_the_sites_words() -> None:
    status = told(ended(137, "OOMKilled", "used more than 1 GB"))
    assert (status["reason"], status["message"]) == ("OOMKilled", "used more than 1 GB")


def test_one_of_two_that_ended_leaves_the_pod_running_but_not_ready() -> None:
    spec = {"containers": [{"name": "main"}, {"name": "side"}]}
    said = answer(RUNNING, ready=True)
    said["containers"].append({"name": "side", "state": ended(0)})
    status = told_status(make(spec=spec), said, HOST, NOW)
    assert status["phase"] == "Running"
    assert condition(status, "Ready")["status"] == "False"


def test_an_init_container_that_runs() -> None:
    pod = make(spec={"initContainers": [{"name": "first", "image": "i"}]})
    said = answer({"waiting": {"reason": "PodInitializing"}})
    said["initContainers"] = [{"name": "first", "state": RUNNING}]
    status = told_status(pod, said, HOST, NOW)
    assert status["phase"] == "Pending"
    assert condition(status, "Initialized")["status"] == "False"
    said["initContainers"] = [{"name": "first", "state": ended(0)}]
    status = told_status(pod, said, HOST, NOW)
    assert condition(status, "Initialized")["status"] == "True"
    assert status["initContainerStatuses"][0]["ready"]


def test_a_failed_init_container_fails_the_pod() -> None:
    pod = make(spec={"initContainers": [{"name": "first", "image": "i"}]})
    said = answer({"waiting": {"reason": "PodInitializing"}})
    said["initContainers"] = [{"name": "first", "state": ended(2)}]
    status = told_status(pod, said, HOST, NOW)
    assert status["phase"] == "Failed"
    assert condition(status, "Initialized")["status"] == "False"


def test_restarts_and_the_last_state_are_shown() -> None:
    last = ended(1, "Error")
    [container] = told(RUNNING, restartCount=2, lastState=last)["containerStatuses"]
    assert container["restartCount"] == 2
    assert container["lastState"] == {"terminated": {"exitCode": 1, "reason": "Error"}}


def test_a_pod_whose_container_waits_for_its_next_start_runs() -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    status = told(state, restartCount=1, lastState=ended(1, "Error"))
    assert status["phase"] == "Running"
    assert condition(status, "Ready")["status"] == "False"


def test_times_of_what_has_not_changed_stay() -> None:
    old = "2026-01-01T00:00:00Z"
    conditions = [
        {"type": "Ready", "status": "True", "lastTransitionTime": old},
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": old},
        {"type": "farlab/other", "status": "True", "lastTransitionTime": old},
    ]
    pod = make(status={"conditions": conditions, "startTime": old})
    status = told(RUNNING, pod, ready=False)
    assert condition(status, "PodScheduled")["lastTransitionTime"] == old
    assert condition(status, "Ready")["lastTransitionTime"] == STAMP
    assert condition(status, "farlab/other")["status"] == "True"
    assert status["startTime"] == old


def test_a_readiness_gate_counts_too() -> None:
    pod = make(spec={"readinessGates": [{"conditionType": "farlab/gate"}]})
    status = told(RUNNING, pod, ready=True)
    assert condition(status, "ContainersReady")["status"] == "True"
    assert condition(status, "Ready")["reason"] == "ReadinessGatesNotReady"
    pod.conditions = [{"type": "farlab/gate", "status": "True"}]
    assert condition(told(RUNNING, pod, ready=True), "Ready")["status"] == "True"


@pytest.mark.parametrize(
    "said",
    [
        {"UID": UID, "containers": "many"},
        {"UID": UID, "containers": [{"state": {}}]},
        {"UID": UID, "containers": [{"name": "main", "state": {"terminated": {}}}]},
        {"UID": UID, "containers": [{"name": "main", "state": {"running": {"startedAt": "x"}}}]},
    ],
)
def test_rubbish_is_told_from_a_state(said: Json) -> None:
    with pytest.raises(Rubbish):
        told_status(make(), said, HOST, NOW)


def test_a_container_that_the_site_does_not_name_waits() -> None:
    spec = {"containers": [{"name": "main"}, {"name": "side"}]}
    status = told_status(make(spec=spec), answer(RUNNING), HOST, NOW)
    assert status["containerStatuses"][1]["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_odd_values_do_not_reach_the_api_server() -> None:
    said = answer(RUNNING, restartCount=-1, imageID=7, lastState={"odd": 1}, image=None)
    [container] = told_status(make(), said, HOST, NOW)["containerStatuses"]
    assert container["restartCount"] == 0
    assert container["imageID"] == ""
    assert container["lastState"] == {}


def test_statuses_are_there_before_any_job() -> None:
    status = waiting_status(make(), "SiteUnreachable", "no answer", HOST, NOW)
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"]["waiting"]["message"] == "no answer"
    assert condition(status, "Ready")["status"] == "False"


def test_a_pod_that_was_given_up() -> None:
    status = failed_status(make(), "JobLost", "gone", HOST, NOW)
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "JobLost", "gone")
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
