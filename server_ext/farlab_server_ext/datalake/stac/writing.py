"""Write STAC items: into an API that takes them, or into a static catalogue in a storage lake.

A static catalogue is a collection per folder: `collection.json` and `items/ID.json`, whose links
are relative, so that the folder may move.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..lake import LakeError
from ..storage.names import checked
from .documents import is_document, link_of
from .lake import StacLake
from .registration import clean

if TYPE_CHECKING:
    from ..storage.s3 import S3Lake
    from ..storage.webdav import WebdavLake

    Store = WebdavLake | S3Lake

TRANSACTIONS = ("ogcapi-features/extensions/transaction", "ogcapi-features-4/1.0/conf/simpletx")
COLLECTION = "collection.json"
DOCUMENT_MAX = 8 * 2**20
WORLD = [-180, -90, 180, 90]


async def into_api(lake: StacLake, path: str, item: Mapping[str, Any]) -> str:
    """Put an item into a collection of an API, or a newer one in its place; return its address."""
    await lake.prepare()
    if not any(lake.conforms(one) for one in TRANSACTIONS):
        words = f"{lake.title} takes no items: it does not conform to the transaction extension."
        fix = "Write it into a folder of a door or an object store."
        raise LakeError("unsupported", words, fix)
    collection = await lake.document(path)
    if collection["type"] != "Collection":
        raise LakeError("wrong-input", "That is no collection.", "Choose a collection.")
    made = {**item, "collection": collection["id"]}
    items = link_of(collection, "items") or f"{lake.address(path)}/items"
    where = lake.inside(items, path).partition("?")[0]
    own = f"{where}/{quote(str(made['id']), safe='')}"
    try:
        await lake.endpoint.json("POST", where, made)
    except LakeError as error:
        if error.code != "conflict":
            raise
        await lake.endpoint.json("PUT", own, made)
    lake.forget()
    return own


async def into_store(
    lake: Store, folder: str, item: Mapping[str, Any], collection: str | None
) -> tuple[str, str]:
    """Put an item into a static catalogue in a folder; return its address and its path.

    The item is there before the collection names it; both can be written again.
    """
    folder = checked(folder.strip("/"))
    if not folder:
        raise LakeError("wrong-input", "A catalogue needs a folder.", "Name one.")
    where = f"{folder}/{COLLECTION}"
    known = await _read(lake, where) or _collection(collection or folder.rpartition("/")[2])
    path = checked(f"{folder}/items/{clean(str(item['id'])).replace('/', '-')}.json")
    made = deepcopy(dict(item)) | {"collection": known["id"]}
    url = lake.address(path)
    links = [one for one in made["links"] if one["rel"] not in ("self", "collection", "parent")]
    made["links"] = [
        *links,
        {"rel": "self", "href": url, "type": "application/geo+json"},
        {"rel": "collection", "href": f"../{COLLECTION}", "type": "application/json"},
        {"rel": "parent", "href": f"../{COLLECTION}", "type": "application/json"},
    ]
    await lake.replace(path, _bytes(made))
    wanted = with_item(known, made, path[len(folder) + 1 :])
    if wanted != known:
        await lake.replace(where, _bytes(wanted))
    return url, path


def with_item(collection: Mapping[str, Any], item: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return a collection that names an item, and whose extent holds it."""
    made = deepcopy(dict(collection))
    links = made.setdefault("links", [])
    own = {"rel": "item", "href": f"./{quote(path)}", "type": "application/geo+json"}
    if own not in links:
        links.append(own)
    spatial = made.setdefault("extent", {}).setdefault("spatial", {})
    box = item.get("bbox")
    if box:
        spatial["bbox"] = [_around((spatial.get("bbox") or [None])[0], box)]
    temporal = made["extent"].setdefault("temporal", {})
    temporal["interval"] = [_during((temporal.get("interval") or [[None, None]])[0], item)]
    # The standard wants an area; the whole Earth says nothing.
    spatial.setdefault("bbox", [WORLD])
    return made


def _collection(name: str) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "description": f"Items of {name}.",
        "license": "other",
        "extent": {"spatial": {}, "temporal": {}},
        "links": [{"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"}],
    }


def _around(known: list[float] | None, box: list[float]) -> list[float]:
    if known is None or known == WORLD:
        return box
    lows = [min(pair) for pair in zip(known[:2], box[:2], strict=True)]
    return lows + [max(pair) for pair in zip(known[2:], box[2:], strict=True)]


def _during(known: list[str | None], item: Mapping[str, Any]) -> list[str | None]:
    """Return an interval that has an item's times in it; they are all written in UTC."""
    own = item["properties"]
    start, end = own.get("start_datetime"), own.get("end_datetime")
    starts = [one for one in (known[0], start or own.get("datetime")) if one]
    ends = [one for one in (known[1], end or own.get("datetime")) if one]
    return [min(starts, default=None), max(ends, default=None)]


async def _read(lake: Store, path: str) -> dict[str, Any] | None:
    """Return a document of a store; None if there is none."""
    try:
        content = await lake.read(path, 0, DOCUMENT_MAX)
    except LakeError as error:
        if error.code == "not-found":
            return None
        raise
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not is_document(found) or found["type"] != "Collection":
        words = f"{path} is no STAC collection."
        raise LakeError("conflict", words, "Choose another folder.")
    return found  # type: ignore[no-any-return]


def _bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode()
