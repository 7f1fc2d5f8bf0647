"""A plugin that waits for the hub: only the hub gets in, and agents of live pods get through."""

from __future__ import annotations

import asyncio
import re
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from farlab_real.plugin_pods import Client, configuration, eventually, make_pod
from farlab_real.processes import Process
from farlab_real.relay_parts import SECRET, Hub, exchange
from farlab_relay.payload import free_port
from farlab_relay.relay import Relay
from farlab_relay.tunnel_hub import HubEnd, Plugin

ECHO = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        client, _ = server.accept()
        with client:
            while data := client.recv(1 << 16):
                client.sendall(data)
"""
TOKEN = "the-token-of-this-site"


class Running:
    """The program `farlab plugin`, and how to reach it."""

    def __init__(self, process: Process, client: Client, gateway: str, address: str) -> None:
        self.process = process
        self.client = client
        self.gateway = gateway
        self.address = address


@asynccontextmanager
async def plugin(home: Path, **more: object) -> AsyncIterator[Running]:
    """Run a plugin on loopback, with a token."""
    (home / "token").write_text(TOKEN)
    text = configuration(home, **{"listen": "127.0.0.1:0", "token_file": f"{home}/token", **more})
    (home / "plugin.yaml").write_text(text)
    command = [sys.executable, "-m", "farlab_sites.plugin.main", "--config", f"{home}/plugin.yaml"]
    process = Process(command, home / "log")
    process.start()
    try:
        process.wait_until(lambda: "listening on" in process.read_log(), "the plugin listens")
        log = process.read_log()
        address = re.search(r"listening on (\S+)", log)
        gateway = re.search(r"agents may dial (\S+)", log)
        assert address
        client = Client(address[1], TOKEN)
        yield Running(process, client, gateway[1] if gateway else "", address[1])
        await client.session.close()
    finally:
        process.stop()


@asynccontextmanager
async def connected(relay: Relay, address: str, token: str = TOKEN) -> AsyncIterator[HubEnd]:
    """Keep a relay connected to a plugin."""

    async def allowed(_: str) -> bool:
        return True

    end = HubEnd(relay, lambda: Plugin(address, token), allowed)
    running = asyncio.create_task(end.run())
    try:
        yield end
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def job(gateway: str) -> dict[str, object]:
    """Return a pod whose agent dials the gateway."""
    uid = str(uuid.uuid4())
    command = [sys.executable, "-m", "farlab_relay.agent", "--port", "8888", "--"]
    pod = make_pod(command=[*command, sys.executable, "-c", ECHO, "{port:8888}"], uid=uid)
    values = {"FARLAB_RELAY_URL": gateway, "FARLAB_SECRET": SECRET, "FARLAB_WORKLOAD": uid}
    pod["spec"]["containers"][0]["env"] = [
        {"name": name, "value": value} for name, value in values.items()
    ]
    return pod


async def test_a_job_is_reached_through_the_plugin(home: Path) -> None:
    hub = Hub()
    # The same addresses after a restart, which nobody else is given meanwhile.
    same = {
        "listen": f"127.0.0.1:{free_port()}",
        "gateway": {"listen": f"127.0.0.1:{free_port()}"},
    }
    async with (
        hub.relay() as relay,
        plugin(home, **same) as site,
        connected(relay, site.address),
    ):
        pod = job(site.gateway)
        uid = pod["metadata"]["uid"]  # type: ignore[index]
        hub.secrets[uid] = SECRET
        await site.client.create(pod)
        port = await relay.open_port(uid, 8888)
        await hub.wait_for("ready")
        assert await exchange(port, b"x" * 100_000) == b"x" * 100_000

        # The plugin is killed and comes back: the job has gone on, and is reached again.
        site.process.kill()
        await hub.wait_for("lost")
        async with plugin(home, **same) as restarted:
            await hub.wait_for("connected", 2)
            assert await exchange(port, b"y" * 100_000) == b"y" * 100_000
            await restarted.client.delete(pod)


async def test_only_the_token_lets_the_hub_in(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub()
    async with (
        hub.relay() as relay,
        plugin(home, gateway={"listen": "127.0.0.1:0"}) as site,
    ):
        for path in ("/relay", f"/relay/{uuid.uuid4().hex}"):
            async with site.client.session.get(
                site.address + path, headers={"Authorization": "Bearer wrong"}
            ) as answer:
                assert answer.status == 401
        async with connected(relay, site.address, "wrong") as end:

            async def told() -> bool:
                return "compare the catalogue's token_file with the plugin's" in caplog.text

            await eventually(told, "the operator reads what is wrong")
            assert not end.connected.is_set()
        assert TOKEN not in caplog.text
        assert "wrong" not in site.process.read_log()


async def test_what_the_door_refuses(home: Path) -> None:
    async with plugin(home, gateway={"listen": "127.0.0.1:0"}) as site:
        assert (await site.client.call("GET", "/relay", []))[0] == 426
        assert (await site.client.call("GET", f"/relay/{uuid.uuid4().hex}", []))[0] == 426
        headers = {"Connection": "Upgrade", "Upgrade": "farlab-stream"}
        path = f"{site.address}/relay/{uuid.uuid4().hex}"
        async with site.client.session.get(path, headers=headers) as answer:
            assert answer.status == 404
            assert "No agent waits" in await answer.text()
        assert (await site.client.call("GET", "/relay/../create", []))[0] in (404, 405)


async def test_a_plugin_that_does_not_wait_says_so(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub()
    async with hub.relay() as relay, plugin(home) as site, connected(relay, site.address):

        async def told() -> bool:
            return "write a `gateway` without `relay` into its plugin.yaml" in caplog.text

        await eventually(told, "the operator reads what is missing")
