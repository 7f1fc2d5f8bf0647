"""Bytes through the whole path: client, relay, agent, payload."""

from __future__ import annotations

import asyncio
import random

from farlab_real.relay_parts import Hub, agent, digest, echo, exchange


async def test_echo_through_relay_and_agent():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *echo(), FARLAB_JOB_ID="42"):
        port = await relay.open_port("w1", 8888)
        ready = await hub.wait_for("ready")
        assert ready.detail["job_id"] == "42"
        assert ready.detail["node"]
        assert await exchange(port, b"hello") == b"hello"
        assert relay.is_connected("w1")


async def test_64_mb_come_back_unchanged():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *echo()):
        port = await relay.open_port("w1", 8888)
        await hub.wait_for("ready")
        data = random.Random(1).randbytes(64 << 20)
        assert digest(await exchange(port, data)) == digest(data)


async def test_50_connections_at_once_do_not_mix():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *echo()):
        port = await relay.open_port("w1", 8888)
        await hub.wait_for("ready")
        data = [random.Random(number).randbytes(400_000 + number) for number in range(50)]
        answers = await asyncio.gather(*(exchange(port, one) for one in data))
        assert [digest(one) for one in answers] == [digest(one) for one in data]
