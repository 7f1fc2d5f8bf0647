"""Measure the start of a kernel on Slurm, and many kernels through one service and its relay.

The cold start is from `connect` to the end of a first cell, beside an ipykernel started with
`sbatch`, from that to its first answer, on the same Slurm; they take turns.

Of many kernels at a local site, one runs cells that do nothing, while all others are idle and while
each of them prints a line every second, in turns. Who reads what they print is another process. The
same is done with as many kernels of jupyter_client. The memory is that of the process with service
and relay, all kernels connected, after they have printed.

    python benchmarks/bench_kernels.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

import farlab_kernels
from farlab_hub.one_user import OneUser
from farlab_hub.service import HubService
from farlab_hub.serving import bind_api, serve_api
from farlab_kernels.cells import Message
from farlab_kernels.session import open_session
from farlab_real.plugin import RunningPlugin
from farlab_real.slurm import SlurmCluster
from farlab_sites.carriers import carrier_for
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import AsyncKernelManager, start_new_kernel
from stopping import exit_on_sigterm, start

TOKEN = "a-token-of-the-benchmark"
SECONDS = 2  # for which the others print in each round
PRINTING = f"""
import time
for number in range({4 * SECONDS}):
    print("line", number, flush=True)
    time.sleep(0.25)
"""
CELLS = 40
PROFILE = {
    "name": "small",
    "title": "Small",
    "sizes": [{"title": "1 CPU", "cpu": 1, "memory": "512Mi"}],
    "images": [{"title": "this one", "image": sys.prefix}],
}
PARTITIONS = [{"title": "cpu", "partition": "cpu", "walltime": "1:00:00"}]
JOB = f"""#!/bin/sh
exec {sys.executable} -m ipykernel_launcher -f "$1" --ip=127.0.0.1
"""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    starts: int
    kernels: int
    rounds: int


QUICK = Size(starts=2, kernels=12, rounds=2)
FULL = Size(starts=9, kernels=200, rounds=9)


# -- what runs in processes of its own ------------------------------------------------------------


async def serve(folder: Path) -> None:
    """Run the service for the catalogue in a folder until stdin ends; say where it is."""
    service = HubService(
        folder / "sites.yaml", folder / "state", OneUser("bench", TOKEN), carrier_for=carrier_for,
        upstreams={},
    )  # fmt: skip
    await service.start("127.0.0.1", 0)
    sockets = bind_api("127.0.0.1", 0)
    server = serve_api(service, sockets, "/")
    print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/api/", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.stop()
    await service.close()


async def print_at_site(kernels: int) -> None:
    """Let kernels at the site print whenever a line comes in."""
    async with await open_session("vega", workers=kernels) as session:
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            begun = [asyncio.Event() for _ in range(kernels)]
            cells = session.begin(PRINTING, on_output=partial(_tick, begun))
            await asyncio.gather(*(event.wait() for event in begun))
            print("printing", flush=True)
            await session.finish(cells)
            print("done", flush=True)


def _tick(begun: list[asyncio.Event], _: Message, at: int) -> None:
    begun[at].set()


async def print_here(kernels: int) -> None:
    """Let kernels of jupyter_client do the same."""
    managers = [AsyncKernelManager() for _ in range(kernels)]
    try:
        clients = await asyncio.gather(*map(_started, managers))
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            ids = [client.execute(PRINTING, store_history=False) for client in clients]
            pairs = list(zip(clients, ids, strict=True))
            await asyncio.gather(*(_until(*pair, "stream") for pair in pairs))
            print("printing", flush=True)
            await asyncio.gather(*(_until(*pair, "idle") for pair in pairs))
            print("done", flush=True)
    finally:
        ends = (manager.shutdown_kernel(now=True) for manager in managers if manager.has_kernel)
        await asyncio.gather(*ends, return_exceptions=True)


async def _started(manager: AsyncKernelManager) -> AsyncKernelClient:
    await manager.start_kernel(stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=300)
    return client


async def _until(client: AsyncKernelClient, id_: str, what: str) -> None:
    """Read what a cell publishes until something of this type, or state, comes."""
    while True:
        message = await client.get_iopub_msg(timeout=300)
        said = (message["msg_type"], message["content"].get("execution_state"))
        if message["parent_header"].get("msg_id") == id_ and what in said:
            return


class Helper:
    """A process that does one of the above; it ends with its `with` block."""

    def __init__(self, *arguments: object) -> None:
        self._task = " ".join(map(str, arguments))
        self.process = subprocess.Popen(
            [sys.executable, __file__, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self.process.stdin is not None
        if kind is not None:  # it may be amid a start, and not listen
            self.process.terminate()
        self.process.stdin.close()
        self.process.wait()

    def tell(self) -> None:
        """Send a line."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """Wait for a line and return it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self._task}: it ended")
        return line


def service(stack: ExitStack, folder: Path, driver: dict[str, Any], **more: Any) -> int:
    """Start plugin and service, and tell the environment where; return the service's process."""
    plugin = start(stack, RunningPlugin(folder / "plugin", driver))
    site = {"name": "vega", "title": "Vega", "kind": "hpc", "carrier": plugin.carrier}
    catalogue = {"sites": [{**site, "profiles": [{**PROFILE, **more}]}]}
    (folder / "sites.yaml").write_text(yaml.safe_dump(catalogue))
    (folder / "state").mkdir(mode=0o700)
    helper = stack.enter_context(Helper("--serve", folder))
    os.environ["FARLAB_API_URL"], os.environ["FARLAB_API_TOKEN"] = helper.hear(), TOKEN
    return helper.process.pid


# -- the cold start -------------------------------------------------------------------------------


def start_at_site(_: int) -> float:
    """Return the seconds from `connect` to the end of a first cell."""
    begin = time.perf_counter()
    with farlab_kernels.connect("vega") as vega:
        vega.run("pass")
        return time.perf_counter() - begin


def start_with_sbatch(slurm: SlurmCluster, folder: Path, number: int) -> float:
    """Return the seconds from `sbatch` of a bare kernel to its first answer."""
    script, file = folder / "kernel.sh", folder / f"kernel-{number}.json"
    script.write_text(JOB)
    begin = time.perf_counter()
    options = ["--parsable", "--partition=cpu", "--time=60", "--mem=512", "--output=/dev/null"]
    job = slurm.run("sbatch", *options, str(script), str(file)).strip()
    try:
        while not (file.exists() and file.read_text().rstrip().endswith("}")):
            time.sleep(0.01)
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels()
        while True:
            client.kernel_info()
            try:
                client.get_shell_msg(timeout=0.1)
            except queue.Empty:
                continue
            break
        client.stop_channels()
        return time.perf_counter() - begin
    finally:
        slurm.run("scancel", job)


def until_free(slurm: SlurmCluster) -> None:
    """Wait until no job is left, so that each start finds the same Slurm."""
    while slurm.run("squeue", "--noheader"):
        time.sleep(0.1)


def cold_starts(size: Size, folder: Path) -> None:
    """Measure starts in turns; a first round, with cold caches, does not count."""
    with ExitStack() as stack:
        slurm = start(stack, SlurmCluster(nodes=1, gpus=1, cpu_nodes=2))
        service(stack, folder, {"slurm": {"conf": str(slurm.conf)}}, partitions=PARTITIONS)
        ways: dict[str, Callable[[int], float]] = {
            "at the site": start_at_site, "with sbatch": partial(start_with_sbatch, slurm, folder)
        }  # fmt: skip
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(size.starts + 1):
            for name, way in ways.items():
                taken = way(number)
                times[name] += [taken] if number else []
                until_free(slurm)
    there, bare = (statistics.median(taken) for taken in times.values())
    print(f"# seconds to the first answer: {there:.2f} at the site, {bare:.2f} with sbatch")
    report("cold_start_extra_s", there - bare, "<= 1.0")


# -- many kernels ---------------------------------------------------------------------------------


@contextmanager
def cell_here() -> Iterator[Callable[[], object]]:
    """Start a kernel as Jupyter does; give what runs a cell in it."""
    manager, client = start_new_kernel(stderr=subprocess.DEVNULL)
    try:
        yield lambda: client.execute_interactive("pass", store_history=False, timeout=300)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@contextmanager
def cell_at_site() -> Iterator[Callable[[], object]]:
    """Start a kernel at the site; give what runs a cell in it."""
    with farlab_kernels.connect("vega") as vega:
        yield partial(vega.run, "pass", store_history=False)


def milliseconds(cell: Callable[[], object]) -> list[float]:
    """Return how long cells have taken."""
    times = []
    for _ in range(CELLS):
        begin = time.perf_counter()
        cell()
        times.append((time.perf_counter() - begin) * 1e3)
        time.sleep(0.01)  # so that the cells are spread over some of the others' lines
    return times


def busy_ratio(rounds: int, cell: Callable[[], object], others: Helper, name: str) -> float:
    """Return how much longer a cell takes while the others print."""
    pairs = []
    milliseconds(cell)
    for _ in range(rounds):
        idle = milliseconds(cell)
        others.tell()
        assert others.hear() == "printing"
        busy = milliseconds(cell)
        assert others.hear() == "done"
        pairs.append((statistics.median(idle), statistics.median(busy)))
    calm, pressed = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"# a cell {name}: {calm:.2f} ms, {pressed:.2f} ms while the others print", flush=True)
    return statistics.median(busy / idle for idle, busy in pairs)


def many_here(size: Size) -> float:
    """Measure kernels of jupyter_client."""
    with cell_here() as cell, Helper("--print-here", size.kernels - 1) as others:
        assert others.hear() == "ready"
        return busy_ratio(size.rounds, cell, others, "here")


def many_at_site(size: Size, folder: Path) -> tuple[float, float]:
    """Measure kernels at a site; return the ratio, and the memory in MB for each of them."""
    with ExitStack() as stack:
        process = psutil.Process(service(stack, folder, {"local": {"cpus": size.kernels}}))
        cell = stack.enter_context(cell_at_site())
        milliseconds(cell)
        before = process.memory_full_info().uss
        others = stack.enter_context(Helper("--print-at-site", size.kernels - 1))
        assert others.hear() == "ready"
        ratio = busy_ratio(size.rounds, cell, others, "at the site")
        return ratio, (process.memory_full_info().uss - before) / 1e6 / (size.kernels - 1)


def report(name: str, value: float, goal: str) -> None:
    """Print one figure."""
    print(f"bench offload.{name} {value:.2f} goal {goal}", flush=True)


def measure(size: Size, folder: Path) -> None:
    """Measure and print everything."""
    for part in ("slurm", "local"):
        (folder / part).mkdir()
    cold_starts(size, folder / "slurm")
    ratio, memory = many_at_site(size, folder / "local")
    here = many_here(size)
    print(f"# while {size.kernels - 1} print: {ratio:.2f} at the site, {here:.2f} here")
    report("memory_mb_a_kernel", memory, "<= 0.5")
    report("busy_cell_ratio", ratio, "<= 1.2")


def main() -> None:
    """Measure in the quick or the full form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--print-at-site", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--print-here", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    exit_on_sigterm()
    if options.print_at_site:
        asyncio.run(print_at_site(options.print_at_site))
    elif options.print_here:
        asyncio.run(print_here(options.print_here))
    else:
        with tempfile.TemporaryDirectory(prefix="farlab-bench-") as folder:
            measure(QUICK if options.quick else FULL, Path(folder))


if __name__ == "__main__":
    main()
