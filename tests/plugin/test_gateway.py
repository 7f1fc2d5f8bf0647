"""The gateway in the plugin: agents of live pods get through to the relay, nobody else does."""

from __future__ import annotations

import asyncio
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from farlab_real.plugin_pods import Client, configuration, eventually, make_pod
from farlab_real.processes import Process

UPGRADE = (
    "GET /agent/{} HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class FakeRelay:
    """Answers every connection with one line and notes what was asked for."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self._server: asyncio.Server | None = None

    async def listen(self) -> int:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        writer.write(b"HTTP/1.1 418 teapot\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    def close(self) -> None:
        if self._server:
            self._server.close()


@pytest.fixture
def program(home: Path) -> Iterator[Process]:
    command = [sys.executable, "-m", "farlab_sites.plugin.main", "--config", f"{home}/plugin.yaml"]
    process = Process(command, home / "log")
    yield process
    process.stop()


async def ask(port: int, workload: str) -> str:
    """Return the first line that an agent of the workload is answered with; empty: cut off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(UPGRADE.format(workload).encode())
    try:
        return (await reader.readline()).decode()
    except ConnectionError:
        return ""
    finally:
        writer.close()


async def test_only_agents_of_live_pods_get_through(program: Process, home: Path) -> None:
    relay = FakeRelay()
    url = f"ws://127.0.0.1:{await relay.listen()}/services/farlab"
    gateway = {"listen": "127.0.0.1:0", "relay": url}
    (home / "plugin.yaml").write_text(configuration(home, gateway=gateway))
    program.start()

    async def listens() -> bool:
        assert program.running, program.read_log()
        return "listening on" in program.read_log()

    await eventually(listens, "the plugin listens")
    found = re.search(r"agents may dial ws://127\.0\.0\.1:(\d+)", program.read_log())
    assert found
    port = int(found[1])
    client = Client(f"unix://{home}/plugin.sock")
    workload = str(uuid.uuid4())  # as Kubernetes has it: another uid than the pod's
    pod = make_pod("sleep 600", annotations={"farlab/workload": workload})
    uid = pod["metadata"]["uid"]
    assert "418" not in await ask(port, uid)
    await client.create(pod)
    assert " 418 " in await ask(port, uid)
    assert relay.heads[-1].startswith(f"GET /services/farlab/agent/{uid} ")
    assert " 418 " in await ask(port, workload)
    assert "418" not in await ask(port, str(uuid.uuid4()))
    assert "418" not in await ask(port, f"x/../../{uid}")
    await client.delete(pod)
    assert "418" not in await ask(port, uid)
    assert "418" not in await ask(port, workload)
    await client.session.close()
    relay.close()
