"""Byte streams to a workload's ports, through the API's WebSocket and a real agent."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import ServiceError, UnreachableError
from farlab_kernels.service.settings import Settings

# Sends back what it gets; after the other side's last byte, says how many there were.
ECHO = """
import asyncio, sys
async def serve(reader, writer):
    size = 0
    while data := await reader.read(1 << 18):
        size += len(data)
        writer.write(data)
        await writer.drain()
    writer.write(f"|{size}".encode())
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""
ECHO_COMMAND = (sys.executable, "-c", ECHO, "{port:8888}")


@pytest.fixture
async def alice(running: Any) -> AsyncIterator[Client]:
    async with Client(Settings(running.api.base, "alice")) as client:
        yield client


@pytest.fixture
async def echo(place: Any, running: Any, agent: Any) -> str:
    """Return the uid of a workload of alice's whose port sends everything back."""
    uid: str = await place.submitted()
    place.sites["cloud"].run(uid)
    await agent(uid, *ECHO_COMMAND)
    await running.api.state(uid, "ready")
    return uid


async def test_bytes_go_both_ways_and_each_direction_ends_alone(alice, echo):
    reader, writer = await alice.open_stream(echo, 8888)
    sent = bytes(range(256)) * 40_000

    async def send() -> None:
        writer.write(sent)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    got = await asyncio.wait_for(reader.read(), 60)
    await sending
    assert got == sent + f"|{len(sent)}".encode()
    writer.close()


async def test_many_streams_at_once(alice, echo):
    async def talk(number: int) -> bytes:
        reader, writer = await alice.open_stream(echo, 8888)
        for part in range(20):
            writer.write(b"%d:%d;" % (number, part))
            await writer.drain()
        writer.write_eof()
        got = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return got.partition(b"|")[0]

    answers = await asyncio.gather(*(talk(number) for number in range(20)))
    for number, answer in enumerate(answers):
        assert answer == b"".join(b"%d:%d;" % (number, part) for part in range(20))


async def test_what_cannot_be_reached_says_why(place, running, alice, echo):
    async def refusal(uid: str, port: int) -> ServiceError:
        with pytest.raises(ServiceError) as caught:
            await alice.open_stream(uid, port)
        return caught.value

    assert "no port 8889" in str(await refusal(echo, 8889))
    waiting = await place.submitted()
    later = await refusal(waiting, 8888)
    assert isinstance(later, UnreachableError)
    assert "not running yet" in str(later)
    status, answer = await running.api.call("GET", f"workloads/{echo}/ports/8888", token="alice")
    assert (status, answer["code"]) == (426, "websocket-needed")
    await running.api.call("DELETE", f"workloads/{echo}")
    assert "has ended" in str(await refusal(echo, 8888))


async def test_others_do_not_get_in(running, echo):
    for token in ("bob", "admin", "spawner", "guess"):
        async with Client(Settings(running.api.base, token)) as other:
            with pytest.raises(ServiceError) as caught:
                await other.open_stream(echo, 8888)
            assert caught.value.status == (401 if token == "guess" else 403)


async def test_a_lost_agent_is_told_and_comes_back(monkeypatch, running, alice, echo, until):
    monkeypatch.setattr("farlab_relay.protocol.CLIENT_PATIENCE", 0.3)
    reader, writer = await alice.open_stream(echo, 8888)
    workload = running.service.relay._workload(echo)
    workload.control.transport.abort()
    writer.write(b"a stream outlives the agent's own connection|")
    assert await asyncio.wait_for(reader.readuntil(b"|"), 60)
    writer.close()
    async with asyncio.timeout(60):
        while True:  # refused while the agent is away, then taken
            with contextlib.suppress(UnreachableError):
                _, writer = await alice.open_stream(echo, 8888)
                break
    writer.close()


async def test_the_end_of_a_workload_ends_its_streams(running, alice, echo):
    reader, _ = await alice.open_stream(echo, 8888)
    cancelling = asyncio.create_task(running.api.call("DELETE", f"workloads/{echo}"))
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 60) == b""
    await cancelling


async def test_a_client_that_goes_away_leaves_nothing(running, alice, echo, until):
    _, writer = await alice.open_stream(echo, 8888)
    ends = running.service.relay._workload(echo)._ends
    assert len(ends) == 1
    writer.transport.abort()
    await until(lambda: not ends)
