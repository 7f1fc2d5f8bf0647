"""The hub's end of a tunnel: dials a site's plugin, because nothing at the site can dial out.

The connection may go through whatever leads to the plugin: `ssh -L` to a login node, a forwarded
Unix socket, a VPN. It is kept open; for each agent that dials the plugin's gateway, one connection
more is made and given to the relay, which serves it like one that the agent made itself. So an
agent's secret is checked here as ever, and flow control is TCP's own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from farlab_relay import protocol
from farlab_relay.heads import HEAD_END, HeadError, read_body, read_head
from farlab_relay.relay import Allowed, Relay
from farlab_relay.streams import Socket

log = logging.getLogger(__name__)


class TunnelError(Exception):
    """The plugin can't be reached, or does not do its part; the message is for the operator."""


@dataclass(frozen=True)
class Plugin:
    """Where a plugin listens (http://, https:// or unix:///path) and what lets the hub in."""

    url: str
    token: str = field(default="", repr=False)

    @property
    def socket_path(self) -> str | None:
        """The Unix socket, if it is one."""
        parts = urlsplit(self.url)
        return parts.path if parts.scheme == "unix" else None

    @property
    def base(self) -> str:
        """The address before a path, as http:// or https://."""
        return "http://plugin" if self.socket_path else self.url.rstrip("/")

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


class HubEnd:
    """Stays connected to a plugin, again and again, until `run` is cancelled.

    `plugin` is asked before each connection, so that a new token counts at once; it may raise
    TunnelError. `allowed` says which workloads' agents may come through this plugin.
    """

    def __init__(
        self,
        relay: Relay,
        plugin: Callable[[], Plugin],
        allowed: Allowed,
        *,
        heartbeat: float = protocol.HEARTBEAT,
    ) -> None:
        self._relay = relay
        self._plugin = plugin
        self._allowed = allowed
        self._heartbeat = heartbeat
        self._trouble = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        delay = protocol.FIRST_DELAY
        try:
            while True:
                try:
                    await self._session()
                except TunnelError as error:
                    self._note(str(error))
                if self.connected.is_set():
                    delay = protocol.FIRST_DELAY
                    self.connected.clear()
                await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311
                delay = min(2 * delay, protocol.LONGEST_DELAY)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _session(self) -> None:
        """Dial, and answer what the plugin asks until the connection ends. Raises TunnelError."""
        plugin = self._plugin()
        try:
            async with self._connect(plugin) as control:
                self.connected.set()
                self._note("")
                async for text in control:
                    self._message(plugin, text)
        except InvalidStatus as error:
            raise TunnelError(_explain(plugin, error)) from None
        except (OSError, WebSocketException) as error:
            words = str(error) or type(error).__name__
            raise TunnelError(f"{plugin.url} can't be reached: {words}") from None
        raise TunnelError(f"{plugin.url} closed the connection")

    def _connect(self, plugin: Plugin) -> connect:
        # What `unix_connect` does: `websockets` passes these on to the event loop.
        unix: dict[str, Any] = {"unix": True, "path": plugin.socket_path}
        return connect(
            plugin.base.replace("http", "ws", 1) + protocol.TUNNEL_PATH,
            additional_headers=plugin.headers,
            compression=None,
            open_timeout=protocol.OPEN_TIMEOUT,
            ping_interval=self._heartbeat,
            ping_timeout=2 * self._heartbeat,
            close_timeout=protocol.CLOSE_PATIENCE,
            max_size=protocol.MAX_MESSAGE,
            proxy=None,
            **(unix if plugin.socket_path else {}),
        )

    def _note(self, trouble: str) -> None:
        """Log when the plugin goes away and comes back, not each attempt."""
        if trouble and trouble != self._trouble:
            log.warning("no streams from this site for now: %s", trouble)
        elif self._trouble and not trouble:
            log.warning("connected to %s again", self._plugin().url)
        self._trouble = trouble

    def _message(self, plugin: Plugin, text: str | bytes) -> None:
        try:
            name = json.loads(text)["dial"]
        except (ValueError, KeyError, TypeError):
            name = None
        if not isinstance(name, str) or not protocol.is_stream(name):
            log.warning("%s sent a message that is none: %.200r", plugin.url, text)
            return
        task = asyncio.get_running_loop().create_task(self._open(plugin, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, plugin: Plugin, name: str) -> None:
        """Make one more connection, and give it to the relay."""
        try:
            connection, early = await dial(plugin, f"{protocol.TUNNEL_PATH}/{name}")
        except TunnelError as error:
            log.warning("an agent could not be let in: %s", error)
            return
        if not connection.closed.done():
            self._relay.adopt(connection.transport, early, self._allowed)


async def dial(plugin: Plugin, path: str) -> tuple[Socket, bytes]:
    """Return a connection to a path of the plugin, held, and what it sent already.

    Raises TunnelError.
    """
    try:
        async with asyncio.timeout(protocol.OPEN_TIMEOUT):
            connection = await _connected(plugin)
            connection.take(_request(plugin, path))
            head, rest = await read_head(connection)
    except (OSError, HeadError) as error:
        words = str(error) or type(error).__name__
        raise TunnelError(f"{plugin.url} gives no connection: {words}") from None
    if head.words[1] == str(HTTPStatus.SWITCHING_PROTOCOLS.value):
        return connection, rest
    text = await read_body(connection, head, rest)
    connection.cut("refused")
    raise TunnelError(f"{plugin.url} answered {head.words[1]} {text}")


async def _connected(plugin: Plugin) -> Socket:
    loop = asyncio.get_running_loop()
    if plugin.socket_path:
        _, connection = await loop.create_unix_connection(Socket, plugin.socket_path)
        return connection
    parts = urlsplit(plugin.base)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    host, port = parts.hostname or "", parts.port or (443 if tls else 80)
    _, connection = await loop.create_connection(Socket, host, port, ssl=tls)
    return connection


def _request(plugin: Plugin, path: str) -> bytes:
    parts = urlsplit(plugin.base)
    lines = [f"GET {parts.path}{path} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}"]
    lines += ["Connection: Upgrade", f"Upgrade: {protocol.TUNNEL_UPGRADE}"]
    lines += [f"{key}: {value}" for key, value in plugin.headers.items()]
    return "\r\n".join(lines).encode() + HEAD_END


def _explain(plugin: Plugin, error: InvalidStatus) -> str:
    """Say what the plugin refused, and what to do."""
    status = error.response.status_code
    text = bytes(error.response.body or b"").decode(errors="replace").strip()[:300]
    with suppress(KeyError):
        fix = {
            HTTPStatus.UNAUTHORIZED: "compare the catalogue's token_file with the plugin's",
            HTTPStatus.NOT_FOUND: "write a `gateway` without `relay` into its plugin.yaml",
        }[HTTPStatus(status)]
        text = f"{text} ({fix})" if text else fix
    return f"{plugin.url} answered {status}: {text}"
