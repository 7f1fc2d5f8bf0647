"""A Rucio as a lake: the tree of scopes, datasets and files, and what only a Rucio can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..lake import PAGE, Capability, Details, Entry, EntryKind, Lake, LakeError, Page, Query
from ..lake import page_size as bounded
from . import listing, metadata
from .auth import Authenticator
from .client import RucioClient
from .contents import Contents, content_of
from .did import Did, entry_of, parse
from .doors import Doors, OpenEndpoint
from .paths import Here
from .replicas import Replica, Replicas, Share, paths_of
from .rules import Rule, Rules

PART = 2**20
"""Bytes that are read of a file at once."""

CAPABILITIES: frozenset[Capability] = frozenset(
    {"search", "search-metadata", "read", "write", "replicas", "rules", "metadata", "attach"}
)


class RucioLake(Lake):
    """A Rucio with one identity. A path is a scope, or a DID as scope:name."""

    kind = "rucio"
    capabilities = CAPABILITIES

    def __init__(
        self,
        name: str,
        title: str,
        who: Authenticator,
        here: Here | None = None,
        opens: OpenEndpoint | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, title)
        self.client = RucioClient(who, **options)
        self.replicas = Replicas(self.client, here)
        self.rules = Rules(self.client)
        self.doors = Doors(title, self.replicas, opens)
        self._contents = Contents(self.client)

    @property
    def here(self) -> Here | None:
        """The RSE whose files are on this machine."""
        return self.replicas.here

    async def children(self, path: str, cursor: str = "", limit: int = PAGE) -> Page:
        """Return scopes, what is in a scope, or what is in a dataset or container."""
        limit = bounded(limit)
        if not path:
            return await listing.scopes(self.client, cursor, limit)
        if ":" not in path:
            return await listing.scope(self.client, path, cursor, limit)
        return await self._contents.page(content_of(parse(path)), cursor, limit)

    async def search(self, query: Query, cursor: str = "", limit: int = PAGE) -> Page:
        """Return the DIDs of a scope whose names and metadata match."""
        return await listing.search(self.client, self._contents, query, cursor, bounded(limit))

    async def details(self, path: str) -> Details:
        """Return all keys of a DID, what it is part of, and where it is here."""
        did = parse(path)
        (entry, keys), parents = await asyncio.gather(
            metadata.described(self.client, did), self._parents(did)
        )
        here = await self.path_of(path) if entry.kind == "file" and self.here else None
        return Details(entry, keys, parents, here, tuple(sorted(keys.keys() - metadata.OWN)))

    async def path_of(self, path: str) -> str | None:
        """Return where a file is on this machine; None if it is not."""
        did = parse(path)
        return paths_of((await self.replicas.of([did]))[did])

    async def replicas_of(self, paths: Sequence[str]) -> dict[str, tuple[Replica, ...]]:
        """Return the replicas of the files on the screen."""
        found = await self.replicas.of([parse(path) for path in paths])
        return {str(did): replicas for did, replicas in found.items()}

    async def shares_of(self, path: str) -> list[Share]:
        """Return how much of a dataset is at each RSE."""
        return await self.replicas.shares(parse(path))

    async def rules_of(self, path: str) -> list[Rule]:
        """Return the rules for a DID."""
        return await self.rules.of(parse(path))

    async def make_available(
        self, path: str, days: int | None, rse: str = "", comment: str = ""
    ) -> Rule:
        """Have a DID brought to an RSE, this site's if none is named, for so many days."""
        if not rse and self.here is None:
            words = f"This server is at no RSE of {self.title}."
            raise LakeError("wrong-input", words, "Name the RSE that should have the data.")
        wanted = rse or (self.here.rse if self.here else "")
        return await self.rules.one(await self.rules.add(parse(path), wanted, days, comment))

    async def set_metadata(self, path: str, changes: Mapping[str, Any]) -> None:
        """Set keys of a DID; None removes one."""
        await metadata.write(self.client, parse(path), changes)

    async def set_many(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Set keys of several DIDs."""
        await metadata.write_many(self.client, {parse(path): c for path, c in changes.items()})

    async def keep(self, path: str, days: int | None) -> None:
        """Let a DID end so many days from now; None: never."""
        await metadata.keep(self.client, parse(path), days)

    @property
    def host(self) -> str:
        """How links in STAC documents name it."""
        return urlsplit(self.client.service.url).netloc

    async def create(
        self,
        path: str,
        kind: EntryKind,
        keys: Mapping[str, Any] | None = None,
        days: int | None = None,
    ) -> Entry:
        """Make an empty dataset or container, perhaps with metadata and for so many days."""
        if kind not in ("dataset", "container"):
            words = "Only datasets and containers can be made in Rucio."
            raise LakeError("wrong-input", words, "Choose one of them.")
        did = parse(path)
        metadata.check(keys or {})
        wanted: dict[str, Any] = {**did.json, "type": kind.upper()}
        wanted |= {} if days is None else {"lifetime": metadata.seconds_of(days)}
        await self.client.send("POST", "/dids", [wanted])
        if keys:
            await metadata.write(self.client, did, keys)
        return Entry(did.name, str(did), kind, state="open", more={"scope": did.scope})

    async def attach(self, path: str, children: Sequence[str]) -> None:
        """Put DIDs into a dataset or container."""
        did = parse(path)
        dids = [parse(child).json for child in children]
        attachments = [{**did.json, "dids": dids}]
        await self.client.send("POST", "/dids/attachments", attachments)
        self._contents.forget(did)

    async def detach(self, path: str, children: Sequence[str]) -> None:
        """Take DIDs out of a dataset or container."""
        did = parse(path)
        body = {"dids": [parse(child).json for child in children]}
        await self.client.send("DELETE", f"/dids/{did.address}/dids", body)
        self._contents.forget(did)

    def forget(self, did: Did) -> None:
        """Read a dataset anew the next time."""
        self._contents.forget(did)

    async def close_did(self, path: str) -> None:
        """Close a dataset or container: nothing can be put in any more."""
        await self.client.send("PUT", f"/dids/{parse(path).address}/status", {"open": False})

    async def stream(
        self, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a file's bytes from this machine."""
        did = parse(path)
        replicas = (await self.replicas.of([did]))[did]
        where = paths_of(replicas)
        if where is None:
            raise self._not_here(did, replicas)
        async with aclosing(_parts(Path(where), offset, length)) as parts:
            async for part in parts:
                yield part

    async def close(self) -> None:
        """Close the connections."""
        await self.doors.close()
        await self.client.close()

    async def _parents(self, did: Did) -> tuple[Entry, ...]:
        async with aclosing(self.client.rows(f"/dids/{did.address}/parents")) as rows:
            return tuple([entry_of(row) async for row in rows])

    def _not_here(self, did: Did, replicas: Sequence[Replica]) -> LakeError:
        problem = next((one.problem for one in replicas if one.problem), None)
        if problem:
            return LakeError("damaged", problem, "Use a copy at another RSE.")
        rses = ", ".join(one.rse for one in replicas if one.state == "available")
        words = f"{did} is not on this machine; it is at {rses or 'no RSE'}."
        return LakeError("not-found", words, "Make it available here first.")


async def _parts(path: Path, offset: int, length: int | None) -> AsyncGenerator[bytes, None]:
    """Yield a file's bytes, read in another thread."""
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except OSError as error:
        words = f"{path} can't be read: {error.strerror}."
        raise LakeError("damaged", words, "Use a copy at another RSE.") from None
    with file:
        await asyncio.to_thread(file.seek, offset)
        left = length
        while left is None or left > 0:
            part = await asyncio.to_thread(file.read, PART if left is None else min(PART, left))
            if not part:
                return
            yield part
            left = None if left is None else left - len(part)
