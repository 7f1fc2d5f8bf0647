"""The workloads API for the panels: a browser has no token of the service, its server has."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import aiohttp
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.iostream import StreamClosedError

from .handlers import AUTH_RESOURCE
from .service_address import address_of_service

PASSED = ("Accept", "Content-Type", "Last-Event-ID")
RETURNED = ("Content-Type", "Cache-Control", "X-Accel-Buffering", "Allow")
CONNECT_TIME = 10.0  # seconds
SILENCE = 120.0  # seconds; the service says something more often, and waits 60 at most


class ServiceHandler(APIHandler):
    """`farlab/api/sites`, `farlab/api/workloads...`: what docs/openapi.json describes.

    But not `token`: a browser needs none, and a page that it shows must not get one.
    """

    auth_resource = AUTH_RESOURCE
    _passing: asyncio.Task[None] | None = None

    @web.authenticated
    @authorized
    async def get(self, path: str) -> None:
        """Pass a question on; events and followed logs come as they happen."""
        await self._pass_on(path)

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        """Pass on the start of a workload."""
        await self._pass_on(path)

    @web.authenticated
    @authorized
    async def delete(self, path: str) -> None:
        """Pass on the cancelling of a workload."""
        await self._pass_on(path)

    def on_connection_close(self) -> None:
        """Stop listening for a browser that went away."""
        if self._passing is not None:
            self._passing.cancel()

    async def _pass_on(self, path: str) -> None:
        url, _ = address_of_service(os.environ)
        if not url:
            fix = "On a laptop, set c.FarlabServerApp.catalogue to the file with your sites."
            self._refuse(404, "not-configured", "This server has no Farlab service.", fix)
            return
        if ".." in path.split("/"):
            # Written with %2F it is one of ours, and of the service it would be another address.
            self._refuse(404, "not-found", "There is no such address.", "")
            return
        address = f"{url.rstrip('/')}/{quote(path)}"
        self._passing = asyncio.create_task(self._stream(address))
        with suppress(asyncio.CancelledError):
            await self._passing

    async def _stream(self, url: str) -> None:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIME, sock_read=self._silence()
        )
        query = f"?{self.request.query}" if self.request.query else ""
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(
                    self.request.method or "GET",
                    url + query,
                    headers=self._told(),
                    data=self.request.body or None,
                    allow_redirects=False,
                ) as answer,
            ):
                await self._return(answer)
        except StreamClosedError:
            return  # nobody reads any more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.log.warning("The Farlab service does not answer: %s", error or "no answer in time")
            if not self._headers_written:
                words = "The Farlab service does not answer."
                self._refuse(503, "service-unreachable", words, "Try again in a moment.")

    async def _return(self, answer: aiohttp.ClientResponse) -> None:
        self.set_status(answer.status)
        for name in RETURNED:
            if name in answer.headers:
                self.set_header(name, answer.headers[name])
        await self.flush()
        async for part in answer.content.iter_any():
            self.write(part)
            await self.flush()
        await self.finish()

    def _silence(self) -> float | None:
        """Return how long the service may say nothing: a log that is followed, as long as it is."""
        return None if self.get_query_argument("follow", "") else SILENCE

    def _told(self) -> dict[str, str]:
        _, token = address_of_service(os.environ)
        sent = {name: self.request.headers[name] for name in PASSED if name in self.request.headers}
        return sent | {"Authorization": f"Bearer {token}"}

    def _refuse(self, status: int, code: str, message: str, fix: str) -> None:
        self.set_status(status)
        self.finish(json.dumps({"code": code, "message": message, "fix": fix}))

    def set_default_headers(self) -> None:
        """Answer in JSON that nobody keeps, unless the service says otherwise."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")

    def finish(self, *args: Any, **kwargs: Any) -> Any:
        """Send the rest; jupyter_server's own would set the type of the content to JSON."""
        return web.RequestHandler.finish(self, *args, **kwargs)
