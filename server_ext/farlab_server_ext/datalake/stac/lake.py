"""A STAC API or a static catalogue as a lake.

Both are JSON documents with links, so one way of walking serves both; an API pages and searches.
Paths are those of the documents at the catalogue's server, `#` and an asset's key behind an item's.
Nothing is asked from another server, wherever links lead.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from ..endpoint import Endpoint
from ..lake import PAGE, Details, Entry, Lake, LakeError, Page, Query, page_size
from .areas import checked_box, checked_geometry
from .documents import Document, assets_of, entry_of, is_document, link_of, links_of
from .links import Places

AT_ONCE = 8
KEPT = 8
KEPT_FOR = 60.0  # seconds
PART = 1 << 18
SEARCH = "/item-search"
FREE_TEXT = "/item-search#free-text"
FILTER = ("/item-search#filter", "/conf/cql2-text")
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
TIME = re.compile(rf"{MOMENT}|({MOMENT}|\.\.|)/({MOMENT}|\.\.|)")
NAME = re.compile(r"[A-Za-z_][\w:.-]*")
COMPARISON = re.compile(r"(>=|<=|!=|>|<)?(.*)", re.DOTALL)


class StacLake(Lake):
    """One catalogue with one user's login."""

    kind = "stac"
    capabilities = frozenset()

    def __init__(
        self, name: str, title: str, endpoint: Endpoint, places: Places | None = None
    ) -> None:
        super().__init__(name, title)
        self.endpoint = endpoint
        self._places = places or Places()
        self._kept: dict[str, tuple[float, Document]] = {}
        self._conforms: Sequence[str] = ()

    async def prepare(self) -> None:
        """Look at what the catalogue conforms to before any search is offered."""
        root = await self._document("")
        self._conforms = [str(one) for one in root.get("conformsTo") or []]
        found = set()
        if self._can(SEARCH) and link_of(root, "search"):
            found.add("search-area")
            if self._can(FREE_TEXT):
                found.add("search")
            if all(self._can(one) for one in FILTER):
                found.add("search-metadata")
        self.capabilities = frozenset(found)  # type: ignore[arg-type]

    async def children(self, path: str, cursor: str = "", limit: int = PAGE) -> Page:
        """Return catalogues, collections, items or assets, whatever the document has."""
        limit = page_size(limit)
        document = await self._document(path)
        url = self._url(path)
        if document["type"] == "Feature":
            return Page(tuple(assets_of(document, path, url, self._places)))
        listed = link_of(document, "items" if document["type"] == "Collection" else "data")
        if listed is None:
            return await self._linked(document, url, cursor, limit)
        if cursor:
            return await self._listed(*self._resumed(cursor, url))
        separator = "&" if "?" in listed else "?"
        return await self._listed(self._inside(f"{listed}{separator}limit={limit}", url))

    async def search(self, query: Query, cursor: str = "", limit: int = PAGE) -> Page:
        """Return items by area and time, and by what else the catalogue conforms to."""
        await self.prepare()
        target = await self._search_link()
        if "search-area" not in self.capabilities or target is None:
            raise self.unsupported("search-area")
        if cursor:
            return await self._listed(*self._resumed(cursor, self.endpoint.url))
        asked = self._asked(query) | {"limit": page_size(limit)}
        if query.path:
            asked["collections"] = [str((await self._document(query.path))["id"])]
        elif query.collections:
            asked["collections"] = [*query.collections]
        url = self._inside(str(target["href"]), self.endpoint.url)
        if target.get("method") == "POST":
            return await self._listed(url, asked)
        if "intersects" in asked:
            asked["intersects"] = json.dumps(asked["intersects"], separators=(",", ":"))
        return await self._listed(f"{url}{'&' if '?' in url else '?'}{_parameters(asked)}")

    async def details(self, path: str) -> Details:
        """Return a document's entry with its properties, or an asset's."""
        place, _, key = path.partition("#")
        document = await self._document(place)
        url = self._url(place)
        parent = entry_of(document, place, url, self._places)
        if not key:
            return Details(parent, document.get("properties") or _plain(document))
        for asset in assets_of(document, place, url, self._places):
            if asset.path == path:
                return Details(asset, dict(document["assets"][key]), (parent,))
        raise LakeError("not-found", f"{parent.name} has no asset {key}.", "Look again.")

    async def document(self, path: str) -> Document:
        """Return a catalogue, a collection or an item as it is."""
        return await self._document(path)

    async def items(
        self, path: str, cursor: str = "", limit: int = PAGE
    ) -> tuple[list[tuple[Document, str]], str | None]:
        """Return a collection's items as they are, each with its address, and the next cursor."""
        limit, document, url = page_size(limit), await self._document(path), self._url(path)
        if document["type"] == "Feature":
            return [(document, url)], None
        listed = link_of(document, "items")
        if listed is None:
            targets, following = self._targets(document, url, cursor, limit)
            found = [(await self._document(self._path(one)), one) for one in targets]
        else:
            where = f"{listed}{'&' if '?' in listed else '?'}limit={limit}"
            asked = self._resumed(cursor, url) if cursor else (self._inside(where, url), None)
            documents, following = await self._documents(*asked)
            found = [(one, self._own(one, asked[0])) for one in documents]
        return [one for one in found if one[0]["type"] == "Feature"], following

    def path_of(self, url: str) -> str | None:
        """Return the path of an address; None if it is not at this catalogue's server."""
        return self._path(url) if self._is_inside(url) or url == self.endpoint.url else None

    def address(self, path: str) -> str:
        """Return the address of a document."""
        return self._url(path)

    def inside(self, href: str, path: str) -> str:
        """Return the address of a link in a document; raise LakeError if it leads elsewhere."""
        return self._inside(href, self._url(path))

    def conforms(self, to: str) -> bool:
        """Say whether the API says that it conforms to something, after `prepare`."""
        return self._can(to)

    def forget(self) -> None:
        """Read all documents anew."""
        self._kept.clear()

    async def stream(
        self, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield an asset's bytes, if they are at the catalogue's own server."""
        href = str((await self.details(path)).entry.more.get("href", ""))
        if not href.startswith(f"{self.endpoint.origin}/"):
            words = f"This asset is at {urlsplit(href).hostname}, not in this lake."
            raise LakeError("unsupported", words, "Open its link, or the lake that has it.")
        async for part in self.bytes_at(href, offset, length):
            yield part

    async def bytes_at(
        self, href: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield what is at an address, which has to be at the catalogue's own server."""
        end = "" if length is None else offset + length - 1
        headers = {"Range": f"bytes={offset}-{end}"} if offset or length is not None else {}
        async with self.endpoint.request("GET", href, headers=headers) as answer:
            skipped = 0 if answer.status == 206 else offset
            left = length
            async for part in answer.content.iter_chunked(PART):
                wanted = part[skipped:][:left]
                skipped = max(0, skipped - len(part))
                left = None if left is None else left - len(wanted)
                if wanted:
                    yield wanted
                if left == 0:
                    return

    async def close(self) -> None:
        """Close its connections."""
        await self.endpoint.close()

    # -- documents --------------------------------------------------------------------------------

    def _can(self, conformance: str) -> bool:
        return any(one.endswith(conformance) for one in self._conforms)

    def _url(self, path: str) -> str:
        """Return the address of a document; every path is at the catalogue's server."""
        if not path:
            return self.endpoint.url
        if not path.startswith("/") or path.startswith("//") or not _is_plain(path):
            raise LakeError("wrong-input", "That is no path here.", "Look at the catalogue again.")
        return self.endpoint.origin + path

    def _inside(self, href: str, base: str) -> str:
        """Return a link's address, if it is at the catalogue's server."""
        url = _join(base, href)
        if not self._is_inside(url):
            raise self.endpoint.rubbish(f"a link to {urlsplit(url).netloc or 'nowhere'}")
        return url

    def _is_inside(self, url: str) -> bool:
        return url.startswith(f"{self.endpoint.origin}/") and _is_plain(url)

    def _path(self, url: str) -> str:
        return "" if url == self.endpoint.url else url.removeprefix(self.endpoint.origin)

    async def _document(self, path: str) -> Document:
        """Return a document; the last ones are kept, for a listing asks for its own each page."""
        url = self._url(path)
        kept = self._kept.get(url)
        if kept and time.monotonic() - kept[0] < KEPT_FOR:
            return kept[1]
        found = await self.endpoint.json("GET", url)
        if not is_document(found):
            raise self.endpoint.rubbish("something that is no STAC document")
        while len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[url] = time.monotonic(), found
        return found  # type: ignore[no-any-return]

    # -- listings ---------------------------------------------------------------------------------

    async def _search_link(self) -> Mapping[str, Any] | None:
        """Return where to search, by POST if that is offered: not every GET takes collections."""
        links = [*links_of(await self._document(""), "search")]
        return max(links, key=lambda link: link.get("method") == "POST", default=None)

    async def _listed(self, url: str, body: Mapping[str, Any] | None = None) -> Page:
        """Return one page of an API's list."""
        documents, following = await self._documents(url, body)
        return Page(tuple(self._from_list(one, url) for one in documents), following)

    async def _documents(
        self, url: str, body: Mapping[str, Any] | None = None
    ) -> tuple[list[Document], str | None]:
        """Return the documents of one page of an API's list, and the next cursor."""
        answer = await self.endpoint.json("POST" if body else "GET", url, body)
        if not isinstance(answer, dict):
            raise self.endpoint.rubbish("something that is no STAC list")
        found = answer.get("features", answer.get("collections"))
        if not isinstance(found, list):
            raise self.endpoint.rubbish("something that is no STAC list")
        following = next(links_of(answer, "next"), None)
        cursor = self._cursor(following, url, body) if found else None
        return [one for one in found if is_document(one)], cursor

    def _cursor(
        self, link: Mapping[str, Any] | None, url: str, body: Mapping[str, Any] | None
    ) -> str | None:
        """Return how the next page is asked for: a path, and the body where it is asked by POST."""
        if link is None:
            return None
        path = self._inside(str(link["href"]), url).removeprefix(self.endpoint.origin)
        if link.get("method") != "POST":
            return path
        more = link["body"] if isinstance(link.get("body"), dict) else {}
        merged = {**(body or {}), **more} if link.get("merge") else more
        return json.dumps({"path": path, "body": merged}, separators=(",", ":"))

    def _resumed(self, cursor: str, base: str) -> tuple[str, Mapping[str, Any] | None]:
        """Return address and body of a cursor."""
        if not cursor.startswith("{"):
            return self._inside(cursor, base), None
        try:
            found = json.loads(cursor)
            return self._inside(str(found["path"]), base), dict(found["body"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise LakeError("wrong-input", "That is no page.", "Begin with the first.") from None

    def _from_list(self, document: Document, url: str) -> Entry:
        """Return a listed document's entry."""
        own = self._own(document, url)
        return entry_of(document, self._path(own), own, self._places)

    def _own(self, document: Document, url: str) -> str:
        """Return a listed document's address: its own link says it."""
        own = _join(url, link_of(document, "self") or "")
        if not link_of(document, "self") or not self._is_inside(own):
            own = f"{url.partition('?')[0]}/{quote(str(document['id']), safe='')}"
        return own

    async def _linked(self, document: Document, url: str, cursor: str, limit: int) -> Page:
        """Return a page of what a document's links lead to, as static catalogues have it."""
        turns = asyncio.Semaphore(AT_ONCE)
        wanted, following = self._targets(document, url, cursor, limit)
        entries = await asyncio.gather(*(self._at(one, turns) for one in wanted))
        return Page(tuple(entries), following)

    def _targets(
        self, document: Document, url: str, cursor: str, limit: int
    ) -> tuple[list[str], str | None]:
        """Return the addresses of a page of a document's links, and the next cursor."""
        if cursor and not cursor.isdecimal():
            raise LakeError("wrong-input", "That is no page.", "Begin with the first one.")
        start = int(cursor or 0)
        targets = [_join(url, str(link["href"])) for link in links_of(document, "child", "item")]
        inside = [one for one in targets if self._is_inside(one)]
        following = start + limit
        return inside[start:following], str(following) if following < len(inside) else None

    async def _at(self, url: str, turns: asyncio.Semaphore) -> Entry:
        """Return the entry of a document; one that can't be read says so in its row."""
        async with turns:
            path = self._path(url)
            try:
                found = await self.endpoint.json("GET", url)
                if is_document(found):
                    return entry_of(found, path, url, self._places)
                error = self.endpoint.rubbish("something that is no STAC document")
            except LakeError as caught:
                if caught.code in ("expired", "login", "unreachable"):
                    raise  # it is not about this one
                error = caught
        name = urlsplit(url).path.rpartition("/")[2]
        return Entry(name, path, "item", state="unreadable", more={"error": error.message})

    def _asked(self, query: Query) -> dict[str, Any]:
        """Return a query's parameters; raise LakeError for what the catalogue can't do."""
        asked: dict[str, Any] = {}
        if query.bbox is not None:
            asked["bbox"] = [*checked_box(query.bbox)]
        if query.intersects is not None:
            asked["intersects"] = checked_geometry(query.intersects, box=query.bbox is not None)
        if query.time:
            if not TIME.fullmatch(query.time):
                fix = "Write 2024-01-31T00:00:00Z, or two of them with a slash between."
                raise LakeError("wrong-input", f"{query.time[:100]!r} is no time.", fix)
            asked["datetime"] = query.time
        if query.text:
            if "search" not in self.capabilities:
                raise self.unsupported("search")
            asked["q"] = query.text.replace("*", " ").strip()
        if query.metadata:
            if "search-metadata" not in self.capabilities:
                raise self.unsupported("search-metadata")
            asked["filter"] = " AND ".join(_condition(*pair) for pair in query.metadata.items())
            asked["filter-lang"] = "cql2-text"
        return asked


def _parameters(asked: Mapping[str, Any]) -> str:
    """Return a search as it stands in an address."""
    flat = {
        key: ",".join(str(one) for one in value) if isinstance(value, list) else str(value)
        for key, value in asked.items()
    }
    return urlencode(flat, quote_via=quote)


def _condition(key: str, value: str) -> str:
    """Return one condition in CQL2; nothing that is typed can become more than a value."""
    if not NAME.fullmatch(key):
        raise LakeError("wrong-input", f"{key[:100]!r} is no property.", "Check its name.")
    match = COMPARISON.fullmatch(value)
    sign, text = (match[1] or "=", match[2]) if match else ("=", value)
    sign = "<>" if sign == "!=" else sign
    try:
        return f'"{key}" {sign} {float(text):.17g}'
    except ValueError:
        return f"\"{key}\" {sign} '{text.replace(chr(39), chr(39) * 2)}'"


def _join(base: str, href: str) -> str:
    """Return an absolute address, whatever characters its author left as they are."""
    return quote(urljoin(base, href), safe="%/:?#[]@!$&'()*+,;=~")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and "\\" not in text


def _plain(document: Document) -> dict[str, Any]:
    """Return what a catalogue or a collection says of itself, without its links."""
    return {key: value for key, value in document.items() if key not in ("links", "conformsTo")}
