"""Where the hub comes in, at a site from which nothing dials out: its control connection, streams.

Who may connect is decided by the server's guard, as for every other request.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from aiohttp import web
from farlab_relay import protocol
from farlab_relay.tunnel_site import HubLine, SiteEnd

from farlab_sites.plugin.errors import Refusal


def routes(tunnel: SiteEnd | None) -> Iterable[web.AbstractRouteDef]:
    """Return the routes; without a tunnel they say that there is none."""

    async def control(request: web.Request) -> web.StreamResponse:
        return await _control(request, _wanted(tunnel))

    async def stream(request: web.Request) -> web.StreamResponse:
        return await _stream(request, _wanted(tunnel))

    path = protocol.TUNNEL_PATH
    return [web.get(path, control), web.get(path + "/{name:[0-9a-f]{32}}", stream)]


def _wanted(tunnel: SiteEnd | None) -> SiteEnd:
    if tunnel is None:
        raise Refusal(404, "This plugin does not wait for the hub to connect.")
    return tunnel


async def _control(request: web.Request, tunnel: SiteEnd) -> web.StreamResponse:
    """Keep the hub's control connection until it ends."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise Refusal(426, "The hub opens a WebSocket here.")
    connection = web.WebSocketResponse(
        heartbeat=protocol.HEARTBEAT, timeout=protocol.CLOSE_PATIENCE, compress=False
    )
    await connection.prepare(request)
    line = HubLine(connection.send_str, connection.close)
    await tunnel.attach(line)
    try:
        async for _ in connection:
            pass  # the hub answers with connections, not with words
    finally:
        tunnel.detach(line)
    return connection


async def _stream(request: web.Request, tunnel: SiteEnd) -> web.StreamResponse:
    """Give the hub's connection to the agent that waits for it; HTTP is over on it."""
    name = request.match_info["name"]
    if request.headers.get("Upgrade", "").lower() != protocol.TUNNEL_UPGRADE:
        raise Refusal(426, "The hub opens a stream here.")
    if not tunnel.awaits(name):
        raise Refusal(404, "No agent waits for this connection.")
    assert request.transport is not None  # noqa: S101 - the request was just read from it
    taken: socket.socket = request.transport.get_extra_info("socket")
    # The server closes its own; nothing can have come yet that it would take along.
    own = taken.dup()
    request.transport.abort()
    await tunnel.deliver(name, own)
    return web.Response()  # goes nowhere
