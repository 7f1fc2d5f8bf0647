"""interLink's protocol on the wire: what is sent, and what answers mean."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from farlab_sites.interlink import Status, create_body, logs_body, status_body
from farlab_sites.podstatus import pod_status

Json = dict[str, Any]
UID = "6a1f7c1e-6d0b-4a3e-8f43-0f6f6a3d9f10"


def _named(kind: str, name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": data}


SECRETS = [
    _named("Secret", "env", KEY=base64.b64encode(b"value").decode()),
    _named("Secret", "files", key=base64.b64encode(b"\xff\x00").decode()),
    _named("Secret", "unused", x="eA=="),
]
CONFIGMAPS = [_named("ConfigMap", "settings", a="1", b="2"), _named("ConfigMap", "more", c="3")]
POD: Json = {
    "metadata": {"name": "server", "namespace": "hub", "uid": UID},
    "spec": {
        "initContainers": [{"name": "init", "volumeMounts": [{"name": "s", "mountPath": "/s"}]}],
        "containers": [
            {
                "name": "notebook",
                "image": "x",
                "env": [
                    {"name": "A", "value": "b"},
                    {"name": "K", "valueFrom": {"secretKeyRef": {"name": "env", "key": "KEY"}}},
                    {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "more"}}],
                "volumeMounts": [
                    {"name": "c", "mountPath": "/c"},
                    {"name": "p", "mountPath": "/p"},
                    {"name": "e", "mountPath": "/e"},
                ],
            },
            {"name": "side", "volumeMounts": None},
        ],
        "volumes": [
            {"name": "s", "secret": {"secretName": "files"}},
            {"name": "c", "configMap": {"name": "settings"}},
            {"name": "e", "emptyDir": {}},
            {
                "name": "p",
                "projected": {
                    "sources": [
                        {
                            "configMap": {
                                "name": "settings",
                                "items": [{"key": "a", "path": "d/a"}],
                            }
                        },
                        {"secret": {"name": "files"}},
                        {"serviceAccountToken": {"path": "token"}},
                    ]
                },
            },
        ],
    },
}


def test_create_sends_each_container_what_it_uses() -> None:
    body = create_body(POD, SECRETS, CONFIGMAPS)
    assert body["pod"] == POD
    init, notebook, side = body["container"]
    none = {"configMaps": None, "projectedvolumemaps": None, "secrets": None, "emptyDirs": None}
    assert init == {**none, "name": "init", "secrets": [SECRETS[1]]}
    assert side == {**none, "name": "side"}
    assert notebook["secrets"] == [SECRETS[0]]
    assert notebook["configMaps"] == CONFIGMAPS
    (projected,) = notebook["projectedvolumemaps"]
    assert projected["metadata"]["name"] == "p"
    assert projected["data"] == {"d/a": "1"}
    assert projected["binaryData"] == {"key": base64.b64encode(b"\xff\x00").decode()}


def test_status_sends_nobodys_environment() -> None:
    (pod,) = status_body([POD])
    assert pod["metadata"] == {**POD["metadata"], "annotations": {"farlab/usage": "wanted"}}
    assert pod["spec"]["containers"] == [{"name": "notebook"}, {"name": "side"}]
    assert "value" not in json.dumps(pod)


def test_logs_ask_as_interlink_does() -> None:
    body = logs_body(POD, "notebook", 20)
    assert body["PodUID"] == UID
    assert body["ContainerName"] == "notebook"
    assert body["Opts"]["Tail"] == 20
    assert body["Opts"]["Bytes"] == 0


STARTED, FINISHED = "2026-11-26T10:00:00Z", "2026-11-26T10:05:00+01:00"
RUNNING = {"running": {"startedAt": STARTED}}
QUEUED = {"waiting": {"reason": "Queued", "message": "place 3 of 12"}}


def _ended(code: int, reason: str = "", message: str = "") -> Json:
    ended = {"exitCode": code, "reason": reason, "message": message}
    return {"terminated": ended | {"startedAt": STARTED, "finishedAt": FINISHED}}


def _status(states: list[Json], inits: list[Json] | None = None) -> Status:
    def listed(items: list[Json] | None) -> list[Json] | None:
        return items and [{"name": f"c{n}", "state": item} for n, item in enumerate(items)]

    answer = {"name": "server", "UID": UID, "namespace": "hub", "JID": "42", "node": "n1"}
    return Status.model_validate(
        {**answer, "containers": listed(states), "initContainers": listed(inits), "new": 1}
    )


@pytest.mark.parametrize(
    ("states", "inits", "phase", "reason", "message", "code"),
    [
        ([QUEUED], None, "Waiting", "Queued", "place 3 of 12", None),
        ([], None, "Waiting", "", "", None),
        ([{}], None, "Waiting", "", "", None),
        ([RUNNING], None, "Running", "Running", "", None),
        ([_ended(0)], None, "Succeeded", "Completed", "", 0),
        ([_ended(3)], None, "Failed", "Error", "", 3),
        ([_ended(137, "OOMKilled", "used 2 GB")], None, "Failed", "OOMKilled", "used 2 GB", 137),
        ([_ended(0), RUNNING], None, "Running", "Running", "", None),
        ([_ended(1), RUNNING], None, "Running", "Running", "", None),
        ([_ended(0), QUEUED], None, "Waiting", "Queued", "place 3 of 12", None),
        ([_ended(0), _ended(0)], None, "Succeeded", "Completed", "", 0),
        ([_ended(0), _ended(2, "", "second")], None, "Failed", "Error", "second", 2),
        ([QUEUED], [_ended(1, "Error", "init")], "Failed", "Error", "init", 1),
        ([QUEUED], [_ended(0)], "Waiting", "Queued", "place 3 of 12", None),
        ([{}], [RUNNING], "Waiting", "PodInitializing", "the init container c0 is running", None),
        ([{}], [QUEUED], "Waiting", "Queued", "place 3 of 12", None),
    ],
)
def test_a_pods_state_is_that_of_its_containers(
    states: list[Json],
    inits: list[Json] | None,
    phase: str,
    reason: str,
    message: str,
    code: int | None,
) -> None:
    found = pod_status(_status(states, inits))
    assert (found.phase, found.reason, found.message) == (phase, reason, message)
    assert found.exit_code == code
    assert (found.uid, found.job_id, found.node) == (UID, "42", "n1")
    if phase in ("Succeeded", "Failed"):
        assert found.started_at == datetime(2026, 11, 26, 10, tzinfo=UTC)
        assert found.finished_at == datetime(2026, 11, 26, 9, 5, tzinfo=UTC)
