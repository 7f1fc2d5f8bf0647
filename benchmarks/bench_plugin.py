"""Measure the plugin in front of a real Slurm: submissions, and how often it asks Slurm.

Submissions: pods through the plugin's HTTP interface, several at once as the hub sends them,
against a bare loop of `sbatch` on the same Slurm; in turns, with the partition down so that no job
starts meanwhile and both are measured alone. Queries: how often the plugin runs squeue, sinfo and
the like while a few pods run, and while many do.

    python benchmarks/bench_plugin.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

from farlab_real.plugin import RunningPlugin
from farlab_real.plugin_pods import Client, make_pod
from farlab_real.slurm import SlurmCluster

AT_ONCE = 8  # requests under way
QUERIES = ("squeue", "sinfo", "scontrol", "sacct")
SCRIPT = "#!/bin/sh\nsleep 3600\n"
COUNTING = """#!/bin/sh
date "+{name} %s.%N" >> {log}
exec /usr/bin/{name} "$@"
"""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    nodes: int
    pods: int
    rounds: int
    few: int
    watched: float  # seconds of status requests


QUICK = Size(nodes=25, pods=100, rounds=4, few=5, watched=30)
FULL = Size(nodes=250, pods=1000, rounds=10, few=5, watched=120)


def counting_bin(folder: Path, log: Path) -> Path:
    """Return a folder with Slurm's commands, of which the queries note when they ran."""
    folder.mkdir()
    for name in QUERIES:
        program = folder / name
        program.write_text(COUNTING.format(log=log, name=name))
        program.chmod(0o755)
    for name in ("sbatch", "scancel"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    return folder


def gpu_pod() -> dict[str, Any]:
    """Return a pod for one CPU and one GPU that runs long enough."""
    flags = {"slurm-job.vk.io/flags": "--partition=gpu --gres=gpu:1 --time=60"}
    limits = {"cpu": "1", "memory": "64Mi", "nvidia.com/gpu": "1"}
    return make_pod("exec sleep 3600", annotations=flags, resources={"limits": limits})


def bare_loop(slurm: SlurmCluster, folder: Path, count: int) -> float:
    """Return the seconds that a shell's loop of sbatch takes, as users write it."""
    script = folder / "job.sh"
    script.write_text(SCRIPT)
    submit = (
        "sbatch --parsable --partition=gpu --gres=gpu:1 --time=60 --cpus-per-task=1 --mem=64M "
        f"--output=/dev/null {script}"
    )
    loop = f"for n in $(seq {count}); do {submit}; done"
    began = time.perf_counter()
    subprocess.run(
        ["sh", "-ec", loop], env=slurm.env, check=True, stdout=subprocess.DEVNULL, cwd=folder
    )
    return time.perf_counter() - began


async def through_plugin(client: Client, pods: Sequence[dict[str, Any]]) -> float:
    """Return the seconds that it takes to create the pods."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def create(pod: dict[str, Any]) -> None:
        async with turn:
            await client.create(pod)

    began = time.perf_counter()
    await asyncio.gather(*(create(pod) for pod in pods))
    return time.perf_counter() - began


def partition(slurm: SlurmCluster, state: str) -> None:
    """Let jobs start in the partition, or not."""
    slurm.run("scontrol", "update", "PartitionName=gpu", f"State={state}")


async def submissions(
    slurm: SlurmCluster, client: Client, folder: Path, size: Size
) -> tuple[list[dict[str, Any]], float, float]:
    """Return the pods, and submissions a second by the plugin and by the bare loop."""
    pods = [gpu_pod() for _ in range(size.pods)]
    share = size.pods // size.rounds
    ours = theirs = 0.0
    partition(slurm, "DOWN")
    for start in range(0, size.pods, share):
        theirs += await asyncio.to_thread(bare_loop, slurm, folder, share)
        ours += await through_plugin(client, pods[start : start + share])
    slurm.run("scancel", "--name=job.sh")
    partition(slurm, "UP")
    return pods, size.pods / ours, size.pods / theirs


async def queries_per_minute(
    client: Client, pods: Sequence[dict[str, Any]], log: Path, seconds: float
) -> float:
    """Return how often Slurm is asked while pods are watched as hubs do, only more often.

    The rate of each command comes from its first and its last run, not from the window's edges.
    """
    log.write_text("")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answers = await client.status(*pods)
        assert len(answers) == len(pods)
        await client.call("GET", "/status", [])
        await asyncio.sleep(0.1)
    runs: dict[str, list[float]] = defaultdict(list)
    for line in log.read_text().splitlines():
        name, moment = line.split()
        runs[name].append(float(moment))
    return sum(60 * (len(at) - 1) / (at[-1] - at[0]) for at in runs.values() if len(at) > 1)


async def all_run(client: Client, pods: Sequence[dict[str, Any]]) -> None:
    """Wait until every pod runs."""
    running = 0
    while running < len(pods):
        answers = await client.status(*pods)
        running = sum("running" in one["containers"][0]["state"] for one in answers)
        await asyncio.sleep(1)


def plugin(slurm: SlurmCluster, folder: Path) -> RunningPlugin:
    """Return a plugin in front of the Slurm, whose queries are noted in `folder/queries`."""
    folder.mkdir()
    program = counting_bin(folder / "bin", folder / "queries")
    return RunningPlugin(folder, {"slurm": {"conf": str(slurm.conf), "bin": str(program)}})


async def measure(slurm: SlurmCluster, folder: Path, size: Size) -> None:
    """Measure and print; few and many pods are watched at the same time, by a plugin each."""
    with plugin(slurm, folder / "many") as large, plugin(slurm, folder / "few") as small:
        clients = [Client(large.url), Client(small.url)]
        pods, ours, theirs = await submissions(slurm, clients[0], folder, size)
        print(f"# submissions a second: plugin {ours:.1f}, bare sbatch loop {theirs:.1f}")
        report("plugin_submit_ratio", ours / theirs, ">= 0.8")
        some = [gpu_pod() for _ in range(size.few)]
        await through_plugin(clients[1], some)
        began = time.perf_counter()
        await all_run(clients[0], pods)
        await all_run(clients[1], some)
        print(f"# all {len(pods)} pods run {time.perf_counter() - began:.1f} s later")
        many, few = await asyncio.gather(
            queries_per_minute(clients[0], pods, folder / "many/queries", size.watched),
            queries_per_minute(clients[1], some, folder / "few/queries", size.watched),
        )
        print(f"# queries a minute: {few:.1f} for {size.few} pods, {many:.1f} for {len(pods)}")
        report("plugin_queries_per_minute_ratio", many / few, "<= 1.1")
        for client in clients:
            await client.session.close()


def report(name: str, value: float, goal: str) -> None:
    """Print one figure."""
    print(f"bench spawn.{name} {value:.2f} goal {goal}", flush=True)


def main() -> None:
    """Start a Slurm of the wanted size and measure on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 pods on 25 nodes")
    size = QUICK if parser.parse_args().quick else FULL
    with ExitStack() as stack:
        slurm = stack.enter_context(SlurmCluster(nodes=size.nodes, gpus=8, kill_wait=2))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="farlab-bench-"))
        asyncio.run(measure(slurm, Path(folder), size))


if __name__ == "__main__":
    main()
