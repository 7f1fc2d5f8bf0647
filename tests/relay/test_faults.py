"""Relays that restart, networks that are cut, agents and callers that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from farlab_real.relay_parts import (
    PATIENCE,
    SECRET,
    FakeNetwork,
    Hub,
    agent,
    echo,
    exchange,
    python,
    tcp_server,
    uplink,
)
from farlab_relay.protocol import RELAY_HEADER, AgentEvent, agent_headers
from farlab_relay.relay import StreamRefusedError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

COUNTER = """
import asyncio, itertools, sys
count = itertools.count(1)
async def serve(reader, writer):
    if await reader.read():
        writer.write(b"%d" % next(count))
    writer.close()
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()
asyncio.run(main())
"""


async def test_a_client_that_comes_before_the_agent_waits():
    hub = Hub()
    async with hub.relay() as relay:
        port = await relay.open_port("w1", 8888)
        early = asyncio.create_task(exchange(port, b"early"))
        async with agent(hub.url, *python(COUNTER, "{port:8888}")):
            # The agent connects before its payload listens: the client may be refused once.
            try:
                assert await early == b"1"
            except ConnectionResetError:
                await hub.wait_for("ready")
                assert await exchange(port, b"again") == b"1"


async def test_a_client_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farlab_relay.protocol.CLIENT_PATIENCE", 0.2)
    hub = Hub()
    async with hub.relay() as relay:
        port = await relay.open_port("w1", 8888)
        with pytest.raises(ConnectionResetError):
            await exchange(port, b"anybody?")
        with pytest.raises(StreamRefusedError, match="w1 is not connected"):
            await relay.connect("w1", 8888)


async def test_an_agent_that_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farlab_relay.protocol.OPEN_TIMEOUT", 0.2)
    hub = Hub()
    async with hub.relay() as relay, control(hub):
        await hub.wait_for("connected")
        with pytest.raises(StreamRefusedError, match="does not answer"):
            await relay.connect("w1", 8888)


async def test_a_restarted_relay_finds_everything_again():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *python(COUNTER, "{port:8888}")):
        await hub.wait_for("ready")
        port = await relay.open_port("w1", 8888)
        assert await exchange(port, b"?") == b"1"
        await relay.close()
        async with hub.relay() as restarted:
            assert await restarted.open_port("w1", 8888, listen=port) == port
            assert await exchange(port, b"?") == b"2"  # waits for the agent to dial again
            await hub.wait_for("ready", 2)


async def test_an_agent_that_is_killed_is_lost():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *echo()) as running:
        await hub.wait_for("ready")
        running.process.kill()
        await hub.wait_for("lost")
        assert not relay.is_connected("w1")


async def test_a_cut_network_is_noticed_and_the_agent_dials_again():
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        try:
            await reader.read()
        except ConnectionResetError:
            payload_lost.set()
        writer.close()

    payload_lost = asyncio.Event()
    hub = Hub()
    async with hub.relay(heartbeat=0.3) as relay, tcp_server(count) as payload:
        network = FakeNetwork(hub.port)
        async with network.url() as url, uplink(url, {80: payload}, heartbeat=0.3):
            port = await relay.open_port("w1", 80)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await asyncio.wait_for(reader.readexactly(5), PATIENCE) == b"hello"
            network.freeze()
            await hub.wait_for("lost")
            with pytest.raises(ConnectionResetError):  # the client need not wait for ever
                await asyncio.wait_for(reader.read(), PATIENCE)
            await asyncio.wait_for(payload_lost.wait(), PATIENCE)
            writer.close()
            network.thaw()
            await hub.wait_for("connected", 2)
            assert await exchange(port, b"") == b"hello"


async def test_an_agent_that_comes_back_replaces_its_half_open_connection():
    """The relay has not noticed the cut yet: nobody but the new connection is asked."""
    hub = Hub()
    async with hub.relay() as relay, control(hub) as old:
        await hub.wait_for("connected")
        async with control(hub) as new:
            await hub.wait_for("connected", 2)
            with pytest.raises(ConnectionClosed):
                await old.recv()
            asking = asyncio.create_task(relay.connect("w1", 80))
            message = json.loads(await asyncio.wait_for(new.recv(), PATIENCE))
            await new.send(json.dumps({"refused": message["open"], "reason": "not now"}))
            with pytest.raises(StreamRefusedError, match="not now"):
                await asking
    assert "lost" not in hub.kinds()[:2]


@asynccontextmanager
async def control(hub: Hub) -> AsyncIterator[ClientConnection]:
    """Open a control connection by hand."""
    headers = agent_headers(SECRET, "one")
    async with connect(f"{hub.url}/agent/w1", additional_headers=headers, proxy=None) as connection:
        await connection.send(json.dumps({"hello": True, "node": "by hand"}))
        yield connection


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/agent/w1", {}, 401),
        ("/agent/w1", {"Authorization": f"Bearer {SECRET}"}, 401),
        ("/agent/w1", {"Authorization": f"Basic {SECRET}", "X-Farlab-Agent": "one"}, 401),
        ("/agent/w1", agent_headers("guess", "one"), 403),
        ("/agent/w2", agent_headers(SECRET, "one"), 403),
        ("/agent/w1/call/hub", agent_headers("guess", "one"), 403),
        ("/agent/w1/call/nub", agent_headers(SECRET, "one"), 404),
        (f"/agent/w1/stream/{'0' * 32}", agent_headers(SECRET, "one"), 404),
        ("/agent/w1/stream/x", agent_headers(SECRET, "one"), 404),
        ("/agent/", agent_headers(SECRET, "one"), 404),
        ("/", agent_headers(SECRET, "one"), 404),
    ],
)
async def test_what_the_relay_refuses(path: str, headers: dict[str, str], status: int):
    hub = Hub(upstreams={"hub": ("127.0.0.1", 1)})
    async with hub.relay():
        with pytest.raises(InvalidStatus) as refused:
            await connect(hub.url + path, additional_headers=headers, proxy=None)
    assert refused.value.response.status_code == status
    assert refused.value.response.headers[RELAY_HEADER]
    assert b"guess" not in (refused.value.response.body or b"")
    assert hub.events == []


async def test_a_stream_belongs_to_the_agent_that_was_asked():
    hub = Hub()
    hub.secrets["w2"] = "another"
    async with hub.relay() as relay, control(hub) as asked:
        waiting = asyncio.create_task(relay.connect("w1", 80))
        stream = json.loads(await asyncio.wait_for(asked.recv(), PATIENCE))["open"]
        for workload, secret in (("w2", "another"), ("w1", "x"), ("w1", SECRET)):
            url = f"{hub.url}/agent/{workload}/stream/{stream}"
            with pytest.raises(InvalidStatus, match="404"):
                await connect(url, additional_headers=agent_headers(secret, "two"), proxy=None)
        assert not waiting.done()
        await asked.send(json.dumps({"refused": stream, "reason": "done"}))
        with pytest.raises(StreamRefusedError):
            await waiting


@pytest.mark.parametrize(
    "message",
    ["", "[]", "7", "{}", '{"what": 1}', '{"ready": 1, "exited": 2}', b"\xff", "x" * 1000],
)
async def test_messages_without_meaning_are_ignored(message: str | bytes):
    hub = Hub()
    async with hub.relay(), control(hub) as connection:
        await connection.send(message)
        await connection.send(json.dumps({"refused": 7}))
        await connection.send(json.dumps({"ready": True, "node": "n", "more": "x"}))
        assert (await hub.wait_for("ready")).detail == {"node": "n"}


async def test_a_message_that_is_too_long_ends_the_connection():
    hub = Hub()
    async with hub.relay(), control(hub) as connection:
        await connection.send("x" * 100_000)
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        await hub.wait_for("lost")


class Forgetful(Hub):
    """Can't take note of the first event."""

    failed = False

    def record(self, workload: str, event: AgentEvent) -> None:
        if not self.failed:
            self.failed = True
            raise OSError("no space left on device")
        super().record(workload, event)


async def test_an_event_that_cannot_be_handled_harms_nothing(caplog: pytest.LogCaptureFixture):
    hub = Forgetful()
    async with hub.relay() as relay, control(hub) as connection:
        await connection.send(json.dumps({"ready": True}))
        await hub.wait_for("ready")
        assert relay.is_connected("w1")
    assert "the event connected of w1 could not be handled" in caplog.text
    assert hub.kinds()[0] == "ready"


async def test_ports_of_a_workload():
    hub = Hub()
    async with hub.relay() as relay:
        port, same = await asyncio.gather(relay.open_port("w1", 80), relay.open_port("w1", 80))
        assert same == port
        assert await relay.open_port("w1", 81) != port
        with pytest.raises(OSError, match="in use"):
            await relay.open_port("w2", 80, listen=port)
        await relay.drop("w1")
        await relay.drop("w1")
        with pytest.raises(ConnectionRefusedError):
            await exchange(port, b"")
        assert await relay.open_port("w2", 80, listen=port) == port


async def test_drop_cuts_clients():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *echo()):
        await hub.wait_for("ready")
        port = await relay.open_port("w1", 8888)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        assert await asyncio.wait_for(reader.read(1), PATIENCE) == b"x"
        await relay.drop("w1")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()


# Calls from the job


async def serve_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    data = await reader.read()
    writer.write(data * 2)
    writer.close()


CALL = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as caller:
    caller.sendall(b"hub")
    caller.shutdown(socket.SHUT_WR)
    answer = b""
    while data := caller.recv(100):
        answer += data
print(answer.decode())
"""


async def test_a_job_calls_the_hub():
    async with tcp_server(serve_twice) as upstream:
        hub = Hub(upstreams={"hub": ("127.0.0.1", upstream)})
        command = python(CALL, "{call:hub}")
        async with hub.relay(), agent(hub.url, *command, options=("--call", "hub")) as running:
            assert (await running.wait())[:2] == (0, "hubhub\n")


@pytest.mark.parametrize("upstreams", [{}, {"hub": ("127.0.0.1", 1)}])
async def test_a_call_that_leads_nowhere_is_reset(upstreams: dict[str, tuple[str, int]]):
    hub = Hub(upstreams=upstreams)
    command = python(CALL, "{call:hub}")
    async with hub.relay(), agent(hub.url, *command, options=("--call", "hub")) as running:
        code, _, error = await running.wait()
        assert code == 1
        assert "ConnectionResetError" in error


async def test_a_call_waits_for_a_relay_that_is_away():
    async with tcp_server(serve_twice) as upstream:
        hub = Hub(upstreams={"hub": ("127.0.0.1", upstream)})
        async with hub.relay(), uplink(hub.url, {}) as agents_side:
            await hub.wait_for("connected")
            port = await agents_side.offer_call("hub")
            assert await exchange(port, b"a") == b"aa"
        async with uplink(hub.url, {}) as agents_side:
            port = await agents_side.offer_call("hub")
            calling = asyncio.create_task(exchange(port, b"b"))
            hub.instances.clear()
            async with hub.relay():
                assert await calling == b"bb"
