"""The API on HTTP: wherever the service is at home, beside a hub or in a user's own server."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from http import HTTPStatus

from tornado.httpserver import HTTPServer
from tornado.log import access_log
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from .api import rules
from .handlers import MOST_BYTES
from .process import StartError
from .service import HubService


def bind_api(host: str, port: int) -> list[socket.socket]:
    """Return the listening sockets of an address; nobody is answered before `serve_api`."""
    try:
        return bind_sockets(port, host)
    except OSError as error:
        msg = f"the API cannot listen at {host}:{port} ({error.strerror}): end what has this port"
        raise StartError(msg) from error


def serve_api(service: HubService, sockets: Sequence[socket.socket], prefix: str) -> HTTPServer:
    """Answer the API's callers, in the running event loop."""
    # A little more than a body may hold, so that most of what is too large gets a clear answer.
    application = Application(rules(service, prefix), log_function=_log)
    server = HTTPServer(application, max_body_size=2 * MOST_BYTES)
    server.add_sockets(sockets)
    return server


def _log(handler: RequestHandler) -> None:
    """Log a request; why one was refused, the handler has said already."""
    status, request = handler.get_status(), handler.request
    level = logging.WARNING if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
    took = 1000 * request.request_time()
    access_log.log(level, "%d %s %s %.0f ms", status, request.method, request.path, took)
