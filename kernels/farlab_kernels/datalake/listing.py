"""What is in a place, as folders and files: of a Rucio too, whose names may hold slashes.

There a dataset, a container and a scope are folders, and so is what names have before a slash:
with `s:field.zarr/zarr.json`, `s:field.zarr` is a folder, so that Zarr is found in it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from farlab_kernels.datalake.client import LakeClient
from farlab_kernels.datalake.errors import LakeNotFoundError
from farlab_kernels.datalake.paths import Place

FILES = ("file", "asset")
"""The kinds of entries that hold bytes."""
MAGIC = "*?["
Row = dict[str, Any]


class Listing:
    """Looks into the lakes of one client."""

    def __init__(self, client: LakeClient) -> None:
        self._client = client
        self._kinds: dict[str, str] = {}

    async def lakes(self) -> list[Row]:
        """Return the lakes as folders."""
        return [folder(str(lake["name"]), "lake") for lake in await self._known()]

    async def info(self, place: Place) -> Row:
        """Return one row, with `here` where it can be opened on the server's machine."""
        if not place.path:
            await self.kind(place.lake)
            return folder(str(place), "lake")
        rucio = await self.kind(place.lake) == "rucio"
        if rucio and ":" not in place.path:
            return folder(str(place), "scope")
        try:
            told = await self._client.details(place.lake, place.path)
        except LakeNotFoundError as error:
            if rucio and await self._is_prefix(place):
                return folder(str(place), "folder")
            if place.path in error.message:
                raise
            raise LakeNotFoundError(f"there is no {place}", error.fix, code=error.code) from None
        return {**row(place.lake, told["entry"]), "here": told.get("here")}

    async def children(self, place: Place, limit: int | None = None) -> list[Row]:
        """Return what is directly in a place, at most so many; of a file its own row."""
        if not place.path and not place.lake:
            return await self.lakes()
        info = await self.info(place)
        if info["type"] == "file":
            return [info]
        async with aclosing(self._inside(place, info["kind"], limit)) as entries:
            rows = [row(place.lake, entry) async for entry in entries]
        deep = ":" in place.path and await self.kind(place.lake) == "rucio"
        return _foldered(rows, str(place)) if deep else rows

    async def matching(self, place: Place, limit: int | None = None) -> list[Row]:
        """Return what in a scope of a Rucio has a name that matches; `*` stays within slashes."""
        # Only here: the magics are to load where fsspec is not installed.
        from fsspec.utils import glob_translate  # noqa: PLC0415

        scope, _, name = place.path.partition(":")
        start = name[: min(name.find(one) for one in MAGIC if one in name)]
        match = re.compile(glob_translate(str(place))).match
        found: list[Row] = []
        async with aclosing(self._client.search(place.lake, scope, f"{start}*")) as entries:
            async for entry in entries:
                if limit is not None and len(found) >= limit:
                    break
                if match(f"{place.lake}/{entry['path']}"):
                    found.append(row(place.lake, entry))
        return found

    async def is_pattern(self, place: Place) -> bool:
        """Tell whether a place is a pattern of names in a Rucio's scope."""
        scope, colon, name = place.path.partition(":")
        magic = any(one in name for one in MAGIC) and not any(one in scope for one in MAGIC)
        return bool(colon) and magic and await self.kind(place.lake) == "rucio"

    async def kind(self, lake: str) -> str:
        """Return what kind of lake it is. Raises LakeNotFoundError if there is none."""
        if lake not in self._kinds:
            self._kinds = {str(one["name"]): str(one["kind"]) for one in await self._known()}
        if lake not in self._kinds:
            words = f"there is no lake {lake}"
            raise LakeNotFoundError(words, "`%datalake` lists them.", code="not-found")
        return self._kinds[lake]

    async def _known(self) -> list[dict[str, Any]]:
        return await self._client.lakes()

    def _inside(
        self, place: Place, kind: str, limit: int | None
    ) -> AsyncGenerator[dict[str, Any], None]:
        if kind == "folder" and ":" in place.path:
            scope, _, name = place.path.partition(":")
            if self._kinds[place.lake] == "rucio":
                return self._client.search(place.lake, scope, f"{name}/*", limit)
        return self._client.entries(place.lake, place.path, limit)

    async def _is_prefix(self, place: Place) -> bool:
        async with aclosing(self._inside(place, "folder", 1)) as entries:
            return bool([entry async for entry in entries])


def row(lake: str, entry: dict[str, Any]) -> Row:
    """Return an entry as fsspec wants it."""
    file = entry["kind"] in FILES
    return {
        "name": f"{lake}/{entry['path']}",
        "type": "file" if file else "directory",
        "size": entry.get("size") if file else 0,
        "kind": entry["kind"],
        "checksum": entry.get("checksum"),
        "mtime": entry.get("modified"),
    }


def folder(name: str, kind: str) -> Row:
    """Return the row of a folder."""
    return {"name": name, "type": "directory", "size": 0, "kind": kind}


def _foldered(rows: list[Row], base: str) -> list[Row]:
    """Put what lies deeper below a name into folders, each once."""
    found: dict[str, Row] = {}
    for one in rows:
        name = str(one["name"])
        inner = name.removeprefix(f"{base}/") if name.startswith(f"{base}/") else ""
        head, slash, _ = inner.partition("/")
        if slash:
            name = f"{base}/{head}"
            found.setdefault(name, folder(name, "folder"))
        else:
            found[name] = one
    return list(found.values())
