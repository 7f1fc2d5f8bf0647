"""The kubelet in front of a stand-in for interLink's API, the real plugin behind it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from farlab_real.control_plane import Cluster
from farlab_real.kubelet import PodsOn, RunningKubelet, job_of, known_to, pod_for
from farlab_real.kubelet_lines import FakeInterLinkApi
from farlab_real.plugin import RunningPlugin

Json = dict[str, Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlugin]:
    with RunningPlugin(tmp_path_factory.mktemp("site"), {"local": {"cpus": 64}}) as plugin:
        yield plugin


@pytest.fixture(scope="module")
def kubelet(
    control_plane: Cluster, site: RunningPlugin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningKubelet]:
    name = f"vk-{secrets.token_hex(3)}"
    folder = tmp_path_factory.mktemp("kubelet")
    with FakeInterLinkApi(site.url) as api:
        backend = {"interlink": {"url": api.url}}
        with RunningKubelet(folder, control_plane, name, backend) as running:
            yield running


@pytest.fixture
def pods(control_plane: Cluster, namespace: str) -> PodsOn:
    return PodsOn(control_plane, namespace)


def test_the_node_is_as_large_as_the_ping_says(
    control_plane: Cluster, kubelet: RunningKubelet
) -> None:
    node = control_plane.get("node", kubelet.node)
    assert node["status"]["allocatable"]["cpu"] == "64"


def test_everything_travels(kubelet: RunningKubelet, pods: PodsOn) -> None:
    pem = "-----BEGIN-----\nMII\n-----END-----\n"
    data = {"pem": base64.b64encode(pem.encode()).decode(), "word": "aHVzaA=="}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": data}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "conf"},
        "data": {"LEVEL": "7"},
    }
    pods.create(secret, config)
    env = [
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "word"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "EMPTY", "value": ""},
    ]
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    pod = pod_for(
        kubelet.node,
        "travels",
        f'echo "$WORD $IP $LEVEL ${{EMPTY-unset}}"; cat /keys/pem; wc -l < {token}',
        env=env,
        envFrom=[{"configMapRef": {"name": "conf"}}],
        volumeMounts=[{"name": "keys", "mountPath": "/keys"}],
        spec={"volumes": [{"name": "keys", "secret": {"secretName": "keys"}}]},
        annotations={"interlink.eu/pod-ip": "127.0.77.9"},
    )
    pods.create(pod)
    assert job_of(pods.wait_for_phase("travels", "Succeeded"))
    assert pods.kubectl("logs", "travels") == f"hush 127.0.77.9 7 \n{pem}0\n"


def test_deleting_ends_the_job(kubelet: RunningKubelet, site: RunningPlugin, pods: PodsOn) -> None:
    pods.create(pod_for(kubelet.node, "long", "exec sleep 600"))
    job = job_of(pods.wait_for_phase("long", "Running"))
    assert job in known_to(site).values()
    pods.kubectl("delete", "pod", "long")
    pods.wait_until_gone("long")
    assert job not in known_to(site).values()


def test_a_restart_starts_nothing_twice(
    kubelet: RunningKubelet, site: RunningPlugin, pods: PodsOn
) -> None:
    pods.create(pod_for(kubelet.node, "once", "exec sleep 600"))
    job = job_of(pods.wait_for_phase("once", "Running"))
    kubelet.kill()
    # As if it had been killed between the answer and the annotation.
    pods.kubectl("annotate", "pod", "once", "JobID-")
    kubelet.start()
    pods.wait_for("once", lambda pod: job_of(pod) == job, "the same job")
    assert list(known_to(site).values()).count(job) == 1
    pods.kubectl("delete", "pod", "once")
