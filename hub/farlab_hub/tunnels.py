"""Sites from which nothing dials out: this service stays connected to their plugins."""

from __future__ import annotations

import asyncio
import re
from functools import partial

from farlab_relay.relay import Relay
from farlab_relay.tunnel_hub import HubEnd, Plugin, TunnelError
from farlab_sites.reaching import Direct

from .links import SiteLink
from .store import Store


class Tunnels:
    """One connection to each site whose catalogue entry says `relay: {way: tunnelled}`."""

    def __init__(self, relay: Relay, store: Store) -> None:
        self._relay = relay
        self._store = store
        self._ends: dict[str, Direct] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def follow(self, link: SiteLink) -> None:
        """Do what a site's entry in the catalogue says now."""
        name, end = link.site.name, link.site.tunnel
        if self._ends.get(name) == end:
            return
        if name in self._tasks:
            self._tasks.pop(name).cancel()
            del self._ends[name]
        if end is not None:
            tunnel = HubEnd(self._relay, partial(_plugin, end), partial(self._runs_at, name))
            self._ends[name] = end
            self._tasks[name] = asyncio.create_task(tunnel.run())

    async def close(self) -> None:
        """Leave the plugins; the jobs' agents dial again when the service is back."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _runs_at(self, site: str, uid: str) -> bool:
        """Tell whether a workload is this site's: no plugin may speak for another one's."""
        workload = await self._store.get(uid)
        return workload is not None and workload.site == site


def _plugin(end: Direct) -> Plugin:
    """Return where to dial, with the token as it is in its file now. Raises TunnelError."""
    if end.token_file is None:
        return Plugin(end.url)
    try:
        token = end.token_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", None) or "not text"
        raise TunnelError(f"the token file {end.token_file} can't be read: {words}") from None
    if not re.fullmatch(r"[!-~]+", token):
        raise TunnelError(f"the token file {end.token_file} must hold one word: the token")
    return Plugin(end.url, token)
