"""What a catalogue's registration asks of a Rucio; each step does nothing for what is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Any

from ..lake import EntryKind, LakeError
from ..stac.registration import NewFile, Seen
from . import metadata
from .did import Did
from .lake import RucioLake
from .paths import Protocol, relative

AT_ONCE = 8
CALL = 500
"""Files of one call."""
KEPT_FOR = 600.0
"""Seconds for which the doors of the RSEs are taken for what they were."""


class Rses:
    """Which RSE an address lies in."""

    def __init__(self, lake: RucioLake) -> None:
        self._lake = lake
        self._doors: dict[str, tuple[bool, tuple[Protocol, ...]]] = {}
        self._read = 0.0

    async def of(self, address: str) -> Seen:
        """Return the RSE below whose prefix an address lies, and why it does not take it."""
        if time.monotonic() - self._read > KEPT_FOR or not self._doors:
            self._doors, self._read = await self._all(), time.monotonic()
        refused = Seen()
        for rse, (deterministic, protocols) in self._doors.items():
            if relative(address, protocols) is None:
                continue
            if not deterministic:
                return Seen(rse=rse)
            refused = Seen(reason=f"{rse} chooses the names of its files by itself")
        return refused

    async def _all(self) -> dict[str, tuple[bool, tuple[Protocol, ...]]]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> tuple[bool, tuple[Protocol, ...]]:
            async with turns:
                told = await self._lake.replicas.rse(name)
            return bool(told.get("deterministic")), await self._lake.replicas.protocols(name)

        async with aclosing(self._lake.client.rows("/rses/")) as rows:
            names = [str(row.get("rse", "")) async for row in rows]
        found = await asyncio.gather(*(one(name) for name in names))
        return dict(zip(names, found, strict=True))


class RucioRegistrar:
    """Registers in one Rucio as its user."""

    def __init__(self, lake: RucioLake) -> None:
        self._lake = lake

    async def add_container(self, scope: str, name: str, metadata: Mapping[str, Any]) -> None:
        """Make a container, unless it is there."""
        await self._add(Did(scope, name), "container", metadata)

    async def add_dataset(self, scope: str, name: str, metadata: Mapping[str, Any]) -> None:
        """Make a dataset, unless it is there."""
        await self._add(Did(scope, name), "dataset", metadata)

    async def add_files(self, scope: str, dataset: str, files: Sequence[NewFile]) -> None:
        """Register files where they are, and attach them; raise LakeError for another file."""
        by_rse = groupby(sorted(files, key=lambda file: file.rse), lambda file: file.rse)
        for rse, group in by_rse:
            some = [*group]
            for start in range(0, len(some), CALL):
                await self._register(scope, rse, some[start : start + CALL])
        await self.attach(scope, dataset, [(scope, file.name) for file in files])

    async def attach(self, scope: str, name: str, children: Sequence[tuple[str, str]]) -> None:
        """Attach DIDs to a container or a dataset, those that are not in it."""
        dids = [Did(*child).json for child in children]
        attachment = {**Did(scope, name).json, "dids": dids}
        body = {"attachments": [attachment], "ignore_duplicate": True}
        try:
            await self._lake.client.send("POST", "/dids/attachments", body)
        except LakeError as error:
            # It ignores what is in a dataset already, but not what is in a container.
            if error.code != "conflict":
                raise
            await self._attach_missing(Did(scope, name), children)
        self._lake.forget(Did(scope, name))

    async def _attach_missing(self, did: Did, children: Sequence[tuple[str, str]]) -> None:
        async with aclosing(self._lake.client.rows(f"/dids/{did.address}/dids")) as rows:
            there = {(str(row["scope"]), str(row["name"])) async for row in rows}
        missing = [Did(*child).json for child in children if tuple(child) not in there]
        if missing:
            await self._lake.client.send(
                "POST", "/dids/attachments", [{**did.json, "dids": missing}]
            )

    async def _add(self, did: Did, kind: EntryKind, keys: Mapping[str, Any]) -> None:
        try:
            await self._lake.create(str(did), kind)
        except LakeError as error:
            if error.code != "conflict":
                raise
            found = (await self._lake.details(str(did))).entry
            if found.kind != kind:
                words = f"{did} is there already, and is no {kind}."
                raise LakeError("conflict", words, "Choose another scope.") from None
        await metadata.write(self._lake.client, did, metadata.storable(keys))

    async def _register(self, scope: str, rse: str, files: Sequence[NewFile]) -> None:
        dids = [Did(scope, file.name) for file in files]
        rows = await metadata.columns(self._lake.client, dids)
        known = {str(row["name"]): row for row in rows}
        for file in files:
            if file.name in known and not _same(file, known[file.name]):
                words = f"{scope}:{file.name} is there already, and is another file."
                raise LakeError("conflict", words, "Choose another scope for this catalogue.")
        missing = [file for file in files if file.name not in known]
        if missing:
            body = {"rse": rse, "files": [_replica(scope, file) for file in missing]}
            await self._lake.client.send("POST", "/replicas/", body)
        await metadata.write_many(
            self._lake.client,
            {Did(scope, file.name): metadata.storable(file.metadata) for file in files},
        )


def _replica(scope: str, file: NewFile) -> dict[str, Any]:
    kind, _, digits = file.checksum.partition(":")
    return {"scope": scope, "name": file.name, "pfn": file.url, "bytes": file.size, kind: digits}


def _same(file: NewFile, row: Mapping[str, Any]) -> bool:
    kind, _, digits = file.checksum.partition(":")
    return row.get("bytes") == file.size and row.get(kind) in (digits, None)
