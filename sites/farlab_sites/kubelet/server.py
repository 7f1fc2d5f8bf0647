"""The kubelet's HTTPS endpoint: the API server asks for logs, Prometheus for metrics."""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from farlab_sites.carriers import CarrierRejected, CarrierUnreachable
from farlab_sites.kubelet.api import ApiError
from farlab_sites.kubelet.backend import Backend
from farlab_sites.kubelet.config import Serving
from farlab_sites.kubelet.gauges import Gauges
from farlab_sites.kubelet.logs import BadQuery, limited, parse_query
from farlab_sites.kubelet.logs import request as log_request
from farlab_sites.kubelet.pods import Pod
from farlab_sites.kubelet.serving import Readers

log = logging.getLogger(__name__)

FindPod = Callable[[str, str], Pod | None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOGS = "/containerLogs/{namespace}/{pod}/{container}"


def _middleware(guard: Callable[[web.Request, Handler], Awaitable[Any]]) -> Middleware:
    """Return a method as what aiohttp takes for a middleware."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer: web.StreamResponse = await guard(request, handler)
        return answer

    return middleware


class NoLog(Exception):  # noqa: N818 - an answer, not a defect
    """There is no such pod."""


class ListenError(Exception):
    """The endpoint's address can't be opened; the message says which and what to do."""


class Endpoint:
    """Answers the API server."""

    def __init__(
        self,
        backend: Backend,
        readers: Readers,
        find: FindPod,
        serving: Serving,
        gauges: Gauges,
    ) -> None:
        self._gauges = gauges
        self._backend = backend
        self._readers = readers
        self._find = find
        self._serving = serving
        self._runner: web.AppRunner | None = None

    async def listen(self, context: ssl.SSLContext) -> int:
        """Open the address and return its port.

        Raises:
            ListenError: it can't be opened.

        """
        host, _, port = self._serving.listen.rpartition(":")
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(
                self._runner, host.strip("[]"), int(port), ssl_context=context
            ).start()
        except OSError as error:
            await self.close()
            fix = "is another kubelet running? (port 0 takes a free one)"
            words = f"serving.listen: {self._serving.listen} can't be opened: {error.strerror}"
            raise ListenError(f"{words}; {fix}") from None
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Answer nobody any more."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[_middleware(self._guard)])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get(LOGS, self._logs)
        app.add_routes(self._gauges.routes())
        for path in ("/exec", "/attach", "/portForward", "/run"):
            app.router.add_route("*", path + "/{rest:.*}", self._not_here)
        return app

    async def _guard(self, call: web.Request, handler: Handler) -> web.StreamResponse:
        """Let only those in whom the API server allows; /healthz is everybody's."""
        if call.path == "/healthz":
            return await handler(call)
        transport = call.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        if not certificate:
            words = "show a client certificate that serving.client_ca_file of kubelet.yaml signed"
            return web.Response(status=401, text=words)
        try:
            allowed = await self._readers.may(certificate)
        except ApiError as error:
            return web.Response(status=503, text=f"who you are could not be checked: {error}")
        if not allowed:
            return web.Response(status=403, text="you may not get nodes/proxy of this node")
        return await handler(call)

    @staticmethod
    async def _healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    @staticmethod
    async def _not_here(call: web.Request) -> web.Response:
        verb = call.path.split("/")[1]
        words = f"{verb} is not possible on a virtual node, whose pods run at another site"
        # kubectl reads what comes instead of a stream as a Status, whatever it is.
        answer = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": words}
        return web.json_response(answer | {"reason": "NotImplemented", "code": 501}, status=501)

    async def _logs(self, call: web.Request) -> web.StreamResponse:
        """GET: a container's output, as it comes."""
        try:
            pod, container = self._container(call)
            wanted = parse_query(call.query)
        except NoLog as error:
            return web.Response(status=404, text=str(error))
        except BadQuery as error:
            return web.Response(status=400, text=str(error))
        if wanted.nothing:
            return web.Response(text="")
        body = log_request(pod, container, wanted, datetime.now(UTC))
        try:
            async with self._backend.logs(body) as chunks:
                return await _sent(call, limited(chunks, wanted.limit))
        except CarrierRejected as error:
            return web.Response(status=400, text=str(error))
        except CarrierUnreachable as error:
            return web.Response(status=502, text=str(error))

    def _container(self, call: web.Request) -> tuple[Pod, str]:
        """Return the container that a path names, of a pod with a job."""
        part = call.match_info
        pod, container = self._find(part["namespace"], part["pod"]), part["container"]
        if pod is None:
            raise NoLog(f'pod "{part["pod"]}" is not on this node')
        names = [known.name for known in (*pod.inits, *pod.containers)]
        if container not in names:
            raise BadQuery(f'pod "{pod.name}" has no container "{container}": {", ".join(names)}')
        if not pod.job_id:
            why = ": ".join(word for word in pod.words if word) or "it has no job yet"
            raise BadQuery(
                f'container "{container}" in pod "{pod.name}" is waiting to start: {why}'
            )
        return pod, container


async def _sent(call: web.Request, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Pass output on as it comes."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(call)
    with contextlib.suppress(ConnectionError):  # nobody reads any more
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
    return response
