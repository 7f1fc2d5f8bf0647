"""A copy of what Kubernetes has of one kind, kept up to date by one watch."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import aiohttp

from farlab_sites.carriers.base import CarrierError, CarrierUnreachable
from farlab_sites.carriers.cluster import CALL_S, Cluster, ClusterRefusal
from farlab_sites.interlink import Json

log = logging.getLogger(__name__)

PAGE = 500  # objects in one answer to LIST
WATCH_S = 60  # a watch is begun anew after it: one that was cut off silently lasts no longer
PAUSES = (0.2, 0.5, 1.0, 2.0)  # seconds between two tries while the API is away
GONE = 410  # HTTP: the history that a watch needs is not kept any more


class Mirror(Protocol):
    """What keeps the objects."""

    def replace(self, objects: list[Json]) -> None:
        """Take everything that there is now."""

    def put(self, found: Json) -> None:
        """Take a new or changed object."""

    def drop(self, found: Json) -> None:
        """Let go of an object that was deleted; it is given as it was last."""


class Informer:
    """Lists once and watches from then on; lists again when the watch has missed something."""

    def __init__(
        self, cluster: Cluster, kind: str, selectors: Mapping[str, str], mirror: Mirror
    ) -> None:
        self._cluster = cluster
        self._path = cluster.path(kind)
        self._selectors = selectors
        self._mirror = mirror
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._trouble: CarrierError | None = None

    async def up_to_date(self) -> None:
        """Return once the copy is good; raise what keeps it from being so."""
        if self._task is None or self._task.done():
            self._tried.clear()
            self._task = asyncio.create_task(self._run(), name=f"informer {self._path}")
        try:
            async with asyncio.timeout(CALL_S):
                await self._tried.wait()
        except TimeoutError:
            raise CarrierUnreachable("Kubernetes did not answer in time") from None
        if self._trouble is not None:
            # A new one each time: raised again, the same error would grow a longer traceback.
            raise CarrierUnreachable(str(self._trouble))

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                version = await self._list()
                self._trouble, failures = None, 0
                self._tried.set()
                while True:
                    version = await self._watch(version)
                    await asyncio.sleep(PAUSES[0])  # one that ends at once is no reason to hurry
            except CarrierError as error:
                self._note(error, again=failures > 0)
            except Exception:
                log.exception("watching %s", self._path)
                self._trouble = CarrierUnreachable("what Kubernetes answered was not understood")
            if self._trouble is not None:
                self._tried.set()
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1

    def _note(self, error: CarrierError, *, again: bool) -> None:
        """Note what went wrong. A watch that breaks off is no trouble yet: a LIST tells."""
        expired = isinstance(error, ClusterRefusal) and error.status == GONE
        broke_off = self._tried.is_set() and self._trouble is None and not again
        if not expired and not broke_off:
            self._trouble = CarrierUnreachable(str(error))

    async def _list(self) -> str:
        """Read everything, in pages; return the version that a watch goes on from."""
        found: list[Json] = []
        query: dict[str, object] = {**self._selectors, "limit": PAGE}
        while True:
            answer = await self._cluster.call("GET", self._path, query=query)
            found += answer.get("items") or []
            more = answer["metadata"].get("continue")
            if not more:
                break
            query["continue"] = more
        self._mirror.replace([_lean(item) for item in found])
        return str(answer["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        """Follow what changes after a version, for a while; return the version reached."""
        query = {
            **self._selectors,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": WATCH_S,
        }
        timeout = aiohttp.ClientTimeout(total=WATCH_S + CALL_S, sock_connect=CALL_S)
        async with self._cluster.request("GET", self._path, timeout, query=query) as response:
            async for line in _lines(response):
                version = self._take(json.loads(line)) or version
        return version

    def _take(self, event: Json) -> str:
        """Work on one event of a watch; return its version."""
        kind, found = event["type"], event["object"]
        if kind == "ERROR":
            raise ClusterRefusal(int(found.get("code") or GONE), str(found.get("message") or ""))
        if kind == "DELETED":
            self._mirror.drop(_lean(found))
        elif kind != "BOOKMARK":
            self._mirror.put(_lean(found))
        return str(found["metadata"]["resourceVersion"])


def _lean(found: Json) -> Json:
    """Take out what nobody reads and what is half of an object's size."""
    found["metadata"].pop("managedFields", None)
    return found


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the lines of an answer, however long."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        *whole, last = rest.split(b"\n")
        rest = bytearray(last)
        for line in whole:
            if line.strip():
                yield bytes(line)
    if rest.strip():
        yield bytes(rest)
