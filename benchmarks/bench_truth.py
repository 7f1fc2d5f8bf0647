"""The records' truth: what the plugin says that jobs used, against Slurm's own accounting.

Many jobs on a real Slurm with a real slurmdbd, killed ones, failed ones and ones with GPUs among
them, go through the plugin. Of all that sacct and sreport count in core-seconds, the share that
the plugin's usages hold is printed: 1.000 is the whole truth, to the second.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/real"))

from farlab_real.plugin import RunningPlugin
from farlab_real.plugin_pods import Client, Json, make_pod
from farlab_real.slurm import SlurmCluster
from farlab_sites.usage import ANNOTATION, Usage
from stopping import exit_on_sigterm

AT_ONCE = 8  # submissions that go on at once
ASK = 250  # pods in one question
PATIENCE = 600.0  # seconds until every usage must be final


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    jobs: int
    nodes: int


FULL, QUICK = Size(2000, 16), Size(100, 2)


@dataclass(frozen=True)
class Sum:
    """What was used by all jobs."""

    core_s: float
    gpu_s: float


def job(number: int) -> Json:
    """Return one of several kinds of pods: short, failing, killed, with GPUs, of several cores."""
    kind = number % 5
    script = ("true", "exit 3", "exec sleep 600", "sleep 2", "exec sleep 600")[kind]
    limits = {"cpu": str(1 + number % 3), "memory": "64Mi"}
    notes = {"slurm-job.vk.io/flags": "--partition=cpu --time=5"}
    if kind == 4:
        gpus = 1 + number % 2
        limits["nvidia.com/gpu"] = str(gpus)
        notes = {"slurm-job.vk.io/flags": f"--partition=gpu --gres=gpu:a100:{gpus} --time=5"}
    return make_pod(script, annotations=notes, resources={"limits": limits})


async def through(client: Client, pods: Sequence[Json]) -> None:
    """Submit all pods, and end those that run on: half by deletion, as a hub does."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, pod: Json) -> None:
        async with slots:
            await client.create(pod)
        if number % 5 in (2, 4):
            await client.wait_for(pod, "running")
            async with slots:
                await client.delete(pod)

    # Those that must be ended wait for their start: never more than the machine runs at once.
    for first in range(0, len(pods), 100):
        part = list(enumerate(pods))[first : first + 100]
        await asyncio.gather(*(one(number, pod) for number, pod in part))


async def usages(client: Client, pods: Sequence[Json]) -> dict[str, Usage]:
    """Return every pod's final usage, of deleted ones too."""
    found: dict[str, Usage] = {}
    until = time.monotonic() + PATIENCE
    while len(found) < len(pods):
        if time.monotonic() > until:
            raise TimeoutError(f"{len(pods) - len(found)} usages are not final")
        missing = [wanted(pod) for pod in pods if pod["metadata"]["uid"] not in found]
        for first in range(0, len(missing), ASK):
            for told in await client.status(*missing[first : first + ASK]):
                usage = Usage.from_json(told["usage"])
                if usage.final:
                    found[told["UID"]] = usage
        await asyncio.sleep(0.5)
    return found


def wanted(pod: Json) -> Json:
    """Return the pod for a question about what it used."""
    return {**pod, "metadata": {**pod["metadata"], "annotations": {ANNOTATION: "wanted"}}}


def total(found: Sequence[Usage]) -> Sum:
    """Return the sums of what the plugin said."""
    ran = [(one, one.ended - one.started) for one in found if one.started and one.ended]
    return Sum(sum(u.cores * s for u, s in ran), sum(u.gpus * s for u, s in ran))


def by_sacct(slurm: SlurmCluster) -> Sum:
    """Return the sums of sacct, of every job that it knows."""
    fields = "--format=CPUTimeRAW,ElapsedRaw,AllocTRES"
    core_s = gpu_s = 0.0
    for line in slurm.run("sacct", "-nPXa", "-S", "now-1days", fields).splitlines():
        cpu, elapsed, given = line.split("|")
        parts = dict(part.split("=") for part in given.split(",") if part)
        core_s += float(cpu)
        gpu_s += float(elapsed) * float(parts.get("gres/gpu", 0))
    return Sum(core_s, gpu_s)


def by_sreport(slurm: SlurmCluster, began: float) -> Sum:
    """Return the sums of sreport, of each hour since the beginning, once they are added up."""
    used = {"cpu": 0.0, "gres/gpu": 0.0}
    for start in range(int(began // 3600) * 3600, int(time.time()) + 1, 3600):
        first, last = _hour(start), _hour(start + 3600)
        slurm.run("sacctmgr", "-i", "rollup", first, last, timeout=120)
        report = ("sreport", "-nP", "-t", "seconds", "-T", "cpu,gres/gpu", "cluster")
        more = (f"start={first}", f"end={last}", "format=Login,TRESName,Used")
        text = slurm.run(*report, "AccountUtilizationByUser", *more)
        for login, name, value in (line.split("|") for line in text.splitlines()):
            if login == "root":
                used[name] += float(value)
    return Sum(used["cpu"], used["gres/gpu"])


def _hour(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:00:00", time.localtime(at))


def share(ours: float, theirs: float) -> float:
    """Return how equal two sums are: 1 only where they are the same."""
    if ours == theirs:
        return 1.0
    return min(min(ours, theirs) / max(ours, theirs), 0.9994)


async def measure(slurm: SlurmCluster, folder: Path, size: Size) -> None:
    """Run the jobs and print the figures."""
    folder.mkdir()
    with RunningPlugin(folder, {"slurm": {"conf": str(slurm.conf)}}) as plugin:
        client = Client(plugin.url)
        pods = [job(number) for number in range(size.jobs)]
        began, at = time.perf_counter(), time.time()
        await through(client, pods)
        found = await usages(client, pods)
        took = time.perf_counter() - began
        await client.session.close()
    ours, sacct, sreport = total([*found.values()]), by_sacct(slurm), by_sreport(slurm, at)
    killed = sum(one.state.startswith("CANCELLED") for one in found.values())
    print(f"# {size.jobs} jobs ({killed} killed) in {took:.1f} s")
    print(
        f"# core-seconds: {ours.core_s:.0f}, sacct {sacct.core_s:.0f}, sreport {sreport.core_s:.0f}"
    )
    print(f"# GPU-seconds: {ours.gpu_s:.0f}, sacct {sacct.gpu_s:.0f}, sreport {sreport.gpu_s:.0f}")
    by = {name: sum(one.source == name for one in found.values()) for name in ("sacct", "runner")}
    print(f"# told by sacct {by['sacct']}, by the runner {by['runner']}")
    for name, theirs in (("sacct", sacct), ("sreport", sreport)):
        both = min(share(ours.core_s, theirs.core_s), share(ours.gpu_s, theirs.gpu_s))
        print(f"bench accounting.{name}_equal {both:.3f} goal >= 1", flush=True)


def main() -> None:
    """Start a Slurm with accounting and measure on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 jobs instead of 2,000")
    size = QUICK if parser.parse_args().quick else FULL
    exit_on_sigterm()
    with ExitStack() as stack:
        shape = {"nodes": size.nodes, "gpus": 8, "cpu_nodes": size.nodes, "quantum_nodes": 0}
        slurm = stack.enter_context(SlurmCluster(**shape, kill_wait=2, accounting=True))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="farlab-bench-"))
        asyncio.run(measure(slurm, Path(folder) / "site", size))


if __name__ == "__main__":
    main()
