"""Measure variables and calls of kernels at sites against ipyparallel and Dask.

Farlab's kernels, and Dask's scheduler with its two workers, run behind one relay and an agent each,
all in processes of their own; ipyparallel's two engines are connected directly. In every round each
system moves the same array out and back, and maps 10,000 no-ops over two workers, in turn; what is
printed are medians, and ratios of medians; the best round stands beside them in the comments. Dask,
which takes milliseconds for each item of a map, gets a tenth of the items, and its time counts ten
times.

    python benchmarks/bench_variables.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import Any

import ipyparallel as ipp
import numpy as np
from distributed import Client, LocalCluster
from farlab_kernels.link.link import KernelLink
from farlab_kernels.mapping import map_on
from farlab_kernels.remote import RemoteKernel
from farlab_relay.relay import AgentEvent, Relay

SIZE = 1_000_000_000
ITEMS = 10_000
DASK_SHARE = 10
PATIENCE = 45.0
"""Seconds after which a quick run on a busy machine begins no further round."""
KEY = "a-key-of-forty-characters-for-benchmarks"
KERNELS = ("kernel-1", "kernel-2")
WORKLOADS = {**dict.fromkeys(KERNELS, 9000), "dask": 8786}


def no_op(item: int) -> int:
    """Do nothing."""
    return item


# What runs in other processes


async def relay() -> None:
    """Run the relay."""

    async def verify(workload: str, secret: str, instance: str) -> bool:
        return True

    ready: set[str] = set()
    changed = asyncio.Event()

    def note(workload: str, event: AgentEvent) -> None:
        if event.kind == "ready":
            ready.add(workload)
            changed.set()

    service = Relay(verify=verify, on_event=note, upstreams={})
    print(json.dumps({"listen": await service.listen("127.0.0.1", 0)}), flush=True)
    while ready != set(WORKLOADS):
        await changed.wait()
        changed.clear()
    ports = {name: await service.open_port(name, port) for name, port in WORKLOADS.items()}
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


def dask(port: str) -> None:
    """Run Dask's scheduler and two workers, as a job's payload."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, scheduler_port=int(port), dashboard_address=None,
        silence_logs=50,
    ):  # fmt: skip
        time.sleep(1e6)


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program, and end it."""
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextmanager
def job(url: str, workload: str, *command: str) -> Iterator[None]:
    """Run an agent with a payload."""
    port = str(WORKLOADS[workload])
    agent = (sys.executable, "-P", "-m", "farlab_relay.agent", "--port", port, "--")
    with process(
        *agent, *command, FARLAB_RELAY_URL=url, FARLAB_WORKLOAD=workload, FARLAB_SECRET="secret",
        FARLAB_KERNEL_KEY=KEY,
    ):  # fmt: skip
        yield


@contextmanager
def jobs() -> Iterator[dict[str, int]]:
    """Run the relay and all jobs; gives the relay's port for each."""
    with ExitStack() as stack:
        service = stack.enter_context(process(sys.executable, __file__, "--role", "relay"))
        assert service.stdout is not None
        url = f"ws://127.0.0.1:{json.loads(service.stdout.readline())['listen']}"
        keeper = (sys.executable, "-P", "-m", "farlab_kernels.keeper", "--port", "{port:9000}")
        for name in KERNELS:
            stack.enter_context(job(url, name, *keeper))
        role = (sys.executable, __file__, "--role", "dask", "{port:8786}")
        stack.enter_context(job(url, "dask", *role))
        yield json.loads(service.stdout.readline())


# The three systems, seen alike


class System:
    """A system with two workers: `push`, `pull` and `drop` an array, `map` the no-op."""

    push: Callable[[Any], Awaitable[None]]
    pull: Callable[[], Awaitable[Any]]
    drop: Callable[[], Awaitable[None]]
    map: Callable[[], Awaitable[Any]]


@asynccontextmanager
async def farlab(ports: dict[str, int]) -> AsyncIterator[System]:
    """Two kernels at a site."""
    async with AsyncExitStack() as stack:
        kernels = []
        for name in KERNELS:

            async def dial(_: int, port: int = ports[name]) -> Any:
                return await asyncio.open_connection("127.0.0.1", port)

            link = KernelLink(dial, KEY)
            await link.start()
            stack.push_async_callback(link.close)
            kernels.append(await stack.enter_async_context(RemoteKernel(link, name)))
        callers = [kernel.caller for kernel in kernels]
        system = System()
        system.push = lambda array: kernels[0].push(array=array)
        system.pull = lambda: kernels[0].pull("array")
        system.drop = lambda: kernels[0].delete("array")
        system.map = lambda: map_on(callers, no_op, range(ITEMS))
        yield system


@asynccontextmanager
async def dask_client(ports: dict[str, int]) -> AsyncIterator[System]:
    """Dask's scatter, gather and map, through the same relay."""
    kept: list[Any] = []
    async with Client(
        f"tcp://127.0.0.1:{ports['dask']}", asynchronous=True, direct_to_workers=False, timeout=60
    ) as client:
        await client.wait_for_workers(2)

        async def push(array: Any) -> None:
            kept.append(await client.scatter(array, direct=False, hash=False))

        async def drop() -> None:
            kept.clear()

        system = System()
        system.push, system.drop = push, drop
        system.pull = lambda: client.gather(kept[0], direct=False)
        items = range(ITEMS // DASK_SHARE)
        system.map = lambda: client.gather(client.map(no_op, items, pure=False))
        yield system


@asynccontextmanager
async def ipyparallel() -> AsyncIterator[System]:
    """Push, pull and map of ipyparallel, connected directly."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = ipp.Cluster(
            n=2, log_level=50, profile_dir=folder, send_engines_connection_env=True
        )
        client = await cluster.start_and_connect(activate=False)  # type: ignore[misc]
        one, both = client[:1], client.load_balanced_view()

        async def wait(result: Any) -> Any:
            return await asyncio.to_thread(result.get)

        async def pull() -> Any:
            return (await wait(one.pull("array", block=False)))[0]

        system = System()
        system.push = lambda array: wait(one.push({"array": array}, block=False))
        system.pull = pull
        system.drop = lambda: wait(one.execute("del array", block=False))
        system.map = lambda: wait(both.map_async(no_op, range(ITEMS), chunksize=100))
        try:
            yield system
        finally:
            client.close()
            await cluster.stop_cluster()


# Rounds


async def timed(work: Awaitable[Any]) -> tuple[float, Any]:
    """Return how many seconds something takes, and what it returns."""
    begin = time.perf_counter()
    result = await work
    return time.perf_counter() - begin, result


async def move(system: System, array: Any, times: dict[str, list[float]]) -> None:
    """Move the array out and back."""
    seconds, _ = await timed(system.push(array))
    times["push"].append(seconds)
    seconds, back = await timed(system.pull())
    times["pull"].append(seconds)
    assert np.array_equal(back[::1000], array[::1000])
    await system.drop()


async def measure(quick: bool) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each step's rounds, by system."""
    array = np.arange(SIZE // 8, dtype=np.int64)
    deadline = time.monotonic() + (PATIENCE if quick else 20 * PATIENCE)
    with jobs() as ports:
        async with ipyparallel() as peer, dask_client(ports) as other, farlab(ports) as ours:
            systems = {"farlab": ours, "ipyparallel": peer, "dask": other}
            times = {name: {"push": [], "pull": [], "map": []} for name in systems}
            for name, system in systems.items():
                results = list(await system.map())
                assert results == list(range(len(results))), name
            for round_ in range(3 if quick else 5):
                if round_ and time.monotonic() > deadline:
                    break
                for name, system in systems.items():
                    await move(system, array, times[name])
                    seconds, _ = await timed(system.map())
                    times[name]["map"].append(seconds * (DASK_SHARE if name == "dask" else 1))
    return times


def report(name: str, value: float, goal: str) -> None:
    """Print one figure."""
    print(f"bench offload.{name} {value:.2f} goal {goal}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    times = asyncio.run(measure(parser.parse_args().quick))
    medians = {}
    for name, steps in times.items():
        medians[name] = {step: statistics.median(each) for step, each in steps.items()}
        words = (
            f"{step} {medians[name][step]:.2f} ({min(each):.2f})" for step, each in steps.items()
        )
        print(f"# {name}, {len(steps['push'])} rounds, median (best) in s: {', '.join(words)}")
    ours, peer, other = (medians[name] for name in ("farlab", "ipyparallel", "dask"))
    for step in ("push", "pull"):
        report(f"{step}_gbps", SIZE / ours[step] / 1e9, ">= 0.5")
        report(f"{step}_vs_ipyparallel", peer[step] / ours[step], ">= 1.0")
        report(f"{step}_vs_dask", other[step] / ours[step], ">= 0.8")
    report("map_time_of_ipyparallel", ours["map"] / peer["map"], "<= 1.5")
    report("map_vs_dask", other["map"] / ours["map"], ">= 1.0")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--role"]:
        work = globals()[sys.argv[2]](*sys.argv[3:])
        if work is not None:
            asyncio.run(work)
    else:
        main()
