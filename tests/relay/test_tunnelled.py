"""Sites from which nothing dials out: the hub dials the plugin, and streams ride on that."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from farlab_real.relay_parts import (
    PATIENCE,
    SECRET,
    FakeNetwork,
    Hub,
    agent,
    digest,
    echo,
    eventually,
    exchange,
    python,
    tcp_server,
)
from farlab_real.tunnel_parts import Site
from farlab_relay.tunnel_hub import HubEnd, Plugin, TunnelError, dial

ASK = """
import http.server, sys, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[2]}/", timeout=30) as api:
            text = b"heard: " + api.read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@asynccontextmanager
async def tunnel(
    hub: Hub, relay: object, address: str, *workloads: str, heartbeat: float = 15.0
) -> AsyncIterator[HubEnd]:
    """Keep the hub connected to a site; agents of `workloads` may come through it."""

    async def allowed(workload: str) -> bool:
        return workload in workloads

    end = HubEnd(relay, lambda: Plugin(address), allowed, heartbeat=heartbeat)  # type: ignore[arg-type]
    running = asyncio.create_task(end.run())
    try:
        yield end
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_streams_ride_on_the_hubs_connections(kind: str, tmp_path: Path) -> None:
    hub = Hub()
    path = tmp_path / "s" if kind == "unix" else None
    async with (
        hub.relay() as relay,
        Site("w1").running(path) as site,
        agent(site.url, *echo()),
        tunnel(hub, relay, site.address, "w1"),
    ):
        port = await relay.open_port("w1", 8888)
        await hub.wait_for("ready")
        data = random.Random(2).randbytes(8 << 20)
        assert digest(await exchange(port, data)) == digest(data)
        answers = await asyncio.gather(*(exchange(port, data[:n]) for n in range(1, 50)))
        assert answers == [data[:n] for n in range(1, 50)]


async def test_a_job_calls_the_hub() -> None:
    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nthe API")
        writer.close()

    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(tcp_server(api))
        hub = Hub({"hub": ("127.0.0.1", upstream)})
        relay = await stack.enter_async_context(hub.relay())
        site = await stack.enter_async_context(Site("w1").running())
        await stack.enter_async_context(tunnel(hub, relay, site.address, "w1"))
        command = python(ASK, "{port:8888}", "{call:hub}")
        options = ("--port", "8888", "--call", "hub")
        await stack.enter_async_context(agent(site.url, *command, options=options))
        port = await relay.open_port("w1", 8888)
        await hub.wait_for("ready")
        answer = await exchange(port, b"GET / HTTP/1.0\r\n\r\n")
        assert answer.endswith(b"heard: the API")


async def test_an_agent_that_comes_before_the_hub_waits() -> None:
    hub = Hub()
    async with (
        hub.relay() as relay,
        Site("w1").running() as site,
        agent(site.url, *echo()) as running,
    ):
        line = await asyncio.wait_for(running.process.stderr.readline(), PATIENCE)
        assert b"HTTP 502 The hub is not connected to this site's plugin now." in line
        async with tunnel(hub, relay, site.address, "w1"):
            await hub.wait_for("ready")


async def test_a_site_speaks_only_for_its_own_workloads() -> None:
    """Even with the secret of another site's workload, an agent does not come in."""
    hub = Hub()
    async with (
        hub.relay() as relay,
        Site("w1").running() as site,
        tunnel(hub, relay, site.address, "w2") as end,
        agent(site.url, *echo()) as running,
    ):
        await asyncio.wait_for(end.connected.wait(), PATIENCE)
        code, _, error = await running.wait()
        assert code == 77
        assert "HTTP 403" in error
    assert hub.events == []


async def test_the_gateway_and_the_relay_refuse_as_ever() -> None:
    hub = Hub()
    async with (
        hub.relay() as relay,
        Site("w1").running() as site,
        tunnel(hub, relay, site.address, "w1") as end,
    ):
        await asyncio.wait_for(end.connected.wait(), PATIENCE)
        async with agent(site.url, *echo(), secret="wrong") as running:
            code, _, error = await running.wait()
        assert code == 77
        assert "HTTP 403 The secret is wrong" in error
        async with agent(site.url, *echo(), workload="w2") as running:
            code, _, error = await running.wait()
        assert code == 77
        assert "w2 does not run at this site" in error


async def test_a_cut_network_heals_and_truncates_nothing() -> None:
    """Half-open connections are noticed on both sides; what was under way is reset, not ended."""
    hub = Hub()
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(hub.relay(heartbeat=0.5))
        site = await stack.enter_async_context(Site("w1").running())
        network = FakeNetwork(int(site.address.rpartition(":")[2]))
        address = (await stack.enter_async_context(network.url())).replace("ws", "http", 1)
        end = await stack.enter_async_context(tunnel(hub, relay, address, "w1", heartbeat=0.5))
        await stack.enter_async_context(agent(site.url, *echo()))
        port = await relay.open_port("w1", 8888)
        await hub.wait_for("ready")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"before")
        assert await asyncio.wait_for(reader.readexactly(6), PATIENCE) == b"before"
        network.freeze()
        await hub.wait_for("lost")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        await eventually(lambda: not end.connected.is_set())
        network.thaw()
        await asyncio.wait_for(end.connected.wait(), PATIENCE)
        data = random.Random(3).randbytes(1 << 20)
        await hub.wait_for("connected", 2)
        assert digest(await exchange(port, data)) == digest(data)


async def test_the_hub_restarts_while_the_site_goes_on() -> None:
    hub = Hub()
    async with Site("w1").running() as site, agent(site.url, *echo()):
        for count in (1, 2):
            async with hub.relay() as relay, tunnel(hub, relay, site.address, "w1"):
                await hub.wait_for("ready", count)
                port = await relay.open_port("w1", 8888)
                assert await exchange(port, b"x" * 1000) == b"x" * 1000


async def test_the_newest_hub_connection_counts() -> None:
    hub = Hub()
    async with hub.relay() as relay, Site("w1").running() as site:
        async with (
            tunnel(hub, relay, site.address, "w1") as first,
            tunnel(hub, relay, site.address, "w1") as second,
        ):
            await asyncio.wait_for(first.connected.wait(), PATIENCE)
            await asyncio.wait_for(second.connected.wait(), PATIENCE)
        async with tunnel(hub, relay, site.address, "w1"), agent(site.url, *echo()):
            await hub.wait_for("ready")


async def test_a_plugin_that_is_away_gives_no_connection() -> None:
    async with Site("w1").running() as site:
        pass
    with pytest.raises(TunnelError, match="gives no connection"):
        await dial(Plugin(site.address), "/relay/" + "0" * 32)


async def test_rubbish_from_the_plugin_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A plugin that is none, or lies, costs a line in the log."""
    said: list[web.WebSocketResponse] = []

    async def control(request: web.Request) -> web.StreamResponse:
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        said.append(connection)
        for text in (
            "{",
            "[]",
            '{"dial": 3}',
            '{"dial": "../create"}',
            '{"dial": "%s"}' % ("a" * 32),
        ):
            await connection.send_str(text)
        async for _ in connection:
            pass
        return connection

    app = web.Application()
    app.router.add_get("/relay", control)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    hub = Hub()
    async with hub.relay() as relay, tunnel(hub, relay, address, "w1") as end:
        await eventually(lambda: "could not be let in" in caplog.text)
        assert end.connected.is_set()
        assert caplog.text.count("a message that is none") == 4
        await runner.cleanup()
        await eventually(lambda: "no streams from this site" in caplog.text)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "compare the catalogue's"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "a `gateway` without `relay`"),
        (b"220 mail.example.org ESMTP\r\n\r\n", "can't be reached"),
    ],
)
async def test_trouble_is_told(first: bytes, words: str, caplog: pytest.LogCaptureFixture) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        writer.close()

    hub = Hub()
    async with (
        tcp_server(serve) as port,
        hub.relay() as relay,
        tunnel(hub, relay, f"http://127.0.0.1:{port}", "w1"),
    ):
        await eventually(lambda: words in caplog.text)


def test_a_token_is_not_shown() -> None:
    plugin = Plugin("https://edge.example.org/p", SECRET)
    assert SECRET not in repr(plugin)
    assert plugin.headers == {"Authorization": f"Bearer {SECRET}"}


async def test_nothing_is_adopted_by_a_closed_relay() -> None:
    relay = Hub().make_relay()
    one, two = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=one)

    async def allowed(_: str) -> bool:
        return True

    with pytest.raises(RuntimeError):
        relay.adopt(writer.transport, b"", allowed)
    writer.close()
    two.close()
