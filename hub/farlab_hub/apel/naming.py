"""What records call people and places: FQANs, withheld names, a site's name and speed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from farlab_sites.catalogue import Catalogue, Site
from farlab_sites.publishing import Target

from .message import plain

WITHHELD = "withheld"
_ENTITLEMENT = re.compile(r"urn:[^#]+?:group:([^#]+)(#.*)?", re.IGNORECASE)


@lru_cache(maxsize=65536)
def fqan(vo: str) -> str:
    """Return a group's name as FQAN: of an AARC entitlement, of a path, or of a bare VO.

    `urn:geant:example.org:group:vo:sub:role=admin#aai.example.org` is `/vo/sub/Role=admin`, and so
    is `vo:sub:role=admin`, the group that the hub's login makes of it. Of one with a star, by which
    a catalogue asks for any subgroup or role, what is before it.
    """
    found = _ENTITLEMENT.fullmatch(vo)
    path = found[1] if found else vo.strip("/")
    parts = [part for part in path.split(":") if part not in ("", "*", "role=*")]
    roles = [f"Role={part[5:]}" for part in parts if part.lower().startswith("role=")]
    groups = [part for part in parts if not part.lower().startswith("role=")]
    return plain("/" + "/".join(groups + roles)) if parts else ""


def vo_parts(name: str) -> tuple[str, str, str]:
    """Return VO, group and role of a FQAN."""
    path, _, role = name.partition("/Role=")
    return path.lstrip("/").partition("/")[0], path, f"Role={role}" if role else ""


@dataclass(frozen=True)
class Place:
    """A site as records name it."""

    name: str
    service: str
    benchmark: str = ""
    value: float = 0.0

    @cached_property
    def cloud_lines(self) -> str:
        """Its name in a cloud record."""
        return f"SiteName: {self.name}\nCloudComputeService: {plain(self.service)}\n"

    @cached_property
    def benchmark_lines(self) -> str:
        """Its speed in a cloud record."""
        if not self.benchmark:
            return ""
        return f"BenchmarkType: {self.benchmark}\nBenchmark: {round(self.value, 3)}\n"

    @property
    def level(self) -> str:
        """Its speed as jobs and summaries give it; empty where it is not known."""
        return f"{{{self.benchmark}: {self.value:g}}}" if self.benchmark else ""


def place_of(site: Site) -> Place:
    """Return a site of the catalogue as records name it."""
    accounting = site.accounting
    benchmark = accounting.benchmark
    return Place(
        plain(accounting.name or site.name),
        site.name,
        benchmark.name.lower() if benchmark else "",
        benchmark.value if benchmark else 0.0,
    )


def places_for(target: Target, catalogue: Catalogue) -> dict[str, Place]:
    """Return the sites whose usage a target gets: those it names, or all that have a name."""
    wanted: Iterable[Site] = (
        (catalogue.site(name) for name in target.sites)
        if target.sites
        else (site for site in catalogue.sites if site.accounting.name)
    )
    return {site.name: place_of(site) for site in wanted}
