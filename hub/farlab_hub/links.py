"""A site as the hub service sees it: its description, the way to it, and whether it answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from farlab_sites.carriers import Carrier, CarrierError
from farlab_sites.catalogue import Catalogue, Site
from farlab_sites.loader import load_catalogue
from farlab_sites.problems import CatalogueError

from .errors import NotFoundError
from .models import clock, now

log = logging.getLogger(__name__)

AT_ONCE = 8  # creates, and as many deletes, that a site works on for this hub


class SiteLink:
    """One site and the carrier to it."""

    def __init__(self, site: Site, carrier: Carrier) -> None:
        self.site = site
        self.carrier = carrier
        self.creating = asyncio.Semaphore(AT_ONCE)
        self.deleting = asyncio.Semaphore(AT_ONCE)
        self.down_since: float | None = None
        self.trouble = ""

    def answered(self) -> None:
        """Note that the site answered just now."""
        self.down_since, self.trouble = None, ""

    def failed(self, error: CarrierError) -> None:
        """Note that the site did not answer, or answered rubbish."""
        self.down_since = self.down_since or now()
        self.trouble = str(error)

    @property
    def explanation(self) -> str:
        """Why nothing is known of the site now, in words; empty when it answers."""
        if self.down_since is None:
            return ""
        since = clock(self.down_since)
        return f"{self.site.title} has not answered since {since} ({self.trouble})"


class Links:
    """Every site by name; the catalogue is read again on change.

    A site that leaves the catalogue takes no new workloads; those that it has are followed.
    """

    def __init__(self, path: Path, carrier_for: Callable[[Site], Carrier]) -> None:
        self._path = path
        self._carrier_for = carrier_for
        self._reading = asyncio.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._catalogue: Catalogue | None = None
        self.by_name: dict[str, SiteLink] = {}
        self.on_new: Callable[[SiteLink], None] = lambda link: None
        self.on_change: Callable[[SiteLink], None] = lambda link: None

    async def catalogue(self) -> Catalogue:
        """Return the newest valid content of the file; `CatalogueError` if there never was one."""
        async with self._reading:
            stamp = await asyncio.to_thread(self._look)
            if self._catalogue is None or stamp != self._stamp:
                self._stamp = stamp
                await self._read()
            return self._catalogue  # type: ignore[return-value]  # _read sets it, or raises

    async def get(self, name: str) -> SiteLink:
        """Return the link of a site; `NotFoundError` when the catalogue has no such site."""
        sites = [site.name for site in (await self.catalogue()).sites]
        if name not in sites:
            msg = f"there is no site {name!r} (there are: {', '.join(sites)})"
            raise NotFoundError(msg, "Choose one of these, or add it to sites.yaml.")
        return self.by_name[name]

    async def close(self) -> None:
        """Close the connections to the sites."""
        for link in self.by_name.values():
            await link.carrier.close()

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    async def _read(self) -> None:
        try:
            # In a thread: the event loop carries byte streams, and a catalogue may be long.
            new = await asyncio.to_thread(load_catalogue, self._path)
        except CatalogueError as error:
            if self._catalogue is None:
                raise
            log.error("keeping the former catalogue, the new one has errors:\n%s", error)
            return
        self._catalogue = new
        for site in new.sites:
            await self._link(site)

    async def _link(self, site: Site) -> None:
        link = self.by_name.get(site.name)
        if link is None:
            link = self.by_name[site.name] = SiteLink(site, self._carrier_for(site))
            self.on_new(link)
            return
        if site.carrier != link.site.carrier:
            former, link.carrier = link.carrier, self._carrier_for(site)
            await former.close()
        link.site = site
        self.on_change(link)
