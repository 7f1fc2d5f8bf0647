"""The keeper's one port: who comes proves to have the key, says what for, and is served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from farlab_kernels.keeper.proof import NoAnswerError, RefusedError, Visitor, refuse

_MOST_UNPROVEN = 100
"""Connections that have not proven anything yet, together."""

Handler = Callable[[Visitor], Awaitable[None]]
"""Serves one kind of connection: accepts the visitor (`Visitor.accept`) or refuses it, and talks
to it; when it returns, the connection is closed."""

log = logging.getLogger(__name__)


class Server:
    """Serves connections on loopback. `handlers` has the handler of each kind of connection."""

    def __init__(self, key: str, handlers: dict[str, Handler]) -> None:
        self._key = key
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._unproven = 0

    async def listen(self, port: int) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=256)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            visitor = await self._prove(reader, writer)
            handler = self._handlers.get(str(visitor.hello.get("kind")))
            if handler is None:
                raise RefusedError("the keeper does not know this kind of connection")
            await handler(visitor)
        except RefusedError as error:
            log.warning("a connection was refused: %s", error)
            with suppress(OSError):
                refuse(writer, str(error))
                await writer.drain()
        except (OSError, TimeoutError) as error:
            if not isinstance(error, NoAnswerError):
                log.debug("a connection ended: %s", error)
        finally:
            writer.close()

    async def _prove(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Visitor:
        if self._unproven >= _MOST_UNPROVEN:
            raise NoAnswerError("too many connections that have not proven anything yet")
        self._unproven += 1
        try:
            return await Visitor.receive(reader, writer, self._key)
        finally:
            self._unproven -= 1

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
