"""Measure a warm no-op cell at a site against one in a local kernel.

Both are ipykernels with the same blocking jupyter_client in this process; the one at the site is
reached through link, relay, agent and keeper, each in a process of its own but for the link, which
is in a thread here as in a notebook's kernel. The kernel at the site does without ipykernel's sleep
of half a millisecond before each reply (see farlab_kernels/keeper/kernel.py). A cell is from
`execute` to its reply and idle. Both are measured in turns; the figure is the ratio of the medians.

    python benchmarks/bench_cell.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from farlab_kernels.link.thread import LinkThread
from farlab_relay.relay import Relay
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

GOAL = 1.2
PORT = 9000
CELLS = 10


async def relay() -> None:
    """Run the relay with one workload; say where agents and clients find it."""

    async def verify(workload: str, secret: str, instance: str) -> bool:
        return True

    service = Relay(verify=verify, on_event=lambda *_: None, upstreams={})
    agents = await service.listen("127.0.0.1", 0)
    print(agents, await service.open_port("bench", PORT), flush=True)
    await asyncio.Event().wait()


@contextmanager
def running(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program; it and what it starts end with the block."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextmanager
def at_a_site() -> Iterator[BlockingKernelClient]:
    """Start relay, agent, keeper and kernel; give a client of the kernel."""
    key = secrets.token_hex(32)
    with running(sys.executable, __file__, "--relay") as service:
        assert service.stdout is not None
        agents, clients = map(int, service.stdout.readline().split())
        keeper = (sys.executable, "-P", "-m", "farlab_kernels.keeper", "--port", f"{{port:{PORT}}}")
        agent = (sys.executable, "-m", "farlab_relay.agent", "--port", str(PORT), "--", *keeper)
        url = f"ws://127.0.0.1:{agents}"
        with (
            running(
                *agent, FARLAB_RELAY_URL=url, FARLAB_WORKLOAD="bench", FARLAB_SECRET="secret",
                FARLAB_KERNEL_KEY=key,
            ),
            LinkThread(lambda _: asyncio.open_connection("127.0.0.1", clients), key) as link,
        ):  # fmt: skip
            client = BlockingKernelClient(connection_file=link.link.connection_file)
            client.load_connection_file()
            client.start_channels()
            client.wait_for_ready(timeout=120)
            yield client
            client.stop_channels()


@contextmanager
def local() -> Iterator[BlockingKernelClient]:
    """Start a kernel as Jupyter does."""
    manager, client = start_new_kernel()
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def cell(client: BlockingKernelClient) -> float:
    """Run a cell that does nothing; return the milliseconds to its reply and idle."""
    begin = time.perf_counter()
    id_ = client.execute("pass", store_history=False)
    while client.get_shell_msg(timeout=60)["parent_header"].get("msg_id") != id_:
        pass
    while True:
        message = client.get_iopub_msg(timeout=60)
        state = message["content"].get("execution_state")
        if state == "idle" and message["parent_header"].get("msg_id") == id_:
            return (time.perf_counter() - begin) * 1e3


def measure(rounds: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds of cells in a local kernel, and of cells at a site."""
    with local() as here, at_a_site() as there:
        for client in (here, there):
            for _ in range(5 * CELLS):
                cell(client)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for client, mine in zip((here, there), times, strict=True):
                mine += [cell(client) for _ in range(CELLS)]
    return times


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--relay", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.relay:
        asyncio.run(relay())
        return
    here, there = measure(25 if options.quick else 100)
    for name, times in (("local", here), ("at a site", there)):
        low, median = min(times), statistics.median(times)
        print(f"# a cell {name}: {low:.2f} ms at best, {median:.2f} ms in the middle")
    ratio = statistics.median(there) / statistics.median(here)
    print(f"# the best of both: {min(there) / min(here):.2f}")
    print(f"bench offload.cell_ratio {ratio:.2f} goal <= {GOAL}")


if __name__ == "__main__":
    main()
