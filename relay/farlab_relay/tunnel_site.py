"""The site's end of a tunnel: an outlet that has the hub dial, because nothing here can dial out.

It does no HTTP itself: the program that the hub dials (a site's plugin) checks who it is, and hands
the hub's control connection and its further connections over.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable

from farlab_relay import protocol
from farlab_relay.outlets import RelayAwayError
from farlab_relay.streams import Socket

_ANSWER = (
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
    f"Upgrade: {protocol.TUNNEL_UPGRADE}\r\n\r\n"
).encode()

log = logging.getLogger(__name__)


class HubLine:
    """A control connection of the hub: how to say something to it, and how to end it."""

    def __init__(
        self, send: Callable[[str], Awaitable[None]], end: Callable[[], Awaitable[object]]
    ) -> None:
        self.send = send
        self.end = end


class SiteEnd:
    """Asks the hub for connections; one hub at a time, the newest."""

    prefix = ""
    netloc = "relay"

    def __init__(self) -> None:
        self._line: HubLine | None = None
        self._pending: dict[str, asyncio.Future[Socket]] = {}

    async def dial(self) -> Socket:
        """Return a connection that the hub made. Raises RelayAwayError."""
        if self._line is None:
            raise RelayAwayError("The hub is not connected to this site's plugin now.")
        name = secrets.token_hex(16)
        pending = self._pending[name] = asyncio.get_running_loop().create_future()
        try:
            await self._line.send(json.dumps({"dial": name}))
            return await asyncio.wait_for(pending, protocol.OPEN_TIMEOUT)
        except TimeoutError:
            raise RelayAwayError("The hub did not answer in time.") from None
        except ConnectionError:
            raise RelayAwayError("The hub's connection was lost.") from None
        finally:
            del self._pending[name]
            if pending.done() and not pending.cancelled():
                pending.exception()  # whoever waited may be gone

    async def attach(self, line: HubLine) -> None:
        """Take a control connection as the hub's, instead of the one before it."""
        former, self._line = self._line, line
        log.info("the hub is connected%s", " anew" if former else "")
        if former is not None:
            self._give_up()
            await former.end()

    def detach(self, line: HubLine) -> None:
        """Forget a control connection that ended."""
        if self._line is line:
            self._line = None
            self._give_up()
            log.warning("the hub's connection ended; agents wait until it is back")

    def awaits(self, name: str) -> bool:
        """Tell whether an agent waits for this connection."""
        return name in self._pending and not self._pending[name].done()

    async def deliver(self, name: str, connected: socket.socket) -> None:
        """Give a connection of the hub, whose request was read, to the agent that waits for it."""
        loop = asyncio.get_running_loop()
        _, end = await loop.connect_accepted_socket(Socket, connected)
        if self.awaits(name):
            end.take(_ANSWER)
            self._pending[name].set_result(end)
        else:
            end.cut("no agent waits for this connection any more")

    async def close(self) -> None:
        """End the hub's control connection."""
        if self._line is not None:
            await self._line.end()

    def _give_up(self) -> None:
        for pending in self._pending.values():
            if not pending.done():
                pending.set_exception(ConnectionError("the hub's connection was lost"))
