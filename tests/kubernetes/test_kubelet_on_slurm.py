"""The whole way: control plane, kubelet, plugin, Slurm."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farlab_real.control_plane import Cluster
from farlab_real.kubelet import PodsOn, RunningKubelet, job_of, pod_for
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import wait_until
from farlab_real.slurm import SlurmCluster

FLAGS = "slurm-job.vk.io/flags"


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=1, gpus=4, cpu_nodes=1, kill_wait=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kubelet(
    slurm: SlurmCluster, control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningKubelet]:
    folder: Path = tmp_path_factory.mktemp("slurm")
    driver = {"slurm": {"conf": str(slurm.conf), "query_every": 0.3}}
    name = f"vk-{secrets.token_hex(3)}"
    with RunningPlugin(folder / "site", driver) as site:
        backend = {"plugin": {"url": site.url}}
        with RunningKubelet(folder / "kubelet", control_plane, name, backend) as running:
            yield running


@pytest.fixture
def pods(control_plane: Cluster, namespace: str) -> PodsOn:
    return PodsOn(control_plane, namespace)


def gpu_pod(node: str, name: str, script: str, **more: Any) -> dict[str, Any]:
    """Return a pod for two GPUs."""
    flags = more.pop("flags", "--partition=gpu --gres=gpu:a100:2 --time=5")
    limits = {"cpu": "1", "memory": "64Mi", "nvidia.com/gpu": "2"}
    resources = {"limits": limits}
    return pod_for(node, name, script, annotations={FLAGS: flags}, resources=resources, **more)


def test_a_pod_is_a_batch_job(kubelet: RunningKubelet, slurm: SlurmCluster, pods: PodsOn) -> None:
    pods.create(gpu_pod(kubelet.node, "gpus", "echo on $SLURM_JOB_ID; exec sleep 600"))
    job = job_of(pods.wait_for_phase("gpus", "Running"))
    assert job in slurm.run("squeue", "--noheader", "--format=%i").split()
    wait_until(lambda: pods.kubectl("logs", "gpus") == f"on {job}\n", "its output")
    pods.kubectl("delete", "pod", "gpus")
    pods.wait_until_gone("gpus")
    running = slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()
    assert job not in running


def test_a_refusal_comes_in_slurms_words(kubelet: RunningKubelet, pods: PodsOn) -> None:
    pods.create(gpu_pod(kubelet.node, "nowhere", "true", flags="--partition=nowhere"))
    pod = pods.wait_for_phase("nowhere", "Failed")
    assert pod["status"]["reason"] == "FailedSubmission"
    assert "nowhere" in pods.wait_for_event("nowhere", "FailedSubmission")


def test_a_queued_job_is_a_pending_pod_and_says_why(
    kubelet: RunningKubelet, slurm: SlurmCluster, pods: PodsOn
) -> None:
    # To Kubernetes each takes two GPUs of four, to Slurm all of them.
    flags = "--partition=gpu --gres=gpu:a100:4 --time=5"
    pods.create(gpu_pod(kubelet.node, "now", "exec sleep 600", flags=flags))
    pods.wait_for_phase("now", "Running")
    pods.create(gpu_pod(kubelet.node, "later", "echo my turn", flags=flags))
    pod = pods.wait_for("later", lambda pod: "Resources" in str(pod), "waits in Slurm's queue")
    assert pod["status"]["phase"] == "Pending"
    assert job_of(pod) in slurm.run("squeue", "--noheader", "--format=%i").split()
    pods.kubectl("delete", "pod", "now")
    pods.wait_for_phase("later", "Succeeded")
    assert pods.kubectl("logs", "later") == "my turn\n"
