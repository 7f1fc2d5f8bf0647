"""What a virtual node takes, what its site tells of itself, and what `kubectl logs` asks. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from farlab_sites.kubelet.admission import TAINT, refusal
from farlab_sites.kubelet.facts import (
    capacity,
    conditions,
    merged_taints,
    resources_patch,
    site_taints,
)
from farlab_sites.kubelet.logs import BadQuery, limited, parse_query, request
from farlab_sites.kubelet.pods import Pod, identity, trimmed
from farlab_sites.kubelet.serving import identity as reader

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
TOLERATION = {"key": TAINT["key"], "operator": "Exists"}
Json = dict[str, Any]


def manifest(*volumes: Json, tolerations: list[Json] | None = None) -> Json:
    given = [TOLERATION] if tolerations is None else tolerations
    return {"spec": {"containers": [], "volumes": list(volumes), "tolerations": given}}


def make(**meta: Any) -> Pod:
    whole = {"name": "p", "namespace": "ns", "uid": "u", **meta}
    return trimmed({"metadata": whole, "spec": {"containers": [{"name": "main"}]}})


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": TAINT["key"], "operator": "Exists"},
        {"key": TAINT["key"], "operator": "Exists", "effect": "NoSchedule"},
        {"key": TAINT["key"], "value": "true", "effect": "NoSchedule"},
        {"key": TAINT["key"], "operator": "Equal", "value": "true"},
    ],
)
def test_a_toleration_that_fits(toleration: Json) -> None:
    assert refusal(manifest(tolerations=[toleration])) is None


@pytest.mark.parametrize(
    "tolerations",
    [
        [],
        [{"key": "other", "operator": "Exists"}],
        [{"key": TAINT["key"], "value": "false"}],
        [{"key": TAINT["key"], "operator": "Exists", "effect": "NoExecute"}],
    ],
)
def test_without_the_toleration_a_pod_is_refused(tolerations: list[Json]) -> None:
    refused = refusal(manifest(tolerations=tolerations))
    assert refused is not None
    assert refused.reason == "UntoleratedTaint"
    assert "virtual-node.interlink/no-schedule=true:NoSchedule" in refused.message


@pytest.mark.parametrize(
    ("volume", "kind"),
    [
        ({"name": "home", "persistentVolumeClaim": {"claimName": "x"}}, "persistentVolumeClaim"),
        ({"name": "home", "hostPath": {"path": "/"}}, "hostPath"),
        ({"name": "home", "nfs": {}}, "nfs"),
    ],
)
def test_a_volume_that_cannot_be_carried(volume: Json, kind: str) -> None:
    refused = refusal(manifest({"name": "a", "emptyDir": {}}, volume))
    assert refused is not None
    assert refused.reason == "UnsupportedVolume"
    assert f"volume home is a {kind}" in refused.message


def test_the_sites_word_counts_before_the_configuration() -> None:
    told = {
        "resources": {
            "cpu": "64",
            "memory": "512Gi",
            "accelerators": [
                {"resourceType": "nvidia.com/gpu", "available": 8},
                {"resourceType": "quantum.example/qpu", "available": "1"},
                {"resourceType": "no domain", "available": 1},
                {"resourceType": "xilinx.com/fpga", "available": "many"},
                "rubbish",
            ],
        }
    }
    assert capacity({"cpu": "1", "pods": "10"}, told) == {
        "cpu": "64",
        "memory": "512Gi",
        "pods": "10",
        "nvidia.com/gpu": "8",
        "quantum.example/qpu": "1",
    }


@pytest.mark.parametrize(
    "told",
    [{}, {"resources": None}, {"resources": []}, {"resources": {"cpu": "x", "accelerators": 3}}],
)
def test_rubbish_leaves_the_configured_capacity(told: Json) -> None:
    assert capacity({"cpu": "1"}, told) == {"cpu": "1"}


def test_what_a_site_has_no_more_goes() -> None:
    old = {"cpu": "1", "nvidia.com/gpu": "8"}
    assert resources_patch(old, {"cpu": "2"}) == {"cpu": "2", "nvidia.com/gpu": None}


def test_taints_of_others_stay_and_the_sites_follow_it() -> None:
    other = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}
    told = {"taints": [{"key": "site/down", "value": "x", "effect": "NoSchedule"}, {"key": "y"}]}
    wanted = site_taints(told)
    first = merged_taints([other], (), wanted)
    assert first == [other, TAINT, {"key": "site/down", "value": "x", "effect": "NoSchedule"}]
    assert merged_taints(first, ["site/down"], ()) == [other, TAINT]
    assert merged_taints([TAINT], (), ()) == [TAINT]


def test_a_site_that_names_the_virtual_nodes_own_taint() -> None:
    wanted = site_taints({"taints": [TAINT]})
    assert merged_taints([], (), wanted) == [TAINT]


def test_a_node_whose_site_is_away_is_not_ready() -> None:
    good = {item["type"]: item for item in conditions((), None, NOW)}
    assert good["Ready"]["status"] == good["InterlinkConnectivity"]["status"] == "True"
    bad = {item["type"]: item for item in conditions((), "no answer", NOW)}
    assert bad["Ready"]["status"] == bad["InterlinkConnectivity"]["status"] == "False"
    assert bad["InterlinkConnectivity"]["reason"] == "InterlinkPingFailed"
    assert bad["Ready"]["message"] == "no answer"


def opts(query: dict[str, str]) -> Json:
    found: Json = request(make(), "main", parse_query(query), NOW)["Opts"]
    return found


def test_a_log_as_interlink_asks_for_it() -> None:
    assert request(make(), "main", parse_query({}), NOW) == {
        "Namespace": "ns",
        "PodUID": "u",
        "PodName": "p",
        "ContainerName": "main",
        "Opts": {
            "Tail": 0,
            "Bytes": 0,
            "Timestamps": False,
            "Follow": False,
            "Previous": False,
            "SinceSeconds": 0,
            "SinceTime": "0001-01-01T00:00:00Z",
        },
    }


def test_each_parameter_has_its_place() -> None:
    query = {"follow": "true", "tailLines": "5", "timestamps": "true", "sinceSeconds": "60"}
    found = opts(query | {"previous": "true", "limitBytes": "10"})
    assert found["Follow"] is found["Timestamps"] is found["Previous"] is True
    assert (found["Tail"], found["SinceSeconds"], found["Bytes"]) == (5, 60, 0)
    assert opts({"sinceTime": "2026-01-01T00:00:00Z"})["SinceTime"] == "2026-01-01T00:00:00Z"


def test_no_line_is_not_every_line() -> None:
    assert parse_query({"tailLines": "0"}).nothing
    assert not parse_query({"tailLines": "0", "follow": "true"}).nothing
    assert opts({"tailLines": "0", "follow": "true"})["SinceTime"] == "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    "query",
    [
        {"tailLines": "-1"},
        {"limitBytes": "many"},
        {"sinceTime": "yesterday"},
        {"sinceSeconds": "1", "sinceTime": "2026-01-01T00:00:00Z"},
    ],
)
def test_a_query_that_makes_no_sense(query: dict[str, str]) -> None:
    with pytest.raises(BadQuery):
        parse_query(query)


@pytest.mark.parametrize(("limit", "text"), [(None, b"abcdef"), (4, b"abcd"), (3, b"abc")])
async def test_a_limit_in_bytes(limit: int | None, text: bytes) -> None:
    async def chunks() -> Any:
        yield b"abc"
        yield b"def"

    assert b"".join([part async for part in limited(chunks(), limit)]) == text


def test_a_reader_is_who_the_certificate_names() -> None:
    subject = ((("organizationName", "system:masters"),), (("commonName", "api"),))
    assert reader({"subject": subject}) == ("api", ("system:masters",))
    assert reader({}) == ("", ())


def test_a_deleted_pod_tells_its_grace() -> None:
    pod = make(deletionTimestamp="x", deletionGracePeriodSeconds=3)
    assert identity(pod)["metadata"]["deletionGracePeriodSeconds"] == 3
