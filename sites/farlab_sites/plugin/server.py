"""interLink's plugin protocol over HTTP: translates requests, and nothing else.

Who may call is decided in one place (`_guard`) for every route, and so is how an error looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import os
import socket
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from farlab_relay.tunnel_site import SiteEnd

from farlab_sites.plugin import hub_door, logs
from farlab_sites.plugin.accounts import AccountError
from farlab_sites.plugin.config import ConfigError, Settings, split_address
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.pods import Pods

log = logging.getLogger(__name__)

BODY_LIMIT = 32 << 20  # bytes; a /status names every pod of a site with its whole manifest
PODS = web.AppKey("pods", Pods)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(
    pods: Pods, token_file: Path | None, tunnel: SiteEnd | None = None
) -> web.Application:
    """Return the HTTP application; `tunnel` is where the hub connects, if the site wants it."""
    app = web.Application(middlewares=[_refusals, _guard(token_file)], client_max_size=BODY_LIMIT)
    app[PODS] = pods
    app.add_routes(
        [
            web.post("/create", create),
            web.post("/delete", delete),
            web.delete("/delete", delete),
            web.get("/status", status),
            web.get("/getLogs", get_logs),
            *hub_door.routes(tunnel),
        ]
    )
    if tunnel is not None:
        app.on_shutdown.append(lambda _: tunnel.close())
    return app


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer an error with its status and one plain text, in the words for a user."""
    try:
        return await handler(request)
    except Refusal as error:
        return web.Response(status=error.status, text=error.message)
    except AccountError as error:
        return web.Response(status=403, text=str(error))
    except (web.HTTPException, ConnectionError):
        raise
    except (OSError, sqlite3.Error) as error:
        log.error("%s %s: %s", request.method, request.path, error)
        return web.Response(status=500, text=f"The plugin cannot use its folder: {error}")
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return web.Response(
            status=500, text="The plugin has a fault; its log at the site says more."
        )


def _guard(token_file: Path | None) -> Middleware:
    """Return what lets only bearers of the token through; the file is read each time."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if token_file is not None:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
            if not hmac.compare_digest(given.encode(), read_token(token_file).encode()):
                raise Refusal(401, "Send `Authorization: Bearer` with the site's token.")
        return await handler(request)

    return guard


def read_token(path: Path) -> str:
    """Return the token.

    Raises:
        Refusal: 503, there is none: nobody is let in.

    """
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token:
        log.error("token_file: %s is empty or cannot be read: every call is refused", path)
        raise Refusal(503, "The plugin's token file cannot be read; its operator must mend it.")
    return token


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON.") from None


async def create(request: web.Request) -> web.Response:
    """POST /create: take a pod, answer its job's id."""
    body = await _json(request)
    if not isinstance(body, dict):
        raise Refusal(400, 'The body must be {"pod": ..., "container": [...]}.')
    return web.json_response(await request.app[PODS].create(body))


async def delete(request: web.Request) -> web.Response:
    """POST /delete: end a pod's job; the body is the pod."""
    done = await request.app[PODS].delete(await _json(request))
    return web.Response(text="deleted" if done else "being deleted")


async def status(request: web.Request) -> web.Response:
    """GET /status: the state of the pods in the body; of no pod: the site's facts."""
    manifests = await _json(request)
    if not isinstance(manifests, list):
        raise Refusal(400, "The body must be a list of pods.")
    pods = request.app[PODS]
    return web.json_response(await pods.status(manifests) if manifests else await pods.facts())


async def get_logs(request: web.Request) -> web.StreamResponse:
    """GET /getLogs: a container's output, as it comes."""
    wanted = logs.parse_request(await _json(request))
    chunks = await logs.stream(request.app[PODS], wanted)
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # nobody reads any more
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
    return response


async def listen(app: web.Application, settings: Settings) -> tuple[web.AppRunner, str]:
    """Open the plugin's address; return what to clean up, and the address as it is now.

    Raises:
        ConfigError: the address cannot be opened.

    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        address = await _open(runner, settings.listen)
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(
            f"listen: {settings.listen} cannot be opened: {error.strerror}; is another plugin"
            " running?"
        ) from None
    return runner, address


async def _open(runner: web.AppRunner, address: str) -> str:
    if address.startswith("unix://"):
        path = Path(address.removeprefix("unix://"))
        _remove_dead_socket(path)
        before = os.umask(0o177)  # the socket is the plugin's alone from its first moment
        try:
            await web.UnixSite(runner, path).start()
        finally:
            os.umask(before)
        return address
    host, port = split_address(address)
    await web.TCPSite(runner, host, port).start()
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{runner.addresses[0][1]}"


async def close(runner: web.AppRunner, settings: Settings) -> None:
    """Answer nobody any more, and remove the socket."""
    await runner.cleanup()
    if settings.listen.startswith("unix://"):
        await asyncio.to_thread(os.unlink, settings.listen.removeprefix("unix://"))


def _remove_dead_socket(path: Path) -> None:
    """Remove the socket of a plugin that was killed; one that answers stays in the way."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError:
            pass
