"""Measure spawns: from the request to the first executed cell, beside the usual spawners.

`local` is measured beside JupyterHub's SimpleLocalProcessSpawner (LocalProcessSpawner without the
change of account), `slurm` beside batchspawner's SlurmSpawner on the same Slurm. The spawners take
turns, so that a busy machine slows both. Then many servers are started at once.

    python benchmarks/bench_spawn.py [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

from farlab_real.hub import RunningHub
from farlab_real.kernel import RemoteKernel
from farlab_real.plugin import RunningPlugin
from farlab_real.slurm import SlurmCluster
from stopping import exit_on_sigterm, start

SIZES = [{"title": "1 CPU, 1 GB", "cpu": 1, "memory": "1Gi"}]
IMAGES = [{"title": "Python 3", "image": sys.prefix}]
PARTITIONS = [{"title": "cpu", "partition": "cpu", "walltime": "1:00:00"}]

HOME = """
c.{spawner}.environment = {{"HOME": {home!r}}}
"""

SIMPLE = """
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.SimpleLocalProcessSpawner.args = ["--allow-root"]
"""

BATCH = r"""
import batchspawner

c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.Spawner.env_keep = ["PATH", "SLURM_CONF", "LANG"]
# Its users have to be accounts of the machine; the benchmark's is root, who needs no sudo.
c.BatchSpawnerBase.exec_prefix = ""
c.BatchSpawnerBase.req_partition = "cpu"
c.BatchSpawnerBase.req_runtime = "1:00:00"
c.BatchSpawnerBase.req_memory = "1024"
c.BatchSpawnerBase.args = ["--allow-root"]
# Its script has Slurm ask a login shell for the environment, which takes what root's profile takes.
script = batchspawner.SlurmSpawner.batch_script.default_value
script = script.replace("#SBATCH --get-user-env=L\n", "").replace("{{keepvars}}", "ALL")
c.SlurmSpawner.batch_script = script
# The test Slurm's nodes are all this machine, and their names are not in the DNS.
c.SlurmSpawner.state_exechost_exp = "127.0.0.1"
"""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    servers: int


QUICK = Size(rounds=3, servers=10)
FULL = Size(rounds=7, servers=40)


def catalogue(cloud: RunningPlugin, hpc: RunningPlugin) -> dict[str, Any]:
    """Return a cloud and an HPC site."""
    lab = {"name": "lab", "title": "JupyterLab", "sizes": SIZES, "images": IMAGES}
    return {
        "sites": [
            {
                "name": "cloud",
                "title": "Cloud",
                "kind": "cloud",
                "carrier": cloud.carrier,
                "profiles": [lab],
            },
            {
                "name": "hpc",
                "title": "HPC",
                "kind": "hpc",
                "carrier": hpc.carrier,
                "profiles": [lab | {"partitions": PARTITIONS}],
            },
        ]
    }


def first_cell(hub: RunningHub, name: str, options: dict[str, str]) -> float:
    """Return the seconds from the request to the first executed cell; the server is stopped.

    The request goes to the hub's API, because not every spawner has a form.
    """
    with hub.login(name) as user:
        start = time.perf_counter()
        answer = user.api("POST", f"users/{name}/server", options)
        assert answer.status_code in (201, 202), answer.text
        user.wait_until_ready()
        with RemoteKernel(user) as kernel:
            kernel.run("1")
        taken = time.perf_counter() - start
        user.stop()
    return taken


def take_turns(rounds: int, runs: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Return the median of each run's times; a first round, with cold caches, does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            taken = run()
            if number:
                times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def memory_mb(root: int) -> float:
    """Return the private memory of a process and of what it started, in MB."""
    process = psutil.Process(root)
    family = [process, *process.children(recursive=True)]
    return sum(one.memory_full_info().uss for one in family) / 1e6


def all_at_once(hub: RunningHub, plugin: RunningPlugin, servers: int) -> tuple[int, float, float]:
    """Start servers for as many users; return how many got ready, seconds, MB a server.

    The memory is that of hub, proxy, service and plugin; of the plugin without its jobs.
    """
    own = psutil.Process(plugin.process.pid)
    before = memory_mb(hub.process.pid) + own.memory_full_info().uss / 1e6
    users = [hub.login(f"user{number}") for number in range(servers)]
    start = time.perf_counter()

    def ready(user: Any) -> bool:
        user.spawn({"profile": "cloud--lab"})
        user.wait_until_ready(deadline=600)
        return True

    with ThreadPoolExecutor(servers) as pool:
        done = sum(pool.map(ready, users))
    taken = time.perf_counter() - start
    after = memory_mb(hub.process.pid) + own.memory_full_info().uss / 1e6
    for user in users:
        user.stop()
        user.http.close()
    return done, taken, (after - before) / servers


def report(name: str, value: float, goal: str, digits: int = 2) -> None:
    """Print one figure."""
    print(f"bench spawn.{name} {value:.{digits}f} goal {goal}", flush=True)


def measure(size: Size, folder: Path, stack: ExitStack) -> None:
    """Start everything, measure and print."""
    homes = {"home": str(folder / "home")}
    Path(homes["home"]).mkdir()
    slurm = start(stack, SlurmCluster(nodes=1, gpus=1, cpu_nodes=2))
    cloud = start(stack, RunningPlugin(folder / "cloud", {"local": {"cpus": 64}}))
    hpc = start(stack, RunningPlugin(folder / "hpc", {"slurm": {"conf": str(slurm.conf)}}))
    sites = catalogue(cloud, hpc)

    def hub(name: str, more: str) -> RunningHub:
        running = RunningHub(folder / name, sites, more=more, env={"SLURM_CONF": str(slurm.conf)})
        return start(stack, running)

    farlab = hub("farlab", HOME.format(spawner="FarlabSpawner", **homes))
    simple = hub("simple", SIMPLE.format(**homes))
    batch = hub("batch", BATCH)
    seconds = take_turns(
        size.rounds,
        {
            "local": lambda: first_cell(farlab, "ada", {"profile": "cloud--lab"}),
            "simple": lambda: first_cell(simple, "ada", {}),
            "slurm": lambda: first_cell(farlab, "ada", {"profile": "hpc--lab"}),
            "batch": lambda: first_cell(batch, "root", {}),
        },
    )
    print("# seconds to the first cell: " + ", ".join(f"{k} {v:.2f}" for k, v in seconds.items()))
    report("local_ratio", seconds["local"] / seconds["simple"], "<= 1.2")
    report("slurm_ratio", seconds["slurm"] / seconds["batch"], "<= 1.0")
    done, taken, memory = all_at_once(farlab, cloud, size.servers)
    report("ready_at_once", done, f">= {size.servers}", 0)
    report("at_once_to_one_by_one", taken / (size.servers * seconds["local"]), "<= 1.0")
    report("memory_mb_a_server", memory, "<= 5")


def main() -> None:
    """Measure in the quick or the full form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    size = QUICK if parser.parse_args().quick else FULL
    exit_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="farlab-bench-") as folder, ExitStack() as stack:
        measure(size, Path(folder), stack)


if __name__ == "__main__":
    main()
