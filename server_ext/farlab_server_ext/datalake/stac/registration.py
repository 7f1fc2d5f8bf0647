"""A catalogue's items registered in Rucio: collection to container, item to dataset, asset to file.

One scope a catalogue. What names a DID of this Rucio already is attached as it is; what has no size
or no checksum, or lies at no RSE, can't be registered, and is told. Both sides name each other
afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..lake import Entry
from .documents import Document, assets_of, entry_of
from .links import ITEM_KEY, DidLink, Places, dids_of_asset

NO_NAME = re.compile(r"[^A-Za-z0-9._/-]+")


@dataclass(frozen=True, slots=True)
class NewFile:
    """An asset to be registered where it is."""

    name: str
    url: str
    size: int
    checksum: str
    metadata: Mapping[str, Any]
    rse: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an asset besides its catalogue's words; None is unknown."""

    size: int | None = None
    checksum: str | None = None
    rse: str = ""
    """The RSE in which it lies; empty: in none."""
    reason: str = ""
    """Why that RSE does not take it."""


@dataclass(frozen=True, slots=True)
class NewDataset:
    """An item to be registered."""

    name: str
    metadata: Mapping[str, Any]
    files: Sequence[NewFile] = ()
    known: Sequence[DidLink] = ()
    """Files that this Rucio has already."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An asset that can't be registered, and why."""

    item: str
    asset: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a registration will do, for the user to see before it is done."""

    scope: str
    container: str
    container_metadata: Mapping[str, Any]
    datasets: Sequence[NewDataset]
    skipped: Sequence[Skipped] = field(default=())


class Registrar(Protocol):
    """What a registration needs of a Rucio. Each does nothing for what is there already."""

    async def add_container(self, scope: str, name: str, metadata: Mapping[str, Any]) -> None:
        """Make a container."""
        ...

    async def add_dataset(self, scope: str, name: str, metadata: Mapping[str, Any]) -> None:
        """Make a dataset."""
        ...

    async def add_files(self, scope: str, dataset: str, files: Sequence[NewFile]) -> None:
        """Register files where they are, and attach them to a dataset."""
        ...

    async def attach(self, scope: str, name: str, children: Sequence[tuple[str, str]]) -> None:
        """Attach DIDs (scope, name) to a container or a dataset."""
        ...


def plan(
    host: str,
    scope: str,
    collection: tuple[Document, str],
    items: Iterable[tuple[Document, str]],
    seen: Mapping[str, Seen] | None = None,
) -> Plan:
    """Return what has to be done for items of a collection; documents come with their addresses.

    `seen` is what was found out of assets, by their addresses; without it, nobody asks for RSEs.
    """
    document, url = collection
    skipped: list[Skipped] = []
    datasets = [_dataset(host, item, address, skipped, seen) for item, address in items]
    container = clean(str(document["id"]))
    return Plan(scope, container, {ITEM_KEY: url}, datasets, skipped)


async def register(planned: Plan, rucio: Registrar) -> None:
    """Carry a plan out; it can be carried out again after a failure."""
    scope = planned.scope
    await rucio.add_container(scope, planned.container, planned.container_metadata)
    for dataset in planned.datasets:
        await rucio.add_dataset(scope, dataset.name, dataset.metadata)
        if dataset.files:
            await rucio.add_files(scope, dataset.name, dataset.files)
        if dataset.known:
            known = [(link.scope, link.name) for link in dataset.known]
            await rucio.attach(scope, dataset.name, known)
    names = [(scope, dataset.name) for dataset in planned.datasets]
    if names:
        await rucio.attach(scope, planned.container, names)


def with_links(item: Document, host: str, scope: str) -> dict[str, Any]:
    """Return an item that names its DIDs, for those who may write the catalogue."""
    named: dict[str, Any] = deepcopy(dict(item))
    name = clean(str(item["id"]))
    links = named.setdefault("links", [])
    own = {"rel": "rucio", "href": DidLink(host, scope, name).href}
    if own not in links:
        links.append(own)
    for key, asset in (named.get("assets") or {}).items():
        if isinstance(asset, dict) and not any(dids_of_asset(asset)):
            href = DidLink(host, scope, file_name(name, key, str(asset.get("href", "")))).href
            asset.setdefault("alternate", {})["rucio"] = {"href": href}
    return named


def clean(name: str) -> str:
    """Return a name that Rucio's usual schema takes."""
    return NO_NAME.sub("_", name).strip("/")[:240] or "_"


def _dataset(
    host: str,
    item: Document,
    url: str,
    skipped: list[Skipped],
    seen: Mapping[str, Seen] | None,
) -> NewDataset:
    name = clean(str(item["id"]))
    files: list[NewFile] = []
    known: list[DidLink] = []
    for entry in assets_of(item, "", url, Places()):
        key = entry.path.removeprefix("#")
        mine = [link for link in dids_of_asset(item["assets"][key]) if link.host == host]
        href = str(entry.more["href"])
        fact = _facts(entry, Seen() if seen is None else seen.get(href, Seen()))
        reason = _reason(fact, placed=seen is not None)
        if mine:
            known.append(mine[0])
        elif reason:
            skipped.append(Skipped(name, key, reason))
        else:
            told = {ITEM_KEY: url, "stac_asset": key}
            path = file_name(name, key, href)
            size, checksum = fact.size or 0, fact.checksum or ""
            files.append(NewFile(path, href, size, checksum, told, fact.rse))
    own = entry_of(item, "", url, Places())
    metadata = {ITEM_KEY: url, "stac_time": own.more["time"], "stac_bbox": own.more["bbox"]}
    known_facts = {key: value for key, value in metadata.items() if value is not None}
    return NewDataset(name, known_facts, files, known)


def _facts(asset: Entry, seen: Seen) -> Seen:
    """Return what the catalogue and its lake say together; Rucio knows two kinds of checksums."""
    known = asset.checksum if (asset.checksum or "").startswith(("md5:", "adler32:")) else None
    size = seen.size if asset.size is None else asset.size
    return Seen(size, known or seen.checksum, seen.rse, seen.reason)


def _reason(fact: Seen, *, placed: bool) -> str:
    """Return why an asset can't be registered."""
    if placed and (fact.reason or not fact.rse):
        return fact.reason or "it lies at no RSE of this Rucio"
    if fact.size is None:
        return "its size is not in the catalogue"
    if fact.checksum is None:
        return "its MD5 is not in the catalogue"
    return ""


def file_name(dataset: str, key: str, href: str) -> str:
    """Return the name under which an asset of a dataset's item is registered."""
    ending = href.partition("?")[0].rpartition("/")[2].rpartition(".")
    return clean(f"{dataset}/{key}" + (f".{ending[2]}" if ending[1] else ""))
