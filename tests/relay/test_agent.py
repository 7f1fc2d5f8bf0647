"""The agent and its payload."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from farlab_real.relay_parts import (
    ECHO,
    SECRET,
    Hub,
    agent,
    echo,
    eventually,
    exchange,
    python,
    tcp_server,
)
from farlab_relay.payload import PayloadError, fill, free_port

NOWHERE = "ws://127.0.0.1:1"
WAIT = "import signal, sys; print('started', flush=True); signal.pause()"


async def test_payload_that_dies_before_its_port_opens():
    hub = Hub()
    async with hub.relay(), agent(hub.url, *python("raise SystemExit(3)")) as running:
        code, _, _ = await running.wait()
        assert code == 3
        event = await hub.wait_for("exited")
        assert event.detail == {"code": 3}
    assert "ready" not in hub.kinds()
    assert "lost" not in hub.kinds()


async def test_payload_killed_by_a_signal():
    hub = Hub()
    code = "import os; os.kill(os.getpid(), 9)"
    async with hub.relay(), agent(hub.url, *python(code)) as running:
        assert (await running.wait())[0] == 128 + 9
        assert (await hub.wait_for("exited")).detail == {"code": 128 + 9}


async def test_command_that_does_not_exist():
    hub = Hub()
    async with hub.relay(), agent(hub.url, "no-such-command", "x", PATH="/some/bin") as running:
        code, _, error = await running.wait()
        event = await hub.wait_for("exited")
    assert code == 127
    assert "command not found: no-such-command" in error
    assert "PATH is /some/bin" in error
    assert event.detail["code"] == 127
    assert "no-such-command" in event.detail["message"]


async def test_command_that_may_not_be_run(tmp_path: Path):
    (tmp_path / "text").write_text("not a program")
    hub = Hub()
    async with hub.relay(), agent(hub.url, str(tmp_path / "text")) as running:
        code, _, error = await running.wait()
    assert code == 126
    assert "Permission denied" in error


@pytest.mark.parametrize("sent", ["SIGTERM", "SIGINT"])
async def test_signals_are_passed_on(sent: str):
    hub = Hub()
    code = (
        "import signal, sys\n"
        "for name in ('SIGTERM', 'SIGINT'):\n"
        "    signal.signal(getattr(signal, name), lambda n, _: sys.exit(n + 20))\n"
        "print('started', flush=True)\n"
        "signal.pause()"
    )
    number = {"SIGTERM": 15, "SIGINT": 2}[sent]
    async with hub.relay(), agent(hub.url, *python(code)) as running:
        assert await running.process.stdout.readline() == b"started\n"
        running.process.send_signal(number)
        assert (await running.wait())[0] == number + 20
        assert (await hub.wait_for("exited")).detail == {"code": number + 20}


SHOW = """
import json, os, sys
files = []
for number in range(3, 100):
    try:
        files.append(os.readlink(f"/proc/self/fd/{number}"))
    except OSError:
        pass
print(json.dumps([dict(os.environ), sys.argv[1:], files]))
"""


async def test_environment_and_arguments_of_the_payload():
    hub = Hub(upstreams={"hub": ("127.0.0.1", 1)})
    options = ("--port", "8888", "--port", "8787", "--call", "hub")
    command = python(SHOW, "--url=http://127.0.0.1:{port:8888}/", "{port:8787}", "{other:1}", "--")
    environment = {"API": "http://127.0.0.1:{call:hub}/hub/api", "FARLAB_JOB_ID": "7"}
    async with hub.relay(), agent(hub.url, *command, options=options, **environment) as running:
        exit_code, out, _ = await running.wait()
    assert exit_code == 0
    seen, arguments, files = json.loads(out)
    assert "FARLAB_SECRET" not in seen
    assert SECRET not in out
    assert seen["FARLAB_WORKLOAD"] == "w1"
    assert seen["FARLAB_JOB_ID"] == "7"
    url, second, third, fourth = arguments
    first = url.removeprefix("--url=http://127.0.0.1:").removesuffix("/")
    assert len({int(first), int(second)}) == 2
    assert (third, fourth) == ("{other:1}", "--")
    assert seen["API"].removeprefix("http://127.0.0.1:").removesuffix("/hub/api").isdecimal()
    assert files == []


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ((), {"FARLAB_SECRET": ""}, "FARLAB_SECRET is not set"),
        ((), {"FARLAB_RELAY_URL": ""}, "FARLAB_RELAY_URL is not set"),
        ((), {"FARLAB_RELAY_URL": "hub:80"}, "FARLAB_RELAY_URL must be ws://"),
        ((), {"FARLAB_WORKLOAD": "a/b"}, "FARLAB_WORKLOAD"),
        (("--port", "web"), {}, "invalid int value"),
    ],
)
async def test_wrong_use(options: tuple[str, ...], environment: dict[str, str], message: str):
    async with agent(NOWHERE, *python(""), options=options, **environment) as running:
        code, _, error = await running.wait()
    assert code == 2
    assert message in error


async def test_command_missing():
    async with agent(NOWHERE) as running:
        code, _, error = await running.wait()
    assert code == 2
    assert "give it after --" in error


async def test_placeholder_without_its_option():
    hub = Hub()
    async with hub.relay(), agent(hub.url, *python("", "{port:1}"), options=()) as running:
        code, _, error = await running.wait()
        assert (await hub.wait_for("exited")).detail["code"] == 2
    assert code == 2
    assert "{port:1} is used, but there is no option --port 1" in error


def test_fill():
    numbers = {("port", "80"): 1234, ("call", "hub"): 99}
    assert fill("a{port:80}b{call:hub}{call:}{x}", numbers) == "a1234b99{call:}{x}"
    with pytest.raises(PayloadError, match="--call nub"):
        fill("{call:nub}", numbers)


def test_free_ports_are_not_the_kernels():
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(free_port() >= 1024 for _ in range(20))
    assert lowest <= 1024 or all(free_port() < lowest for _ in range(20))


async def test_wrong_secret_ends_the_payload():
    hub = Hub()
    async with hub.relay(), agent(hub.url, *python(WAIT), secret="guess") as running:
        code, _, error = await running.wait()
    assert code == 77
    assert "the relay refuses this workload, its payload is ended" in error
    assert "HTTP 403 The secret is wrong" in error
    assert "guess" not in error
    assert hub.events == []


async def test_a_secret_used_by_another_agent():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *echo()):
        await hub.wait_for("ready")
        async with agent(hub.url, *python(WAIT)) as second:
            code, _, error = await second.wait()
        assert code == 77
        assert "used already" in error
        assert relay.is_connected("w1")
    assert hub.kinds().count("connected") == 1


async def test_a_dropped_workload_ends():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *echo()) as running:
        await hub.wait_for("ready")
        hub.secrets.clear()
        await relay.drop("w1")
        code, _, error = await running.wait()
        assert not relay.is_connected("w1")
    assert code == 77
    assert "its payload is ended" in error


async def test_a_proxys_refusal_is_not_the_relays():
    """An HTTP proxy or a hub that is starting says 403 too: the agent goes on trying."""
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with tcp_server(serve) as port, agent(f"ws://127.0.0.1:{port}", *python(WAIT)) as running:
        await eventually(lambda: asked >= 3)
        code, _, error = await running.stop()
    assert code == 128 + 15
    assert error.count("not reachable, trying again: HTTP 403") == 1


async def test_a_secret_that_cannot_be_checked_is_tried_again():
    hub = Hub()
    verify, hub.failures = hub.verify, 2

    async def broken(*arguments: str) -> bool:
        hub.failures -= 1
        if hub.failures >= 0:
            raise RuntimeError("the database is away")
        return await verify(*arguments)

    hub.verify = broken
    async with hub.relay(), agent(hub.url, *echo()):
        await hub.wait_for("ready")


async def test_ready_means_that_the_port_is_open(tmp_path: Path):
    start = tmp_path / "start"
    wait = "import os, sys, time\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.05)\n"
    hub = Hub()
    command = python(wait + ECHO, "{port:8888}", str(start))
    async with hub.relay(), agent(hub.url, *command):
        await hub.wait_for("connected")
        assert "ready" not in hub.kinds()
        start.touch()
        await hub.wait_for("ready")


async def test_the_last_bytes_of_a_payload_arrive():
    code = (
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as server:\n"
        "    while True:\n"
        "        connection, _ = server.accept()\n"
        "        if connection.recv(1):\n"  # the agent only looks whether the port is open
        "            break\n"
        "connection.sendall(bytes(range(250)) * 100_000)\n"
    )
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *python(code, "{port:8888}")) as running:
        await hub.wait_for("ready")
        answer = await exchange(await relay.open_port("w1", 8888), b"?")
        assert answer == bytes(range(250)) * 100_000
        assert (await running.wait())[0] == 0
