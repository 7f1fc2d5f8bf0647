"""Measure the relay against a direct connection and against asyncssh's reverse forwarding.

Client (this process), relay, agent and payload are four processes on loopback. In every round each
way to the payload is measured in turn, with one stream and with 50 at once, in both directions, and
every byte is compared; what is printed is each way's best round, since noise on a machine only
ever takes away. asyncssh runs with its defaults: it encrypts, which the relay leaves to the TLS
proxy in front of a hub.

    python benchmarks/bench_relay.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncssh
from farlab_relay.relay import Relay
from farlab_relay.uplink import Uplink

CHUNK = 1 << 18
CONTENT = random.Random(1).randbytes(CHUNK)
STREAMS = 50
PINGS = 300
DOWN, UP, ECHO = b"d", b"u", b"e"


# The payload: sends, receives or echoes, as the first nine bytes of a connection ask for


def payload() -> None:
    """Serve on a free port, with a thread for each connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        say(port=server.getsockname()[1])
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection: socket.socket) -> None:
    """Do what one client asks."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        kind, size = struct.unpack("!cQ", receive_exactly(connection, 9))
        if kind == DOWN:
            send(connection, size)
        elif kind == UP:
            receive(connection, size)
            connection.sendall(b".")
        else:
            while data := connection.recv(64):
                connection.sendall(data)


def send(connection: socket.socket, size: int) -> None:
    """Send that many bytes."""
    while size:
        part = min(size, CHUNK)
        connection.sendall(CONTENT[:part])
        size -= part


def receive(connection: socket.socket, size: int) -> None:
    """Receive that many bytes, and compare them."""
    buffer = memoryview(bytearray(CHUNK))
    while size:
        part = min(size, CHUNK)
        receive_into(connection, buffer[:part])
        if bytes(buffer[:part]) != CONTENT[:part]:
            raise ValueError("other bytes came than were sent")
        size -= part


def receive_into(connection: socket.socket, buffer: memoryview) -> None:
    """Fill a buffer."""
    while buffer:
        got = connection.recv_into(buffer)
        if not got:
            raise ConnectionError("the stream ended early")
        buffer = buffer[got:]


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """Receive a few bytes."""
    data = bytearray(size)
    receive_into(connection, memoryview(data))
    return bytes(data)


# The ways to it


async def relay(payload_port: int) -> None:
    """Run the relay with one workload."""

    async def verify(workload: str, secret: str, instance: str) -> bool:
        return True

    connected = asyncio.Event()
    service = Relay(verify=verify, on_event=lambda *_: connected.set(), upstreams={})
    say(listen=await service.listen("127.0.0.1", 0))
    await connected.wait()
    say(port=await service.open_port("bench", payload_port))
    await asyncio.Event().wait()


async def relay_agent(payload_port: int, relay_port: int) -> None:
    """Run what farlab-agent runs beside its payload."""
    url = f"ws://127.0.0.1:{relay_port}"
    await Uplink(url, "bench", "secret", ports={payload_port: payload_port}, facts={}).run()


async def ssh_server() -> None:
    """Run an SSH server that lets its client forward ports to itself."""

    class Server(asyncssh.SSHServer):
        """Lets anybody forward any port."""

        def begin_auth(self, username: str) -> bool:
            """Ask for no credentials."""
            return False

        def server_requested(self, listen_host: str, listen_port: int) -> bool:
            """Allow it."""
            return True

    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(Server, "127.0.0.1", 0, server_host_keys=[key])
    say(port=server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


async def ssh_agent(payload_port: int, ssh_port: int) -> None:
    """Run an SSH client that forwards a port of the server's side to the payload."""
    async with asyncssh.connect("127.0.0.1", ssh_port, known_hosts=None, config=None) as client:
        listener = await client.forward_remote_port("127.0.0.1", 0, "127.0.0.1", payload_port)
        say(port=listener.get_port())
        await listener.wait_closed()


def say(**facts: Any) -> None:
    """Tell the process that started this one."""
    print(json.dumps(facts), flush=True)


@contextmanager
def role(name: str, *arguments: int) -> Iterator[Iterator[dict[str, Any]]]:
    """Run a part of this file in a process of its own; gives what it says."""
    command = [sys.executable, __file__, "--role", name, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield map(json.loads, process.stdout)
    finally:
        process.kill()
        process.wait()


# The client


def connect(port: int, kind: bytes, size: int) -> socket.socket:
    """Connect and say what is wanted."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(struct.pack("!cQ", kind, size))
    return connection


def transfer(port: int, kind: bytes, size: int) -> None:
    """Move bytes over one connection."""
    with connect(port, kind, size) as connection:
        if kind == DOWN:
            receive(connection, size)
        else:
            send(connection, size)
            receive_exactly(connection, 1)


def throughput(port: int, kind: bytes, size: int, streams: int) -> float:
    """Return GB/s of moving `size` bytes over some connections together."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(lambda _: transfer(port, kind, size // streams), range(streams)))
    return size / (time.perf_counter() - begin) / 1e9


def round_trip(port: int) -> float:
    """Return the median round trip of a small message, in milliseconds."""
    times = []
    with connect(port, ECHO, 0) as connection:
        for _ in range(PINGS):
            begin = time.perf_counter()
            connection.sendall(b"ping")
            receive_exactly(connection, 4)
            times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3


@dataclass
class Way:
    """One way to the payload, and the best it did."""

    port: int
    size: int
    one_stream: dict[bytes, float] = field(default_factory=lambda: {DOWN: 0.0, UP: 0.0})
    many_streams: dict[bytes, float] = field(default_factory=lambda: {DOWN: 0.0, UP: 0.0})
    round_trip: float = float("inf")

    def measure(self) -> None:
        """Do one round."""
        for direction in (DOWN, UP):
            for best, streams in ((self.one_stream, 1), (self.many_streams, STREAMS)):
                speed = throughput(self.port, direction, self.size, streams)
                best[direction] = max(best[direction], speed)
        self.round_trip = min(self.round_trip, round_trip(self.port))


@contextmanager
def ways(size: int) -> Iterator[dict[str, Way]]:
    """Start everything; gives the three ways to the payload."""
    with ExitStack() as stack:

        def start(name: str, *arguments: int) -> Iterator[dict[str, Any]]:
            return stack.enter_context(role(name, *arguments))

        payload_port = next(start("payload"))["port"]
        relay_says = start("relay", payload_port)
        start("relay_agent", payload_port, next(relay_says)["listen"])
        ssh_port = next(start("ssh_server"))["port"]
        ssh_says = start("ssh_agent", payload_port, ssh_port)
        yield {
            "direct": Way(payload_port, size),
            "relay": Way(next(relay_says)["port"], size),
            "asyncssh": Way(next(ssh_says)["port"], size // 4),
        }


def main() -> None:
    """Measure and print; of the two directions the slower one counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    quick = parser.parse_args().quick
    with ways(400_000_000 if quick else 1_000_000_000) as all_ways:
        for _ in range(3 if quick else 5):
            for way in all_ways.values():
                way.measure()
    direct, relayed, peer = all_ways["direct"], all_ways["relay"], all_ways["asyncssh"]
    for name, way in all_ways.items():
        print(
            f"# {name}, GB/s down and up: {way.one_stream[DOWN]:.2f} {way.one_stream[UP]:.2f}, "
            f"{STREAMS} streams {way.many_streams[DOWN]:.2f} {way.many_streams[UP]:.2f}; "
            f"round trip {way.round_trip:.3f} ms"
        )
    report("relay_one_stream_gbps", min(relayed.one_stream.values()), ">= 0.5")
    report("relay_vs_asyncssh", slowest_ratio(relayed.one_stream, peer.one_stream), ">= 2")
    report("relay_rtt_extra_ms", relayed.round_trip - direct.round_trip, "<= 0.3")
    report("relay_50_streams_gbps", min(relayed.many_streams.values()), ">= 0.5")
    ratio = slowest_ratio(relayed.many_streams, peer.many_streams)
    report("relay_50_streams_vs_asyncssh", ratio, ">= 2")


def slowest_ratio(ours: dict[bytes, float], theirs: dict[bytes, float]) -> float:
    """Return how many times faster, in the direction that shows it least."""
    return min(ours[direction] / theirs[direction] for direction in ours)


def report(name: str, value: float, goal: str) -> None:
    """Print one figure."""
    print(f"bench spawn.{name} {value:.2f} goal {goal}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--role"]:
        work = globals()[sys.argv[2]](*map(int, sys.argv[3:]))
        if work is not None:
            asyncio.run(work)
    else:
        main()
