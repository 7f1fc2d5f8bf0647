"""A site as the hub service sees it: its description, the way to it, and whether it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from farlab_sites.carriers import Carrier, CarrierError
from farlab_sites.catalogue import Catalogue, Site

from .errors import NotFoundError
from .models import clock, now


class SiteLink:
    """One site and the carrier to it."""

    def __init__(self, site: Site, carrier: Carrier) -> None:
        self.site = site
        self.carrier = carrier
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
    """Every site of the catalogue that has a plugin of its own, by name."""

    def __init__(self, catalogue: Catalogue, carrier_for: Callable[[Site], Carrier]) -> None:
        self.catalogue = catalogue
        self.by_name: Mapping[str, SiteLink] = {
            site.name: SiteLink(site, carrier_for(site))
            for site in catalogue.sites
            if site.carrier.direct is not None  # KubeSpawner serves the others
        }

    def get(self, name: str) -> SiteLink:
        """Return the link of a site; `NotFoundError` when the catalogue has no such site."""
        try:
            return self.by_name[name]
        except KeyError:
            known = ", ".join(self.by_name) or "none"
            msg = f"there is no site {name!r} with a direct carrier (there are: {known})"
            raise NotFoundError(msg, "Choose one of these, or add it to sites.yaml.") from None

    async def close(self) -> None:
        """Close the connections to the sites."""
        for link in self.by_name.values():
            await link.carrier.close()
