"""STAC and Rucio joined: items from datasets, DIDs from assets, and where each finds the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from ..lake import PAGE, Entry, Lake, LakeError
from ..registry import Lakes
from ..rucio.did import parse
from ..rucio.lake import RucioLake
from ..rucio.metadata import OWN
from ..rucio.registrar import Rses, RucioRegistrar
from ..rucio.replicas import ASKED_MAX
from . import writing
from .documents import Document, assets_of, link_of
from .items import Coverage, DataFile, Dataset, item_of
from .lake import StacLake
from .links import ITEM_KEY, Places, dids_of_asset, dids_of_document
from .registration import Plan, Seen, clean, file_name, plan, register
from .thumbnails import thumbnail

FILES_MAX = 10_000
"""Files of a dataset that becomes an item."""
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Target:
    """Where an item is written: a collection of an API, or a folder of a storage lake."""

    lake: str
    path: str


class Join:
    """Joins the STAC catalogues and the Rucios of one server."""

    def __init__(self, lakes: Lakes) -> None:
        self._lakes = lakes
        self._rses: dict[str, tuple[RucioLake, Rses]] = {}

    # -- assets as DIDs ---------------------------------------------------------------------------

    async def register(
        self,
        name: str,
        path: str,
        to: tuple[str, str] | None = None,
        cursor: str = "",
        *,
        dry: bool = False,
    ) -> dict[str, Any]:
        """Register a page of a collection's items, or one item, in the scope of a Rucio.

        `to` are a Rucio's name and a scope; None: those that the catalogue says.
        """
        stac = self._stac(name)
        lake, scope = to or self._lakes.registered(name)
        rucio = self._rucio(lake)
        items, following = await stac.items(path, cursor, PAGE)
        document = await stac.document(path)
        collection = await self._collection(stac, document, path)
        seen = await self._seen(rucio, items)
        planned = plan(rucio.host, scope, collection, items, seen)
        if not dry:
            await register(planned, RucioRegistrar(rucio))
        return {**_told(planned), "lake": lake, "next": following, "done": not dry}

    async def _collection(
        self, stac: StacLake, document: Document, path: str
    ) -> tuple[Document, str]:
        """Return the collection of what is registered, and its address."""
        url = stac.address(path)
        if document["type"] == "Collection":
            return document, url
        href = link_of(document, "collection", "parent")
        above = stac.path_of(stac.inside(href, path)) if href else None
        if document["type"] != "Feature" or above is None:
            words = "Only a collection, or an item of one, can be registered."
            raise LakeError("wrong-input", words, "Choose a collection.")
        return await stac.document(above), stac.address(above)

    async def _seen(
        self, rucio: RucioLake, items: Sequence[tuple[Document, str]]
    ) -> dict[str, Seen]:
        """Return where assets lie, and what their lakes tell of those without size or checksum."""
        rses, turns = self._rses_of(rucio), asyncio.Semaphore(AT_ONCE)
        places = self._lakes.places()

        async def look(asset: Entry) -> tuple[str, Seen]:
            href = str(asset.more["href"])
            async with turns:
                seen = await rses.of(href)
                told = (asset.checksum or "").startswith(("md5:", "adler32:"))
                if seen.rse and (asset.size is None or not told):
                    return href, await self._asked(href, places, seen)
            return href, seen

        assets = [
            asset
            for item, url in items
            for asset in assets_of(item, "", url, Places())
            if not any(one["host"] == rucio.host for one in asset.more["in"])
        ]
        return dict(await asyncio.gather(*(look(asset) for asset in assets)))

    async def _asked(self, href: str, places: Places, seen: Seen) -> Seen:
        """Ask the lake that an address is in for size and checksum; no other server is asked."""
        for found in places.of_href(href):
            try:
                entry = (await self._lakes.get(found["lake"]).details(found["path"])).entry
            except LakeError as error:
                if error.code not in ("not-found", "denied"):
                    raise
                return Seen(rse=seen.rse, reason=error.message)
            return Seen(entry.size, entry.checksum, seen.rse)
        return seen

    # -- where an item's assets are ---------------------------------------------------------------

    async def where(self, name: str, path: str) -> dict[str, Any]:
        """Return the dataset of an item and the places of its assets, as the API tells them."""
        stac = self._stac(name)
        item, places = await stac.document(path), self._lakes.places()
        if item["type"] != "Feature":
            raise LakeError("wrong-input", "That is no item.", "Choose an item.")
        url = stac.address(path)
        known = dict(self._known(name, item, url, places))
        dids = {did for found in known.values() for did in found if did[0] in self._rucios()}
        replicas = await self._replicas(dids)
        dataset = await self._dataset(name, item, places)
        return {
            "dataset": dataset and {"lake": dataset[0], "path": dataset[1]},
            "assets": {
                key: [told for one in found if (told := _place(one, replicas, self._rucios()))]
                for key, found in known.items()
            },
        }

    def _known(
        self, name: str, item: Document, url: str, places: Places
    ) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Yield where each asset may be: lake and path, of links, of addresses, of registration."""
        home = self._lakes.home(name)
        for entry in assets_of(item, "", url, places):
            key = entry.path.removeprefix("#")
            found = [
                (str(one["lake"]), str(one.get("path") or f"{one['scope']}:{one['name']}"))
                for one in entry.more["in"]
                if one["lake"]
            ]
            if home and not any(dids_of_asset(item["assets"][key])):
                own = file_name(clean(str(item["id"])), key, str(entry.more["href"]))
                found.append((home[0], f"{home[1]}:{own}"))
            yield key, list(dict.fromkeys(found))

    async def _replicas(self, dids: set[tuple[str, str]]) -> dict[tuple[str, str], Any]:
        """Return the replicas of each DID that its Rucio has."""
        found: dict[tuple[str, str], Any] = {}
        for lake in {one for one, _ in dids}:
            paths = sorted(path for one, path in dids if one == lake)
            for start in range(0, len(paths), ASKED_MAX):
                some = await self._rucio(lake).replicas_of(paths[start : start + ASKED_MAX])
                found |= {(lake, path): replicas for path, replicas in some.items() if replicas}
        return found

    async def _dataset(self, name: str, item: Document, places: Places) -> tuple[str, str] | None:
        """Return lake and path of the dataset that an item describes, if there is one."""
        named = [
            (str(one["lake"]), f"{one['scope']}:{one['name']}")
            for one in places.of_dids(dids_of_document(item))
            if one["lake"]
        ]
        home = self._lakes.home(name)
        if home:
            named.append((home[0], f"{home[1]}:{clean(str(item['id']))}"))
        for lake, path in named:
            try:
                await self._rucio(lake).details(path)
            except LakeError as error:
                if error.code not in ("not-found", "denied"):
                    raise
                continue
            return lake, path
        return None

    # -- items from datasets ----------------------------------------------------------------------

    async def item(
        self,
        name: str,
        path: str,
        coverage: Coverage,
        *,
        collection: str | None = None,
        properties: Mapping[str, Any] | None = None,
        to: Target | None = None,
    ) -> dict[str, Any]:
        """Make the item of a dataset; write it, and name it in the dataset, if there is a place."""
        rucio = self._rucio(name)
        dataset = await self._described(rucio, path, properties or {})
        item = item_of(dataset, coverage, collection)
        if to is None:
            return {"item": item, "url": None, "lake": None, "path": None}
        lake = self._lakes.get(to.lake)
        if isinstance(lake, StacLake):
            url = await writing.into_api(lake, to.path, item)
        elif lake.kind in ("webdav", "s3"):
            url, _ = await writing.into_store(cast("Any", lake), to.path, item, collection)
        else:
            words = f"{lake.title} takes no items."
            raise LakeError("unsupported", words, "Choose a STAC API, a door or an object store.")
        await rucio.set_metadata(path, {ITEM_KEY: url})
        return {"item": item, **self._lakes.place(url)}

    async def _described(
        self, rucio: RucioLake, path: str, properties: Mapping[str, Any]
    ) -> Dataset:
        did = parse(path)
        details = await rucio.details(path)
        if details.entry.kind != "dataset":
            raise LakeError("wrong-input", f"{did} is no dataset.", "Choose a dataset.")
        files = await _files(rucio, path)
        own = {key: value for key, value in details.metadata.items() if key not in OWN}
        own.pop(ITEM_KEY, None)
        return Dataset(rucio.host, did.scope, did.name, files, {**own, **properties})

    async def thumbnail(self, name: str, path: str) -> tuple[bytes, str]:
        """Return an item's picture and its kind, if it is in one of the lakes."""
        places = self._lakes.places()
        return await thumbnail(self._stac(name), path, places, self._lakes.get)

    # -- lakes ------------------------------------------------------------------------------------

    def _stac(self, name: str) -> StacLake:
        lake = self._lakes.get(name)
        if not isinstance(lake, StacLake):
            words = f"{lake.title} is no STAC catalogue."
            raise LakeError("unsupported", words, "Choose a catalogue.")
        return lake

    def _rucio(self, name: str) -> RucioLake:
        lake: Lake = self._lakes.get(name)
        if not isinstance(lake, RucioLake):
            raise LakeError("unsupported", f"{lake.title} is no Rucio.", "Choose a Rucio.")
        return lake

    def _rucios(self) -> list[str]:
        return self._lakes.names("rucio")

    def _rses_of(self, rucio: RucioLake) -> Rses:
        known = self._rses.get(rucio.name)
        if known is None or known[0] is not rucio:  # another login sees others
            known = self._rses[rucio.name] = rucio, Rses(rucio)
        return known[1]


async def _files(rucio: RucioLake, path: str) -> list[DataFile]:
    """Return a dataset's files, with addresses that open them without Rucio where there are any."""
    entries: list[Entry] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await rucio.children(path, cursor, ASKED_MAX)
        entries += page.entries
        cursor = page.next
        if len(entries) > FILES_MAX:
            words = f"{path} has more than {FILES_MAX} files."
            raise LakeError("wrong-input", words, "Describe its parts.")
    files = []
    for start in range(0, len(entries), ASKED_MAX):
        some = entries[start : start + ASKED_MAX]
        replicas = await rucio.replicas_of([entry.path for entry in some])
        for entry in some:
            scope, _, name = entry.path.partition(":")
            pfns = [pfn for one in replicas[entry.path] for pfn in one.pfns]
            url = next((pfn for pfn in pfns if urlsplit(pfn).scheme in ("https", "http")), None)
            files.append(DataFile(scope, name, entry.size, entry.checksum, url))
    return files


def _place(
    one: tuple[str, str], replicas: Mapping[tuple[str, str], Any], rucios: Sequence[str]
) -> dict[str, Any] | None:
    """Return a place as the API tells it; None for a DID that its Rucio does not have."""
    lake, path = one
    if lake not in rucios:
        return {"lake": lake, "path": path, "rses": [], "here": None}
    if one not in replicas:
        return None
    found = replicas[one]
    here = next((replica.path for replica in found if replica.path), None)
    available = [replica.rse for replica in found if replica.state == "available"]
    return {"lake": lake, "path": path, "rses": available, "here": here}


def _told(planned: Plan) -> dict[str, Any]:
    return {
        "scope": planned.scope,
        "container": f"{planned.scope}:{planned.container}",
        "datasets": [
            {
                "path": f"{planned.scope}:{one.name}",
                "files": [f"{planned.scope}:{file.name}" for file in one.files],
                "known": [f"{link.scope}:{link.name}" for link in one.known],
            }
            for one in planned.datasets
        ],
        "skipped": [asdict(one) for one in planned.skipped],
    }
