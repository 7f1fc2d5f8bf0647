"""A small HTTP proxy that counts the requests which reach a server behind it.

async with CountingProxy(server_url) as proxy: ...  # proxy.url, proxy.requests
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

HOP = ("connection", "content-length", "host", "keep-alive", "transfer-encoding")
"""Headers of one connection only."""


class CountingProxy:
    """Passes everything on, and notes what was asked for."""

    def __init__(self, server: str) -> None:
        self._server = server.rstrip("/")
        self.asked: list[str] = []
        self.url = ""

    @property
    def requests(self) -> int:
        """How many requests have come."""
        return len(self.asked)

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.rel_url}")
        headers = {key: text for key, text in request.headers.items() if key.lower() not in HOP}
        url = self._server + str(request.rel_url)
        async with self._client.request(
            request.method, url, headers=headers, data=await request.read(), allow_redirects=False
        ) as answer:
            kept = {key: text for key, text in answer.headers.items() if key.lower() not in HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            await response.write_eof()
            return response
