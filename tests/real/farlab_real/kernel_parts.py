"""Real parts for tests of kernels at sites: keepers in their own processes, clients of links."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from farlab_kernels.link.link import KernelLink
from farlab_relay.relay import Relay
from jupyter_client.asynchronous.client import AsyncKernelClient

from farlab_real.relay_parts import PATIENCE, Agent, Hub, agent

KEY = "a-key-of-forty-characters-for-the-tests!"
PORT = 9000
_PR_SET_PDEATHSIG = 1


def keeper_command(port: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "farlab_kernels.keeper", "--port", port)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class Reachable(Protocol):
    """Something that a link can reach a keeper through."""

    async def open_stream(
        self, port: int, /
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]: ...


class Keeper:
    """A keeper in its own process, that is connected to directly."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    async def open_stream(self, _: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def wait(self) -> int:
        return await asyncio.to_thread(self.process.wait, PATIENCE)


@contextmanager
def running_keeper(**environment: str) -> Iterator[Keeper]:
    """Run a keeper, and end it, also when this process is killed."""
    port = free_port()
    process = subprocess.Popen(
        keeper_command(str(port)),
        env={**os.environ, "FARLAB_KERNEL_KEY": KEY, **environment},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_end_with_parent,  # noqa: PLW1509  (it only makes a system call)
    )
    try:
        yield Keeper(process, port)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    """Let the system tell this process to end when the tests do, however they end."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@asynccontextmanager
async def keeper(**environment: str) -> AsyncIterator[Keeper]:
    """Run a keeper, and end it."""
    with running_keeper(**environment) as here:
        yield here


@dataclass
class Site:
    """A keeper behind a relay and an agent, as it is at a site."""

    hub: Hub
    agent: Agent
    relay: Relay
    port: int = 0
    _relays: list[Any] = field(default_factory=list)

    async def open_stream(self, _: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def cut(self) -> None:
        """Stop the relay: everything between link and keeper is cut."""
        await self.relay.close()

    async def mend(self) -> None:
        """Start another relay at the same addresses."""
        self.relay = self.hub.make_relay()
        await self.relay.listen("127.0.0.1", self.hub.port)
        await self.relay.open_port("w1", PORT, listen=self.port)


@asynccontextmanager
async def site(**environment: str) -> AsyncIterator[Site]:
    """Run a relay in this process, an agent and a keeper in theirs."""
    hub = Hub()
    relay = hub.make_relay()
    hub.port = await relay.listen("127.0.0.1", 0)
    port = await relay.open_port("w1", PORT)
    command = keeper_command(f"{{port:{PORT}}}")
    options = ("--port", str(PORT))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own:
        environment = {"FARLAB_KERNEL_KEY": KEY, "TMPDIR": own, **environment}
        async with agent(hub.url, *command, options=options, **environment) as process:
            here = Site(hub, process, relay, port)
            try:
                yield here
            finally:
                await here.relay.close()


@asynccontextmanager
async def linked(place: Reachable, **options: Any) -> AsyncIterator[KernelLink]:
    """Run a link to a keeper."""
    link = KernelLink(place.open_stream, KEY, **options)
    await asyncio.wait_for(link.start(), PATIENCE)
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def connected(link: KernelLink) -> AsyncIterator[AsyncKernelClient]:
    """Run an ordinary Jupyter client of a link."""
    client = AsyncKernelClient(connection_file=link.connection_file)
    client.load_connection_file()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=PATIENCE)
        yield client
    finally:
        client.stop_channels()


@dataclass
class Result:
    """What came back for one cell."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]]

    @property
    def status(self) -> str:
        return str(self.reply["content"]["status"])

    @property
    def text(self) -> str:
        """All of stdout."""
        return "".join(
            message["content"]["text"]
            for message in self.of("stream")
            if message["content"]["name"] == "stdout"
        )

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["msg_type"] == kind]


async def finish(client: AsyncKernelClient, id_: str) -> Result:
    """Wait for a cell's reply and idle."""
    messages = []

    async def listen() -> None:
        while True:
            message = await client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != id_:
                continue
            if message["content"].get("execution_state") == "idle":
                return
            messages.append(message)

    async def answer() -> dict[str, Any]:
        while True:
            reply: dict[str, Any] = await client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == id_:
                return reply

    reply, _ = await asyncio.gather(answer(), listen())
    return Result(reply, messages)


async def execute(client: AsyncKernelClient, code: str, **options: Any) -> Result:
    """Run a cell to its end."""
    return await finish(client, client.execute(code, **options))


async def until_printed(client: AsyncKernelClient, text: str) -> None:
    """Read iopub until something with this text is printed."""
    while True:
        message = await client.get_iopub_msg(timeout=PATIENCE)
        if text in message["content"].get("text", ""):
            return
