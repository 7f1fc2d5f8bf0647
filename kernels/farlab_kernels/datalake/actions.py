"""What `%datalake` does that is one question to the server: find, describe, share, copy, join.

Each action takes what was typed, and returns what is printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from IPython.core.error import UsageError

from farlab_kernels.datalake import tables, transfers
from farlab_kernels.datalake.client import LakeClient
from farlab_kernels.datalake.listing import row
from farlab_kernels.datalake.paths import Place, choose, dataset
from farlab_kernels.datalake.transfers import Tell

Action = Callable[[LakeClient, Tell, argparse.Namespace], Coroutine[Any, Any, str]]
HOUR = 3600


async def copied(client: LakeClient, tell: Tell, arguments: argparse.Namespace) -> str:
    """Copy from a lake to a lake."""
    lakes = await client.lakes()
    source = choose(lakes, needed(arguments.path, "name what to copy"))
    target = choose(lakes, needed(arguments.to, "name where to, as LAKE/path"))
    if arguments.to.endswith("/") or not target.path:
        inner = transfers.name_of(source)
        target = target._replace(path=f"{target.path}/{inner}" if target.path else inner)
    await transfers.copy(client, source, target, tell, overwrite=arguments.overwrite)
    return f"{source} is at {target}"


async def found(client: LakeClient, _: Tell, arguments: argparse.Namespace) -> str:
    """Search a scope by names and metadata, or a catalogue by words, area and time."""
    lakes = await client.lakes()
    place = choose(lakes, needed(arguments.path, "name a scope or a catalogue"))
    limit = max(1, arguments.limit)
    search = client.find(
        place.lake,
        _path(lakes, place).rstrip(":"),
        " ".join([arguments.to, *arguments.more]).strip(),
        limit=limit + 1,
        kind=arguments.kind,
        metadata=texts(arguments.meta or []),
        bbox=box(arguments.bbox),
        time=arguments.time,
    )
    async with aclosing(search) as entries:
        rows = [row(place.lake, entry) async for entry in entries]
    more = f"\nthere is more: --limit {10 * limit}" if len(rows) > limit else ""
    return (tables.entries(rows[:limit]) if rows else "nothing is found") + more


async def described(client: LakeClient, _: Tell, arguments: argparse.Namespace) -> str:
    """Show the metadata of a DID, or change it first."""
    place = choose(await client.lakes(), needed(arguments.path, "name a dataset, as scope:name"))
    words = [one for one in (arguments.to, *arguments.more) if one] + (arguments.meta or [])
    changes = {key: None if value == "" else value for key, value in metadata(words).items()}
    if changes:
        told = await client.set_metadata(place.lake, place.path, changes)
    else:
        told = await client.details(place.lake, place.path)
    return tables.metadata(told["metadata"])


async def made(client: LakeClient, _: Tell, arguments: argparse.Namespace) -> str:
    """Make a folder, or in a Rucio a dataset or container."""
    lakes = await client.lakes()
    place = choose(lakes, needed(arguments.path, "name a folder, or a dataset as scope:name"))
    rucio = any(one["name"] == place.lake and one["kind"] == "rucio" for one in lakes)
    kind = arguments.kind or ("dataset" if rucio else "folder")
    keys = metadata(arguments.meta or [])
    await client.create(place.lake, place.path, kind, days=arguments.days, **keys)
    return f"{kind} {place}"


async def linked(client: LakeClient, _: Tell, arguments: argparse.Namespace) -> str:
    """Make a link that works without an account for some hours."""
    place = choose(await client.lakes(), needed(arguments.path, "name a file"))
    link = await client.link(place.lake, place.path, max(1, round(arguments.hours * HOUR)))
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(link["ends"]))
    return f"{link['url']}\nanyone who has this link can read the file until {until}"


async def item(client: LakeClient, _: Tell, arguments: argparse.Namespace) -> str:
    """Make the STAC item of a dataset; write it, if there is a place for it."""
    lakes = await client.lakes()
    place = dataset(lakes, needed(arguments.path, "name a dataset, as scope:name"))
    start, _slash, end = arguments.time.partition("/")
    wanted: dict[str, Any] = {"bbox": box(arguments.bbox), "collection": arguments.collection}
    wanted |= {"start": start, "end": end, "properties": metadata(arguments.meta or [])}
    if arguments.to:
        target = choose(lakes, arguments.to)
        wanted["to"] = {"lake": target.lake, "path": _path(lakes, target)}
    told = await client.make_item(place.lake, place.path, **wanted)
    return str(told["url"] or json.dumps(told["item"], indent=1))


async def registered(client: LakeClient, tell: Tell, arguments: argparse.Namespace) -> str:
    """Register the assets of a STAC collection or item as DIDs, page by page."""
    lakes = await client.lakes()
    place = choose(lakes, needed(arguments.path, "name a collection"))
    wanted: dict[str, Any] = {}
    if arguments.scope:
        lake, _colon, scope = arguments.scope.rpartition("/")
        if not lake:
            raise UsageError("--scope takes LAKE/SCOPE")
        wanted = {"lake": lake, "scope": scope}
    path = _path(lakes, place)
    files = items = 0
    skipped: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        told = await client.register(place.lake, path, cursor=cursor, **wanted)
        items += len(told["datasets"])
        files += sum(len(one["files"]) + len(one["known"]) for one in told["datasets"])
        skipped += told["skipped"]
        tell(f"{files} files of {items} items")
        cursor = told["next"]
    words = f"{files} files of {items} items are in {told['lake']}/{told['container']}"
    for one in skipped[:5]:
        words += f"\nnot {one['item']} {one['asset']}: {one['reason']}"
    return words + (f"\nand {len(skipped) - 5} others" if len(skipped) > 5 else "")


ACTIONS: dict[str, Action] = {
    "cp": copied,
    "find": found,
    "item": item,
    "link": linked,
    "meta": described,
    "mkdir": made,
    "register": registered,
}


def _path(lakes: Sequence[Mapping[str, Any]], place: Place) -> str:
    """Return the lake's own path of a place: those of STAC catalogues begin with a slash."""
    stac = any(one["name"] == place.lake and one["kind"] == "stac" for one in lakes)
    return f"/{place.path}" if stac and place.path else place.path


def metadata(words: list[str]) -> dict[str, Any]:
    """Return the keys and values of `key=value`; a value is JSON, else a text."""
    pairs = {}
    for word in words:
        key, mark, value = word.partition("=")
        if not (key and mark):
            raise UsageError(f"--meta takes KEY=VALUE, not {word!r}")
        try:
            pairs[key] = json.loads(value)
        except ValueError:
            pairs[key] = value
    return pairs


def texts(words: list[str]) -> dict[str, str]:
    """Return the keys and values of `key=value`, `key<value` and the like, for a search."""
    pairs = {}
    for word in words:
        at = min((word.find(sign) for sign in "<>!=" if sign in word), default=0)
        key, value = word[:at], word[at:]
        if not key:
            raise UsageError(f"find takes --meta KEY=VALUE, not {word!r}")
        pairs[key] = value.removeprefix("=")
    return pairs


def box(text: str) -> list[float] | None:
    """Return an area of four numbers."""
    if not text:
        return None
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError:
        raise UsageError("--bbox takes west,south,east,north in degrees") from None
    return [west, south, east, north]


def needed(text: str, what: str) -> str:
    """Return a word that has to be there."""
    if not text:
        raise UsageError(f"{what}; `%datalake?` says how")
    return text
