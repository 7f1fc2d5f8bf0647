"""How STAC and Rucio name each other: `rucio://host/scope:name` there, an item's address here.

Not every tool takes `rucio://` for an absolute address, so it stands in an asset's alternates and
in links, and the asset's own address stays one that every tool can open, where there is any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

SCHEME = "rucio"
ITEM_KEY = "stac_item"
"""The key of a DID's metadata under which the address of its item stands."""
MULTIHASHES = {"1220": "sha256", "d50110": "md5"}


@dataclass(frozen=True, slots=True)
class DidLink:
    """A DID at the Rucio of a host."""

    host: str
    scope: str
    name: str

    @property
    def href(self) -> str:
        """The link as it stands in a STAC document."""
        return f"{SCHEME}://{self.host}/{quote(self.scope)}:{quote(self.name, safe='/')}"


def did_link(href: object) -> DidLink | None:
    """Return the DID that a link means; None if it means none."""
    if not isinstance(href, str) or not href.startswith(f"{SCHEME}://"):
        return None
    host, slash, did = href.removeprefix(f"{SCHEME}://").partition("/")
    scope, colon, name = did.partition(":")  # a name may have colons, a scope has none
    if not (slash and colon and host and scope and name):
        return None
    return DidLink(host, unquote(scope), unquote(name))


def dids_of_asset(asset: Mapping[str, Any]) -> Iterator[DidLink]:
    """Yield the DIDs that an asset names, in its own address and in its alternates."""
    alternates = asset.get("alternate")
    others = alternates.values() if isinstance(alternates, dict) else []
    for one in (asset, *others):
        link = did_link(one.get("href")) if isinstance(one, dict) else None
        if link:
            yield link


def dids_of_document(document: Mapping[str, Any]) -> Iterator[DidLink]:
    """Yield the DIDs that a collection's or an item's links name: its container or dataset."""
    links = document.get("links")
    for one in links if isinstance(links, list) else []:
        link = did_link(one.get("href")) if isinstance(one, dict) else None
        if link:
            yield link


def item_of_did(metadata: Mapping[str, Any]) -> str | None:
    """Return the address of the item that describes a DID, which its metadata names."""
    found = metadata.get(ITEM_KEY)
    return found if isinstance(found, str) and found.startswith(("https://", "http://")) else None


def checksum_of(asset: Mapping[str, Any]) -> str | None:
    """Return an asset's checksum; STAC writes kind and length before the digits (multihash)."""
    found = str(asset.get("file:checksum") or "").lower()
    for mark, kind in MULTIHASHES.items():
        if found.startswith(mark):
            return f"{kind}:{found.removeprefix(mark)}"
    return None


def multihash(checksum: str | None) -> str | None:
    """Return a checksum as STAC writes it; None for a kind that it does not know (adler32)."""
    kind, _, digits = (checksum or "").partition(":")
    mark = next((mark for mark, known in MULTIHASHES.items() if known == kind), None)
    return mark + digits if mark else None


@dataclass(frozen=True, slots=True)
class Places:
    """The lakes of the catalogue, by what STAC documents call them."""

    rucios: Mapping[str, str] = field(default_factory=dict)
    """Host of a Rucio to the name of its lake."""
    stores: Mapping[str, str] = field(default_factory=dict)
    """Address of a storage lake's folder to its name."""

    def of_dids(self, links: Iterator[DidLink]) -> list[dict[str, Any]]:
        """Return DIDs as JSON, each with the lake that has it, if we know that."""
        return [
            {
                "lake": self.rucios.get(link.host),
                "host": link.host,
                "scope": link.scope,
                "name": link.name,
            }
            for link in dict.fromkeys(links)
        ]

    def of_href(self, href: str) -> list[dict[str, Any]]:
        """Return the storage lakes that an address lies in, and the path there."""
        return [
            {"lake": lake, "path": unquote(urlsplit(href[len(base) + 1 :]).path)}
            for base, lake in self.stores.items()
            if href.startswith(f"{base}/")
        ]
