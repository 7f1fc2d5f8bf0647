"""Measure Kubernetes in front of a real Slurm: spawns, and many pods at once.

Spawns: from the request to the first executed cell through API server, kubelet and plugin, beside
the carrier `direct` to the same plugin; in turns. Pods: one GPU each, created as the hub service
creates kernels, until Kubernetes calls all of them running, beside a bare loop of `sbatch` until
Slurm runs all of its jobs; and what that costs: the kubelet's memory, requests to the API server,
the delay from a job's start to the pod's new phase.

    python benchmarks/bench_kubernetes.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

from bench_spawn import HOME, IMAGES, PARTITIONS, SIZES, first_cell, take_turns
from farlab_real.control_plane import Cluster, ControlPlane
from farlab_real.hub import RunningHub
from farlab_real.kubelet import RunningKubelet
from farlab_real.plugin import RunningPlugin
from farlab_real.slurm import SlurmCluster
from farlab_sites.carriers.cluster import Cluster as Connection
from farlab_sites.carriers.kubernetes import KubernetesCarrier
from farlab_sites.manifest import FLAGS, TOLERATIONS
from stopping import exit_on_sigterm, start

AT_ONCE = 8  # creates under way, as the hub service has
GPUS = 8  # of each node
NODE = "bench-vk"
JOB = """#!/bin/sh
date +%s.%N > {folder}/begun-$$
exec sleep 3600
"""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    pods: int


QUICK = Size(rounds=1, pods=100)
FULL = Size(rounds=7, pods=1600)


def catalogue(plugin: RunningPlugin) -> dict[str, Any]:
    """Return the same machine twice: behind a virtual node, and called directly."""
    lab = {"name": "lab", "title": "JupyterLab", "sizes": SIZES, "images": IMAGES}
    site = {"kind": "hpc", "profiles": [lab | {"partitions": PARTITIONS}]}
    node = {"kubernetes": {"node": NODE}}
    return {
        "sites": [
            {"name": "node", "title": "Virtual node", "carrier": node, **site},
            {"name": "plugin", "title": "Plugin", "carrier": plugin.carrier, **site},
        ]
    }


def spawns(hub: RunningHub, rounds: int) -> None:
    """Measure spawns in turns and print their ratio."""
    seconds = take_turns(
        rounds,
        {
            "kubernetes": lambda: first_cell(hub, "ada", {"profile": "node--lab"}),
            "direct": lambda: first_cell(hub, "bob", {"profile": "plugin--lab"}),
        },
    )
    print("# seconds to the first cell: " + ", ".join(f"{k} {v:.2f}" for k, v in seconds.items()))
    report("spawn_ratio", seconds["kubernetes"] / seconds["direct"], "<= 1.5")


def gpu_pod(folder: Path) -> dict[str, Any]:
    """Return a pod for one CPU and one GPU that notes when it starts."""
    uid = str(uuid.uuid4())
    script = f"date +%s.%N > {folder}/{uid}; exec sleep 3600"
    limits = {"cpu": "1", "memory": "64Mi", "nvidia.com/gpu": "1"}
    container = {
        "name": "main",
        "image": sys.prefix,
        "command": ["/bin/sh", "-c", script],
        "resources": {"limits": limits},
    }
    flags = {FLAGS: "--partition=gpu --gres=gpu:1 --time=60"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"job-{uid}", "uid": uid, "annotations": flags},
        "spec": {
            "containers": [container],
            "nodeSelector": {"kubernetes.io/hostname": NODE},
            "tolerations": [*TOLERATIONS],
            "restartPolicy": "Never",
        },
    }


def bare_loop(slurm: SlurmCluster, folder: Path, count: int) -> float:
    """Return the seconds from a loop of sbatch, as users write it, until all its jobs run."""
    script = folder / "job.sh"
    script.write_text(JOB.format(folder=folder))
    submit = (
        "sbatch --parsable --partition=gpu --gres=gpu:1 --time=60 --cpus-per-task=1 --mem=64M "
        f"--output=/dev/null {script}"
    )
    began = time.perf_counter()
    loop = f"for n in $(seq {count}); do {submit}; done"
    subprocess.run(["sh", "-ec", loop], env=slurm.env, check=True, stdout=subprocess.DEVNULL)
    while len(list(folder.glob("begun-*"))) < count:
        time.sleep(0.2)
    taken = time.perf_counter() - began
    slurm.run("scancel", "--name=job.sh")
    while slurm.run("squeue", "--noheader", "--name=job.sh", "--format=%i").split():
        time.sleep(0.5)
    return taken


async def through_kubernetes(
    carrier: KubernetesCarrier, pods: Sequence[dict[str, Any]], folder: Path
) -> tuple[float, list[float]]:
    """Return the seconds until all pods run, and each one's delay behind its job."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def create(pod: dict[str, Any]) -> None:
        async with turn:
            await carrier.create(pod)

    await carrier.status([])  # it watches from now on
    seen: dict[str, float] = {}
    submitted = 0.0
    began = time.perf_counter()
    creating = asyncio.gather(*(create(pod) for pod in pods))
    while len(seen) < len(pods):
        await asyncio.sleep(0.2)
        waiting = [pod for pod in pods if pod["metadata"]["uid"] not in seen]
        states = await carrier.status(waiting)
        if not submitted and sum(bool(state.job_id) for state in states.values()) == len(waiting):
            submitted = time.perf_counter() - began
        for uid, status in states.items():
            if status.phase == "Running":
                seen[uid] = time.time()
            assert status.phase in ("Waiting", "Running"), status
    taken = time.perf_counter() - began
    await creating
    print(f"# every pod has its job after {submitted:.1f} s")
    return taken, [at - float((folder / uid).read_text()) for uid, at in seen.items()]


def requests_made(cluster: Cluster) -> float:
    """Return how many requests the API server has answered, whoever asked."""
    text = cluster.kubectl("get", "--raw", "/metrics")
    return sum(
        float(found) for found in re.findall(r"(?m)^apiserver_request_total\{.*\} (\S+)$", text)
    )


async def many(
    cluster: Cluster, namespace: str, kubelet: RunningKubelet, slurm: SlurmCluster, size: Size
) -> None:
    """Measure pods at once and print what they took."""
    with tempfile.TemporaryDirectory(prefix="farlab-bench-") as made:
        folder = Path(made)
        folder.chmod(0o777)
        theirs = await asyncio.to_thread(bare_loop, slurm, folder, size.pods)
        pods = [gpu_pod(folder) for _ in range(size.pods)]
        connection = Connection(namespace, cluster.kubeconfig)
        async with KubernetesCarrier(connection, "node", NODE) as carrier:
            before, began = requests_made(cluster), time.perf_counter()
            ours, delays = await through_kubernetes(carrier, pods, folder)
            made_since = requests_made(cluster) - before
            rate = made_since / (time.perf_counter() - began)
    memory = psutil.Process(kubelet.process.pid).memory_full_info().uss / 1e6
    print(f"# {size.pods} pods run after {ours:.1f} s, bare sbatch loop {theirs:.1f} s")
    print(f"# requests to the API server: {made_since / size.pods:.1f} a pod, {rate:.0f} a second")
    report("all_running_ratio", ours / theirs, "<= 1.5")
    report("kubelet_memory_mb", memory, "< 200")
    report("delay_s", statistics.median(delays), "< 2")


def report(name: str, value: float, goal: str) -> None:
    """Print one figure."""
    print(f"bench kubernetes.{name} {value:.2f} goal {goal}", flush=True)


def measure(size: Size, folder: Path, stack: ExitStack) -> None:
    """Start everything, measure and print."""
    (folder / "home").mkdir()
    nodes = -(-size.pods // GPUS)
    slurm = start(stack, SlurmCluster(nodes=nodes, gpus=GPUS, cpu_nodes=1, kill_wait=2))
    cluster = start(stack, ControlPlane())
    plugin = start(stack, RunningPlugin(folder / "plugin", {"slurm": {"conf": str(slurm.conf)}}))
    backend = {"plugin": {"url": plugin.url}}
    capacity = {"pods": str(2 * size.pods)}
    kubelet = RunningKubelet(folder / "kubelet", cluster, NODE, backend, capacity=capacity)
    start(stack, kubelet)
    namespace = stack.enter_context(cluster.namespace(f"bench-{secrets.token_hex(4)}"))
    hub = RunningHub(
        folder / "hub",
        catalogue(plugin),
        settings={"namespace": namespace},
        more=HOME.format(spawner="FarlabSpawner", home=str(folder / "home")),
        env={"KUBECONFIG": str(cluster.kubeconfig), "SLURM_CONF": str(slurm.conf)},
    )
    with hub:
        spawns(hub, size.rounds)
    asyncio.run(many(cluster, namespace, kubelet, slurm, size))


def main() -> None:
    """Measure in a folder that is removed at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 pods, one round of spawns")
    size = QUICK if parser.parse_args().quick else FULL
    exit_on_sigterm()
    os.environ.pop("KUBECONFIG", None)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="farlab-bench-"))
        measure(size, Path(folder), stack)


if __name__ == "__main__":
    main()
