"""Listings of a Rucio: scopes, what is in a scope, and searches, each page by page."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from urllib.parse import quote

from ..lake import Entry, LakeError, Page, Query
from .client import RucioClient
from .contents import Contents, Whole
from .did import Did, entry_of
from .keyset import page
from .metadata import OWN, columns

COLLECTIONS, FILES = "c", "f"
"""The two parts of a scope's listing: what holds files first, as in a file browser."""

_TYPES = {COLLECTIONS: "collection", FILES: "file"}
_COMPARED = re.compile(r"(>=|<=|!=|>|<)?\s*(.*)", re.DOTALL)
_SUFFIX = {">=": ".gte", "<=": ".lte", "!=": ".ne", ">": ".gt", "<": ".lt", None: ""}


async def scopes(client: RucioClient, cursor: str, limit: int) -> Page:
    """Return scopes in order. Rucio tells all of them at once; there are few."""
    names = await client.get("/scopes/")
    if not isinstance(names, list):
        raise client.nonsense()
    after = _unpack(cursor)[1] if cursor else ""
    later = sorted(name for name in map(str, names) if name > after)
    entries = [Entry(name, name, "scope") for name in later[:limit]]
    more = len(later) > limit
    return Page(tuple(entries), _pack("s", entries[-1].name) if more else None)


async def scope(client: RucioClient, name: str, cursor: str, limit: int) -> Page:
    """Return what is in a scope: datasets and containers first, then files, each by name."""
    if cursor:
        part, after = _unpack(cursor)
        return await _part(client, name, part, after, limit)
    # Both at once, because most scopes have fewer collections than a page has rows.
    first, files = await asyncio.gather(
        _part(client, name, COLLECTIONS, "", limit), _part(client, name, FILES, "", limit)
    )
    if first.next != _pack(FILES, ""):
        return first
    room = limit - len(first.entries)
    if room >= len(files.entries):
        return Page((*first.entries, *files.entries), files.next)
    if not room:
        return Page(first.entries, _pack(FILES, "") if files.entries else None)
    # A name that Rucio can be told, or else the page ends where the files begin.
    rest = await _part(client, name, FILES, "", room)
    return Page((*first.entries, *rest.entries), rest.next)


async def search(
    client: RucioClient, contents: Contents, query: Query, cursor: str, limit: int
) -> Page:
    """Return the DIDs of a scope that match a query."""
    where = query.path.partition(":")[0]
    if not where:
        words = "Rucio searches within one scope."
        raise LakeError("wrong-input", words, "Choose a scope, or write scope:pattern.")
    names, exact = _pattern(query.text)
    filters = names | _metadata(query.metadata)
    kind = query.kind if query.kind in ("container", "dataset", "file") else "all"
    if query.metadata and not query.metadata.keys() <= OWN:
        # Rucio can't compare names in a search by users' own keys.
        whole = Whole("The search", *_search_call(where, kind, filters), "FILE")
        found = await contents.page(whole, cursor, limit)
        rows, following = await _kinds(client, found.entries), found.next
    else:
        rows, following = await _by_name(client, where, kind, filters, cursor=cursor, limit=limit)
    wanted = [row for row in rows if exact(row.name) and kind in ("all", row.kind)]
    return Page(tuple(wanted), following)


async def _by_name(
    client: RucioClient,
    scope: str,
    kind: str,
    filters: Mapping[str, str],
    *,
    cursor: str,
    limit: int,
) -> tuple[list[Entry], str | None]:
    after = _unpack(cursor)[1] if cursor else ""

    async def fetch(after: str, upto: str, count: int) -> list[Entry]:
        return await _found(client, scope, kind, {**filters, **_between(after, upto)}, count)

    rows, bound = await page(fetch, after, limit)
    return rows, None if bound is None else _pack("q", bound)


async def _part(client: RucioClient, scope: str, part: str, after: str, limit: int) -> Page:
    if part not in _TYPES:
        raise _bad_cursor()

    async def fetch(after: str, upto: str, count: int) -> list[Entry]:
        return await _found(client, scope, _TYPES[part], _between(after, upto), count)

    rows, bound = await page(fetch, after, limit)
    if bound is not None:
        return Page(tuple(rows), _pack(part, bound))
    return Page(tuple(rows), _pack(FILES, "") if part == COLLECTIONS else None)


async def _found(
    client: RucioClient, scope: str, kind: str, filters: Mapping[str, str], limit: int
) -> list[Entry]:
    path, query = _search_call(scope, kind, filters)
    async with aclosing(client.rows(path, {**dict(query), "limit": str(limit)})) as rows:
        return [entry_of(row) async for row in rows]


def _search_call(
    scope: str, kind: str, filters: Mapping[str, str]
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return path and query. Never the roots of a scope, which Rucio lists without end."""
    query = (("type", kind), ("long", "1"), ("filters", repr([dict(filters)])))
    return f"/dids/{quote(scope, safe='')}/dids/search", query


async def _kinds(client: RucioClient, entries: Sequence[Entry]) -> list[Entry]:
    """Return entries with the kinds and sizes that a search by users' own keys leaves out."""
    dids = [Did(entry.more["scope"], entry.name) for entry in entries]
    rows = await columns(client, dids, "DID_COLUMN") if dids else []
    return [entry_of(row) for row in rows]


def _between(after: str, upto: str) -> dict[str, str]:
    return ({"name.gt": after} if after else {}) | ({"name.lte": upto} if upto else {})


def _pattern(text: str) -> tuple[dict[str, str], Callable[[str], bool]]:
    """Return Rucio's filter for a pattern, and the exact check of what it lets through.

    Rucio changes `true` and reads `%` and a backslash in its own way: it is asked for a little
    more there.
    """
    wanted = text if "*" in text else f"{text}*"
    if not wanted.strip("*"):
        return {}, lambda _: True
    asked = re.sub(r"[%\\]|(?i:true|false)", "*", wanted)
    shape = re.compile(".*".join(re.escape(part) for part in wanted.split("*")), re.DOTALL)
    return {"name": asked}, lambda name: shape.fullmatch(name) is not None


def _metadata(wanted: Mapping[str, str]) -> dict[str, str]:
    filters = {}
    for key, value in wanted.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", key) or key in ("name", "type", "did_type"):
            words = f'"{key[:60]}" is no key of metadata.'
            raise LakeError("wrong-input", words, "Use letters, digits, _ and - in it.")
        found = _COMPARED.fullmatch(value)
        sign, text = (found[1], found[2]) if found else (None, value)
        filters[key + _SUFFIX[sign]] = text
    return filters


def _pack(part: str, name: str) -> str:
    return part + base64.urlsafe_b64encode(name.encode()).decode()


def _unpack(cursor: str) -> tuple[str, str]:
    try:
        return cursor[0], base64.b64decode(cursor[1:], b"-_", validate=True).decode()
    except (IndexError, binascii.Error, ValueError):
        raise _bad_cursor() from None


def _bad_cursor() -> LakeError:
    return LakeError("wrong-input", "This is no place in a listing.", "Begin at its first page.")
