"""Where files are: asked for the rows on the screen only, because each replica costs Rucio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..lake import LakeError
from .client import RucioClient
from .did import Did
from .paths import Here, Protocol, path_here, protocols_of

ASKED_MAX = 1000
"""Files of one question."""
LOOK_TIME = 10.0
"""Seconds that a file system may take to say whether a file is there."""


@dataclass(frozen=True)
class Replica:
    """One file at one RSE."""

    rse: str
    state: str
    """Rucio's word in lower case: available, copying, unavailable, bad, ..."""
    pfns: tuple[str, ...]
    path: str | None = None
    """Where it is on this machine."""
    problem: str | None = None
    """Why it can't be opened here although it should be."""


@dataclass(frozen=True)
class Share:
    """How much of a dataset is at one RSE."""

    rse: str
    state: str
    files: int
    files_there: int
    size: int | None
    size_there: int | None


class Replicas:
    """The replicas of one Rucio, seen from this machine."""

    def __init__(self, client: RucioClient, here: Here | None) -> None:
        self._client = client
        self.here = here
        self._protocols: dict[str, tuple[Protocol, ...]] = {}

    async def of(self, dids: Sequence[Did]) -> dict[Did, tuple[Replica, ...]]:
        """Return the replicas of each file. Datasets have none of their own: leave them out."""
        if len(dids) > ASKED_MAX:
            words = f"These are more than {ASKED_MAX} files."
            raise LakeError("wrong-input", words, "Ask for the rows on the screen only.")
        found: dict[Did, tuple[Replica, ...]] = dict.fromkeys(dids, ())
        if not dids:
            return found
        asked = {"dids": [did.json for did in dids], "all_states": True, "domain": "all"}
        asked |= {"resolve_archives": False}
        # Without this word, each replica costs Rucio a look-up of where its user is.
        query = {"sort": "random"}
        async with aclosing(self._client.rows("/replicas/list", query, asked)) as rows:
            listed = [row async for row in rows]
        here = await self._paths_here(listed)
        sizes = {self._did(row): row.get("bytes") for row in listed}
        problems = await _problems({did: (path, sizes[did]) for did, path in here.items() if path})
        for row in listed:
            did = self._did(row)
            found[did] = tuple(
                self._seen_from_here(replica, here.get(did), problems.get(did))
                for replica in _replicas(row)
            )
        return found

    async def shares(self, did: Did) -> list[Share]:
        """Return how much of a dataset is at each RSE."""
        path = f"/replicas/{did.address}/datasets"
        async with aclosing(self._client.rows(path, {"deep": "true"})) as rows:
            return [_share(row) async for row in rows]

    async def rse(self, name: str) -> dict[str, Any]:
        """Return what Rucio says of an RSE."""
        told = await self._client.get(f"/rses/{quote(name, safe='')}")
        if not isinstance(told, dict):
            raise self._client.nonsense()
        return told

    async def protocols(self, rse: str) -> tuple[Protocol, ...]:
        """Return an RSE's doors; they hardly ever change, and are asked for once."""
        if rse not in self._protocols:
            self._protocols[rse] = protocols_of(await self.rse(rse))
        return self._protocols[rse]

    def _did(self, row: dict[str, Any]) -> Did:
        try:
            return Did(str(row["scope"]), str(row["name"]))
        except KeyError:
            raise self._client.nonsense() from None

    async def _paths_here(self, rows: Sequence[dict[str, Any]]) -> dict[Did, Path | None]:
        """Return where the files of these rows are on this machine."""
        here = self.here
        if here is None:
            return {}
        protocols = await self.protocols(here.rse) if rows else ()
        return {
            self._did(row): next(
                (path for pfn in _pfns(row, here.rse) if (path := path_here(pfn, here, protocols))),
                None,
            )
            for row in rows
        }

    def _seen_from_here(self, replica: Replica, path: Path | None, problem: str | None) -> Replica:
        if self.here is None or replica.rse != self.here.rse or replica.state != "available":
            return replica
        if path is None:
            words = "Its name leads to no file below the RSE's prefix."
            return replace(replica, problem=words)
        return replace(replica, path=None if problem else str(path), problem=problem)


def _replicas(row: dict[str, Any]) -> list[Replica]:
    states = row.get("states") or {}
    rses = {*states, *(row.get("rses") or {})}
    return [
        Replica(rse, str(states.get(rse, "available")).lower(), _pfns(row, rse))
        for rse in sorted(rses)
    ]


def _pfns(row: dict[str, Any], rse: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((row.get("rses") or {}).get(rse, ())))


async def _problems(files: dict[Did, tuple[Path, int | None]]) -> dict[Did, str | None]:
    """Return why files can't be opened, None for those that can; asked for all at once."""

    def look() -> dict[Did, str | None]:
        return {did: _problem(path, size) for did, (path, size) in files.items()}

    try:
        return await asyncio.wait_for(asyncio.to_thread(look), LOOK_TIME)
    except TimeoutError:
        words = "This machine's file system does not answer."
        return dict.fromkeys(files, words)


def _problem(path: Path, size: int | None) -> str | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return f"Rucio says it is available here, but there is no {path}: tell the site."
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or type(error).__name__
        return f"{path} can't be read: {words}."
    if size is not None and found.st_size != size:
        return f"{path} has {found.st_size} bytes, not the {size} that Rucio knows: tell the site."
    return None


def _share(row: dict[str, Any]) -> Share:
    def number(key: str) -> int | None:
        value = row.get(key)
        return int(value) if isinstance(value, (int, float)) else None

    return Share(
        rse=str(row.get("rse", "")),
        state=str(row.get("state", "")).lower(),
        files=number("length") or 0,
        files_there=number("available_length") or 0,
        size=number("bytes"),
        size_there=number("available_bytes"),
    )


def paths_of(replicas: Iterable[Replica]) -> str | None:
    """Return the first path on this machine among replicas."""
    return next((replica.path for replica in replicas if replica.path), None)
