"""STAC documents as entries: catalogues, collections, items with their footprint, assets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from ..lake import Entry, EntryKind
from .links import Places, checksum_of, dids_of_asset, dids_of_document

Document = Mapping[str, Any]

KINDS: dict[str, EntryKind] = {
    "Catalog": "catalogue",
    "Collection": "collection",
    "Feature": "item",
}


def is_document(found: object) -> bool:
    """Say whether JSON is a STAC document that we know."""
    return isinstance(found, dict) and found.get("type") in KINDS and "id" in found


def entry_of(document: Document, path: str, url: str, places: Places) -> Entry:
    """Return the entry of a catalogue, a collection or an item whose address is `url`."""
    kind = KINDS[document["type"]]
    properties = _mapping(document.get("properties"))
    name = document.get("title") or properties.get("title") or document["id"]
    more = _item_facts(document, url) if kind == "item" else _extent(document)
    more |= {"id": document["id"], "url": url, "in": places.of_dids(dids_of_document(document))}
    return Entry(str(name), path, kind, modified=_moment(properties.get("updated")), more=more)


def assets_of(item: Document, path: str, url: str, places: Places) -> Iterator[Entry]:
    """Yield the entries of an item's assets."""
    for key, asset in _assets(item):
        size = asset.get("file:size")
        href = urljoin(url, str(asset["href"]))
        more = {
            "href": href,
            "type": asset.get("type"),
            "roles": asset.get("roles") or [],
            "in": places.of_dids(dids_of_asset(asset)) + places.of_href(href),
        }
        yield Entry(
            str(asset.get("title") or key),
            f"{path}#{key}",
            "asset",
            size=size if isinstance(size, int) else None,
            checksum=checksum_of(asset),
            more=more,
        )


def links_of(document: Document, *relations: str) -> Iterator[Mapping[str, Any]]:
    """Yield a document's links of some relations, in the order in which they stand there."""
    links = document.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") in relations and link.get("href"):
            yield link


def link_of(document: Document, *relations: str) -> str | None:
    """Return the address in the first link of some relations."""
    return next((str(link["href"]) for link in links_of(document, *relations)), None)


def _item_facts(item: Document, url: str) -> dict[str, Any]:
    properties = _mapping(item.get("properties"))
    return {
        "geometry": item.get("geometry"),
        "bbox": item.get("bbox"),
        "time": [
            properties.get("start_datetime") or properties.get("datetime"),
            properties.get("end_datetime") or properties.get("datetime"),
        ],
        "collection": item.get("collection"),
        "thumbnail": _thumbnail(item, url),
    }


def _thumbnail(item: Document, url: str) -> str | None:
    """Return the address of a picture, for the browser: this server never asks for it."""
    for _, asset in _assets(item):
        href = urljoin(url, str(asset["href"]))
        roles = asset.get("roles") or []
        if {"thumbnail", "overview"} & {*roles} and href.startswith(("https://", "http://")):
            return href
    return None


def _extent(document: Document) -> dict[str, Any]:
    extent = _mapping(document.get("extent"))
    boxes = _mapping(extent.get("spatial")).get("bbox") or [None]
    times = _mapping(extent.get("temporal")).get("interval") or [[None, None]]
    return {"bbox": boxes[0], "time": times[0]}


def _assets(item: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, asset in _mapping(item.get("assets")).items():
        if isinstance(asset, dict) and isinstance(asset.get("href"), str):
            yield str(key), asset


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _moment(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
