"""A stand-in for the ARGO Messaging Service, which nobody can install: three of its routes.

    with FakeMessagingService(authority, folder) as service:
        service.host, service.token, service.messages

`topics/T:publish` with a token, `authx509` with a client's certificate, and `subscriptions/S:pull`.
On https, as the service's client insists on it. `fail` makes the next publications go wrong: a
status, "cut" (the connection ends before the message is taken) or "lost" (after it was taken).
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from farlab_real.authority import Authority

Failure = int | str


class FakeMessagingService:
    """The stand-in, in a thread of its own."""

    token = "a-token-of-the-tests"
    project, topic = "accounting", "eu-egi-cloud"

    def __init__(self, authority: Authority, name: str = "messaging") -> None:
        self.messages: list[dict[str, Any]] = []
        """What was taken, in its order: `text` as signed, `attributes`."""
        self.fail: list[Failure] = []
        self.asked = 0
        certificate, key = authority.issue(name)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)
        self._context.load_verify_locations(authority.ca)
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    @property
    def host(self) -> str:
        """Where it listens, as `host` of a catalogue."""
        return f"localhost:{self.port}"

    async def _publish(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        body = json.loads(await request.read())
        failure = self.fail.pop(0) if self.fail else None
        if isinstance(failure, int):
            return _error(failure, "the tests want it so")
        if failure == "cut":
            _cut(request)
        if request.headers.get("x-api-key") != self.token:
            return _error(401, "Unauthorized")
        taken = []
        for one in body["messages"]:
            text = base64.b64decode(one["data"]).decode("ascii")
            self.messages.append({"text": text, "attributes": one["attributes"]})
            taken.append(str(len(self.messages)))
        if failure == "lost":
            _cut(request)
        return web.json_response({"messageIds": taken})

    async def _token(self, request: web.Request) -> web.StreamResponse:
        connection = request.transport
        if connection is None or not connection.get_extra_info("peercert"):
            return _error(400, "No certificate provided.")
        return web.json_response({"token": self.token})

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        held = [
            {"ackId": str(number), "message": {**one, "messageId": str(number)}}
            for number, one in enumerate(self.messages)
        ]
        return web.json_response({"receivedMessages": held})

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)
        return self

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 26)
        base = f"/v1/projects/{self.project}"
        app.router.add_post(f"{base}/topics/{self.topic}:publish", self._publish)
        app.router.add_post(f"{base}/subscriptions/{{name}}:pull", self._pull)
        # The client writes its host with the port into this path, too.
        app.router.add_get("/v1/service-types/ams/hosts/{host}:authx509", self._token)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        server: Any = site._server
        self.port = server.sockets[0].getsockname()[1]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


def _error(status: int, words: str) -> web.Response:
    return web.json_response(
        {"error": {"code": status, "message": words, "status": "FAILED"}}, status=status
    )


def _cut(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()
    raise web.HTTPInternalServerError


def write_token(path: Path, token: str) -> Path:
    """Write a token's file, which only its owner reads."""
    path.write_text(token + "\n")
    path.chmod(0o600)
    return path
