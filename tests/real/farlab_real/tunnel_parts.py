"""The edge of a site from which nothing dials out, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from farlab_relay.gateway import Gateway
from farlab_relay.tunnel_site import SiteEnd
from farlab_sites.plugin import hub_door


class Site:
    """The edge of a site: the plugin's door for the hub, and a gateway for the agents."""

    def __init__(self, *workloads: str) -> None:
        self.end = SiteEnd()
        self.gateway = Gateway(self.end, allowed=set(workloads).__contains__)
        self.url = ""  # what agents dial
        self.address = ""  # what the hub dials

    @asynccontextmanager
    async def running(self, path: Path | None = None, port: int = 0) -> AsyncIterator[Site]:
        """Listen at a Unix socket or on loopback."""
        app = web.Application()
        app.add_routes(hub_door.routes(self.end))
        app.on_shutdown.append(lambda _: self.end.close())
        runner = web.AppRunner(app, shutdown_timeout=2)
        await runner.setup()
        if path:
            await web.UnixSite(runner, path).start()
            self.address = f"unix://{path}"
        else:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.url = f"ws://127.0.0.1:{await self.gateway.listen('127.0.0.1', 0)}"
        try:
            yield self
        finally:
            await self.gateway.close()
            await runner.cleanup()
