"""Opening handshakes: `websockets` does them, and a Link takes the connection over after them."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.protocol import Protocol, Side

from farlab_relay import protocol
from farlab_relay.links import Link
from farlab_relay.protocol import AgentPath

Allowed = Callable[[str], Awaitable[bool]]

_HEAD_END = b"\r\n\r\n"


class RawServerConnection(ServerConnection):
    """A server's connection that can be taken over: what comes early is kept for the Link."""

    allowed: Allowed | None = None
    """Whose agents may come this way; None: every workload's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._raw = False
        self._early = bytearray()

    def make_raw(self) -> None:
        """Read no frames; call it before the handshake is answered."""
        self._raw = True
        self.ping_interval = None
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Keep bytes that belong to the stream."""
        if self._raw:
            self._early += data
        else:
            super().data_received(data)

    def take_over(self, heartbeat: float) -> Link:
        """Make it the end of a stream."""
        return Link(self, heartbeat=heartbeat, early=bytes(self._early))


class RawClientConnection(ClientConnection):
    """A client's connection that keeps what follows the head of the server's answer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head: bytearray | None = bytearray()
        self._early = bytearray()

    def data_received(self, data: bytes) -> None:
        """Give the head of the answer, or the whole of a refusal, to `websockets`."""
        if self._head is None:
            if self.response is not None and self.response.status_code == 101:
                self._early += data
            else:
                super().data_received(data)
            return
        self._head += data
        end = self._head.find(_HEAD_END) + len(_HEAD_END)
        if end < len(_HEAD_END) and len(self._head) <= protocol.MAX_MESSAGE:
            return
        head, rest = bytes(self._head[:end]), bytes(self._head[end:])
        self._head = None
        super().data_received(head)
        if rest:
            self.data_received(rest)

    def take_over(self, heartbeat: float) -> Link:
        """Make it the end of a stream."""
        return Link(self, heartbeat=heartbeat, early=bytes(self._early))


class AdoptedConnection(Connection):
    """A connection whose opening handshake another server did."""

    def __init__(self) -> None:
        super().__init__(Protocol(Side.SERVER))
        self._early = bytearray()

    def data_received(self, data: bytes) -> None:
        """Keep bytes that come before the Link takes over."""
        self._early += data

    def take_over(self, heartbeat: float) -> Link:
        """Make it the end of a stream."""
        return Link(self, heartbeat=heartbeat, early=bytes(self._early))


async def adopt(connected: socket.socket, *, heartbeat: float = protocol.HEARTBEAT) -> Link:
    """Make a socket the end of a stream; a WebSocket handshake was just answered on it."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.connect_accepted_socket(AdoptedConnection, connected)
    return connection.take_over(heartbeat)


def target(relay_url: str, path: AgentPath) -> str:
    """Return the address to dial: the relay's address, whatever path it has, and the agent path."""
    return relay_url.rstrip("/") + str(path)


def proxy_for(relay_url: str) -> Literal[True] | None:
    """Use the site's HTTP proxy (as the environment names it), except to this machine."""
    host = urlsplit(relay_url).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return None if local else True


async def dial(
    relay_url: str, path: AgentPath, headers: dict[str, str], *, heartbeat: float
) -> Link:
    """Open a stream to the relay.

    Raises OSError (TimeoutError included) or websockets.exceptions.WebSocketException.
    """
    connection = await connect(
        target(relay_url, path),
        additional_headers=headers,
        compression=None,
        open_timeout=protocol.OPEN_TIMEOUT,
        ping_interval=None,
        proxy=proxy_for(relay_url),
        create_connection=RawClientConnection,
    )
    assert isinstance(connection, RawClientConnection)  # noqa: S101  (for the type checker)
    return connection.take_over(heartbeat)
