"""Byte streams to a workload's ports: a WebSocket of the service, as reader and writer here.

The frames are those of the relay (farlab_relay.protocol), so its ends of streams are joined: one
is the WebSocket, the other a pair of sockets whose far end asyncio reads and writes. Being real
sockets, they can be handed to threads, which variables do.
"""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

from farlab_relay import protocol
from farlab_relay.handshake import RawClientConnection
from farlab_relay.links import Link
from farlab_relay.streams import Socket, join
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from farlab_kernels.keeper.wire import Writer
from farlab_kernels.service.errors import ServiceError, UnreachableError
from farlab_kernels.service.settings import Settings

_PATIENCE = protocol.CLIENT_PATIENCE + 15.0  # the service itself waits for the agent so long
_TRY_AGAIN = (408, 425, 429)


async def open_stream(
    settings: Settings, path: str
) -> tuple[asyncio.StreamReader, Writer]:  # fmt: skip
    """Connect to `path` of the service. Raises ServiceError, and UnreachableError to try again."""
    link = await _dial(settings, path)
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    _, end = await loop.create_connection(Socket, sock=theirs)
    join(link, end)
    return await asyncio.open_connection(sock=ours)


async def _dial(settings: Settings, path: str) -> Link:
    url = urlsplit(settings.url + path)
    address = url._replace(scheme="wss" if url.scheme == "https" else "ws").geturl()
    try:
        connection = await connect(
            address,
            additional_headers={"Authorization": f"Bearer {settings.token}"},
            compression=None,
            open_timeout=_PATIENCE,
            ping_interval=None,
            proxy=None if settings.local else True,
            create_connection=RawClientConnection,
        )
    except InvalidStatus as error:
        raise _refusal(error) from None
    except (OSError, WebSocketException) as error:
        words = str(error) or "no answer in time"
        raise UnreachableError(f"no stream to the site's job could be opened: {words}") from None
    assert isinstance(connection, RawClientConnection)  # noqa: S101  (for the type checker)
    return connection.take_over(protocol.HEARTBEAT)


def _refusal(error: InvalidStatus) -> ServiceError:
    status = error.response.status_code
    body = bytes(error.response.body or b"").decode(errors="replace").strip()[:300]
    words = f"the service opened no stream to the job (HTTP {status}): {body or 'no reason given'}"
    if status >= 500 or status in _TRY_AGAIN:
        return UnreachableError(words, status=status)
    return ServiceError(words, status=status)
