"""Real parts for the relay's tests: a relay in this process, agents and payloads in their own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from farlab_relay.relay import AgentEvent, Relay
from farlab_relay.uplink import Uplink

PATIENCE = 60.0
SECRET = "a-very-secret-word"

ECHO = """
import asyncio, sys
async def serve(reader, writer):
    while data := await reader.read(1 << 18):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()
asyncio.run(main())
"""


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds; the deadline is for a very slow machine."""

    async def poll() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), PATIENCE)


class Hub:
    """A relay as the hub service runs it: knows workloads' secrets, remembers events."""

    def __init__(self, upstreams: dict[str, tuple[str, int]] | None = None) -> None:
        self.secrets = {"w1": SECRET}
        self.instances: dict[str, str] = {}
        self.events: list[tuple[str, AgentEvent]] = []
        self.upstreams = upstreams or {}
        self.port = 0

    def make_relay(self, **options: Any) -> Relay:
        return Relay(
            verify=self.verify,
            on_event=self.record,
            upstreams=self.upstreams,
            **options,
        )

    async def verify(self, workload: str, secret: str, instance: str) -> bool:
        if self.secrets.get(workload) != secret:
            return False
        return self.instances.setdefault(workload, instance) == instance

    def record(self, workload: str, event: AgentEvent) -> None:
        self.events.append((workload, event))

    @asynccontextmanager
    async def relay(self, **options: Any) -> AsyncIterator[Relay]:
        """Run the relay; the second time it listens on the same port as the first."""
        relay = self.make_relay(**options)
        self.port = await relay.listen("127.0.0.1", self.port)
        try:
            yield relay
        finally:
            await relay.close()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def kinds(self) -> list[str]:
        return [event.kind for _, event in self.events]

    async def wait_for(self, kind: str, count: int = 1) -> AgentEvent:
        """Wait for the count-th event of a kind."""
        await eventually(lambda: self.kinds().count(kind) >= count)
        return [event for _, event in self.events if event.kind == kind][count - 1]


class Agent:
    """A farlab-agent in its own process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def wait(self) -> tuple[int, str, str]:
        """Wait for its end; return exit code, stdout and stderr."""
        out, err = await asyncio.wait_for(self.process.communicate(), PATIENCE)
        code = self.process.returncode
        assert code is not None
        return code, out.decode(), err.decode()

    async def stop(self) -> tuple[int, str, str]:
        self.process.send_signal(signal.SIGTERM)
        return await self.wait()


@asynccontextmanager
async def agent(
    url: str,
    *command: str,
    options: tuple[str, ...] = ("--port", "8888"),
    secret: str = SECRET,
    workload: str = "w1",
    **environment: str,
) -> AsyncIterator[Agent]:
    """Run an agent with a payload, and end both."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "farlab_relay.agent", *options, "--", *command,
        env={
            **os.environ, "FARLAB_RELAY_URL": url, "FARLAB_WORKLOAD": workload,
            "FARLAB_SECRET": secret, **environment,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield Agent(process)
    finally:
        with suppress(ProcessLookupError):  # the agent and its payload are one process group
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.wait_for(process.communicate(), PATIENCE)  # until the payload is gone too


def python(code: str, *arguments: str) -> tuple[str, ...]:
    """Return the command of a payload."""
    return (sys.executable, "-c", code, *arguments)


def echo() -> tuple[str, ...]:
    return python(ECHO, "{port:8888}")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def exchange(port: int, data: bytes) -> bytes:
    """Send bytes to a port, half-close, and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    async def both() -> bytes:
        _, answer = await asyncio.gather(send(), reader.read())
        return answer

    try:
        return await asyncio.wait_for(both(), PATIENCE)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp_server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve TCP on loopback; gives the port. Whatever is still open in the end is aborted."""
    writers = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            if not writer.is_closing():
                writer.transport.abort()
        await asyncio.sleep(0)  # lets them be closed


@asynccontextmanager
async def uplink(url: str, ports: dict[int, int], **options: Any) -> AsyncIterator[Uplink]:
    """Run an agent's connection to the relay in this process, for a payload that is here too."""
    connection = Uplink(url, "w1", SECRET, ports=ports, facts={"node": "here"}, **options)
    running = asyncio.create_task(connection.run())
    try:
        yield connection
    finally:
        running.cancel()
        await asyncio.wait([running])
        await connection.close()


class FakeNetwork:
    """A TCP proxy that can be frozen: connections stay open and nothing passes, as in a cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def freeze(self) -> None:
        self._passing.clear()

    def thaw(self) -> None:
        self._passing.set()

    @asynccontextmanager
    async def url(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Give the address of the network's near side, which may speak TLS."""
        async with tcp_server(self._connect, tls) as port:
            yield f"ws://127.0.0.1:{port}"
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passing.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                await self._passing.wait()
                sink.write(data)
                await sink.drain()
        sink.close()
