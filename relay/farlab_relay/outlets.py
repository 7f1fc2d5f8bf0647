"""How a gateway gets a connection to the relay: it dials, or (tunnel_site.py) the hub does."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Protocol
from urllib.parse import urlsplit

from farlab_relay import protocol
from farlab_relay.streams import Socket

log = logging.getLogger(__name__)


class RelayAwayError(Exception):
    """There is no connection to the relay now; the message is for the agent's log."""


class Outlet(Protocol):
    """Makes connections to a relay's listener; an agent's request is written to them."""

    prefix: str
    """What comes before `/agent/` in the relay's paths."""
    netloc: str
    """The relay's name, for the `Host` header."""

    async def dial(self) -> Socket:
        """Return a new connection, held. Raises RelayAwayError."""


class DialOut:
    """Dials the relay at an address (ws:// or wss://). Raises ValueError for one that is none."""

    def __init__(self, relay_url: str) -> None:
        parts = urlsplit(relay_url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(f"the relay's address must be ws://... or wss://..., not {relay_url}")
        self.prefix = parts.path.rstrip("/")
        self.netloc = parts.netloc.rpartition("@")[2]
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "wss" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "wss" else None

    async def dial(self) -> Socket:
        """Connect to the relay."""
        dialling = asyncio.get_running_loop().create_connection(
            Socket, self._host, self._port, ssl=self._tls
        )
        try:
            _, relay = await asyncio.wait_for(dialling, protocol.OPEN_TIMEOUT)
        except (OSError, TimeoutError) as error:
            log.warning("the relay at %s is not reachable: %s", self.netloc, error)
            raise RelayAwayError(f"The gateway can't reach the relay at {self.netloc}.") from None
        return relay
