"""From an HTTP request to a byte stream: WebSocket's handshake, and the socket behind it.

tornado's own WebSockets copy each message several times; here only the handshake is tornado's, and
the relay's `Link` takes the socket over, as it does on the agents' side.
"""

from __future__ import annotations

import base64
import hashlib
import socket
from http import HTTPStatus

from farlab_relay.handshake import adopt
from farlab_relay.streams import End, join
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream, SSLIOStream
from tornado.web import RequestHandler

from .errors import UpgradeError

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


def accept_key(request: HTTPServerRequest) -> str:
    """Return the answer to a handshake's key; `UpgradeError` when the request is no handshake."""
    headers = request.headers
    upgrades = [part.strip().lower() for part in headers.get("Connection", "").split(",")]
    key = headers.get("Sec-WebSocket-Key", "")
    if "upgrade" not in upgrades or headers.get("Upgrade", "").lower() != "websocket" or not key:
        msg = "this address is a WebSocket's"
        raise UpgradeError(msg, "Connect with a WebSocket client (ws:// or wss://).")
    if headers.get("Sec-WebSocket-Version") != "13":
        msg = "only version 13 of WebSocket is spoken here"
        raise UpgradeError(msg, "Use a client that speaks RFC 6455.")
    return base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode()).digest()).decode()  # noqa: S324


async def hand_over(handler: RequestHandler, key: str, end: End) -> None:
    """Answer the handshake, and join the client's connection with the other end of its stream."""
    try:
        handler.set_status(HTTPStatus.SWITCHING_PROTOCOLS)
        handler.set_header("Upgrade", "websocket")
        handler.set_header("Connection", "Upgrade")
        handler.set_header("Sec-WebSocket-Accept", key)
        written = handler.finish()
        stream = handler.request.connection.detach()  # type: ignore[union-attr]
        await written
        link = await adopt(_socket_of(stream))
    except BaseException:
        end.cut("the client went away")
        raise
    join(link, end)


def _socket_of(stream: IOStream) -> socket.socket:
    """Take the socket out of tornado's hands, as its own `start_tls` does."""
    if isinstance(stream, SSLIOStream):
        msg = "streams need plain HTTP: let a proxy in front of the service do TLS"
        raise TypeError(msg)
    taken: socket.socket = stream.socket
    stream.io_loop.remove_handler(taken)
    stream.socket = None  # type: ignore[assignment]
    return taken
