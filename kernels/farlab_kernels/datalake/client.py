"""A client of the lakes of this Jupyter server, for asyncio; `ask` is for code that does not await.

async with LakeClient() as client:
    async for entry in client.entries("escape", "demo:days"): ...
"""

from __future__ import annotations

import json
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp

from farlab_kernels.datalake.errors import LakeError, error_of
from farlab_kernels.loops import shared_loop
from farlab_kernels.notebook.waiting import Waiting
from farlab_kernels.service.settings import Settings

Result = TypeVar("Result")
URL, TOKEN = "FARLAB_DATALAKE_URL", "FARLAB_DATALAKE_TOKEN"
PAGE = 1000
"""Rows that are asked for at once; the server gives no more."""
_CONNECT = 30.0  # seconds
_SILENCE = 180.0  # seconds without a byte: the server itself waits 60 s for a lake
_CUTS = 3
"""Times that a download goes on after a cut without having got on."""
_PART = 2**20
_MOST_WORDS = 300


def settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return where this server's lakes are. Raises LakeError where nothing says it."""
    known = os.environ if environment is None else environment
    url, token = known.get(URL, "").strip(), known.get(TOKEN, "").strip()
    if urlsplit(url).scheme not in ("http", "https") or not token:
        raise LakeError(
            "it is not known where the DataLake is",
            "The kernels of a Jupyter server with farlab[lab] know it, at a site those of the "
            f"server there; elsewhere set {URL} and {TOKEN}.",
            code="not-configured",
        )
    return Settings(url.rstrip("/") + "/", token)


class LakeClient:
    """Talks to the server that `settings` name. Belongs to one event loop; raises LakeError."""

    def __init__(self, where: Settings | None = None) -> None:
        self.settings = where or settings()
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close its connections."""
        if self._http is not None:
            await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # What there is

    async def lakes(self) -> list[dict[str, Any]]:
        """Return what is known of each lake: `name`, `title`, `kind`, `rse`, `logged_in` ..."""
        return _list(await self._json("GET", "lakes"))

    async def details(self, lake: str, path: str) -> dict[str, Any]:
        """Return `entry`, `metadata`, `parents` and `here`, the path on the server's machine."""
        return _object(await self._json("GET", _of(lake, "details"), {"path": path}))

    def entries(
        self, lake: str, path: str, limit: int | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield what is directly in an entry, read page by page; at most `limit` rows."""
        return self._rows(_of(lake, "entries"), {"path": path}, limit)

    def search(
        self, lake: str, path: str, text: str, limit: int | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield what is below a path and has a name that matches, in which `*` is anything."""
        return self._rows(_of(lake, "search"), {"path": path, "text": text}, limit)

    def find(
        self,
        lake: str,
        path: str = "",
        text: str = "",
        *,
        limit: int | None = None,
        kind: str = "",
        metadata: Mapping[str, Any] | None = None,
        bbox: Sequence[float] | None = None,
        time: str = "",
        intersects: Mapping[str, Any] | None = None,
        collections: Sequence[str] = (),
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield what matches everything that is asked for.

        `metadata` is for a Rucio, with `<`, `>`, `<=`, `>=` or `!=` before a value perhaps; area
        (degrees west, south, east, north; or GeoJSON), time and collections for a STAC catalogue.
        """
        query = {"path": path, "text": text, "kind": kind, "time": time}
        query["metadata"] = json.dumps(metadata) if metadata else ""
        query["bbox"] = ",".join(map(str, bbox)) if bbox else ""
        query["intersects"] = json.dumps(intersects) if intersects else ""
        query["collections"] = ",".join(collections)
        asked = {name: value for name, value in query.items() if value}
        return self._rows(_of(lake, "search"), asked, limit)

    async def _rows(
        self, where: str, query: dict[str, str], limit: int | None
    ) -> AsyncGenerator[dict[str, Any], None]:
        cursor, left = "", limit
        while left is None or left > 0:
            wanted = PAGE if left is None else min(PAGE, left)
            page = _object(
                await self._json("GET", where, {**query, "cursor": cursor, "limit": str(wanted)})
            )
            rows = _list(page.get("entries"))
            for row in rows:
                yield row
            left = None if left is None else left - len(rows)
            if not (cursor := str(page.get("next") or "")):
                return

    # Bytes

    async def content(
        self, lake: str, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a file's bytes from an offset on; goes on where it was after a cut."""
        end = None if length is None else offset + length
        cuts = 0
        while end is None or offset < end:
            query = {"path": path, "offset": str(offset)}
            query |= {} if end is None else {"length": str(end - offset)}
            try:
                async with self._open("GET", _of(lake, "content"), query) as answer:
                    async for part in answer.content.iter_chunked(_PART):
                        offset, cuts = offset + len(part), 0
                        yield part
                return
            except LakeError as error:
                cuts += 1
                if error.code != "cut" or cuts > _CUTS:
                    raise

    # Where data is, and where it should be

    async def replicas(self, lake: str, paths: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the replicas of each of at most 1000 files: `rse`, `state`, `pfns`, `path`."""
        answer = await self._json("POST", _of(lake, "replicas"), body={"paths": paths})
        return _object(answer)

    async def rules(self, lake: str, path: str = "") -> list[dict[str, Any]]:
        """Return the rules for an entry, or one's own."""
        return _list(await self._json("GET", _of(lake, "rules"), {"path": path}))

    async def add_rule(
        self, lake: str, path: str, rse: str = "", days: int | None = None
    ) -> dict[str, Any]:
        """Have an entry brought to an RSE, or to this server's; return the rule."""
        body = {"path": path, "rse": rse, "days": days, "comment": "farlab"}
        return _object(await self._json("POST", _of(lake, "rules"), body=body))

    async def rule(self, lake: str, identifier: str) -> dict[str, Any]:
        """Return a rule's progress, and with `reasons` why files are missing."""
        return _object(await self._json("GET", _of(lake, f"rules/{quote(identifier, safe='')}")))

    async def remove_rule(self, lake: str, identifier: str) -> None:
        """End a rule."""
        await self._json("DELETE", _of(lake, f"rules/{quote(identifier, safe='')}"))

    # What is written to a lake

    async def create(
        self, lake: str, path: str, kind: str, *, days: int | None = None, **metadata: Any
    ) -> dict[str, Any]:
        """Make a folder, a bucket, a dataset or a container; the last two end after `days`."""
        body = {"path": path, "kind": kind, "days": days, "metadata": metadata}
        return _object(await self._json("POST", _of(lake, "entries"), body=body))

    async def attach(self, lake: str, path: str, children: Sequence[str]) -> None:
        """Put DIDs into a dataset or container."""
        body = {"path": path, "children": [*children]}
        await self._json("POST", _of(lake, "attachments"), body=body)

    async def detach(self, lake: str, path: str, children: Sequence[str]) -> None:
        """Take DIDs out of a dataset or container."""
        body = {"path": path, "children": [*children]}
        await self._json("DELETE", _of(lake, "attachments"), body=body)

    async def close_did(self, lake: str, path: str) -> None:
        """Close a dataset or container: nothing can be put in any more."""
        await self._json("POST", _of(lake, "closed"), body={"path": path})

    async def set_metadata(
        self, lake: str, path: str, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Set keys of a DID, None removes one; return its details."""
        body = {"path": path, "changes": dict(changes)}
        return _object(await self._json("PATCH", _of(lake, "metadata"), body=body))

    async def set_many(self, lake: str, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Set keys of several DIDs: of all of them, or of none."""
        body = {"many": {path: dict(keys) for path, keys in changes.items()}}
        await self._json("PATCH", _of(lake, "metadata"), body=body)

    async def lifetime(self, lake: str, path: str, days: int | None) -> dict[str, Any]:
        """Let a DID end so many days from now, None: never; return its details."""
        body = {"path": path, "days": days}
        return _object(await self._json("PATCH", _of(lake, "lifetime"), body=body))

    async def link(self, lake: str, path: str, seconds: int = 86_400) -> dict[str, Any]:
        """Return `url`, with which anyone downloads a file, and when it `ends`."""
        body = {"path": path, "seconds": seconds}
        return _object(await self._json("POST", _of(lake, "link"), body=body))

    # STAC and Rucio

    async def make_item(self, lake: str, path: str, **wanted: Any) -> dict[str, Any]:
        """Make the STAC item of a dataset: `bbox`, `start`, `end`, `collection`, `properties`.

        With `to={"lake", "path"}` it is written there, and the dataset names it; returns `item`,
        `url`, `lake`, `path`.
        """
        body = {"path": path, **wanted}
        return _object(await self._json("POST", _of(lake, "item"), body=body))

    async def register(self, stac: str, path: str, **wanted: Any) -> dict[str, Any]:
        """Register a page of a collection's items: `lake`, `scope`, `cursor`, `dry`.

        Returns `container`, `datasets`, `skipped` and `next`, the following page's cursor.
        """
        body = {"path": path, **wanted}
        return _object(await self._json("POST", _of(stac, "register"), body=body))

    async def where(self, stac: str, path: str) -> dict[str, Any]:
        """Return the `dataset` of an item, and for each of its `assets` where it is."""
        return _object(await self._json("GET", _of(stac, "where"), {"path": path}))

    # Copies between lakes, which are the server's

    async def copy(
        self,
        source: str,
        destination: str,
        files: Sequence[tuple[str, str]],
        *,
        overwrite: bool = False,
        by_fts: bool = False,
    ) -> dict[str, Any]:
        """Begin to copy files and folders, pairs of paths, from a lake to a lake."""
        body = {"source": source, "destination": destination, "overwrite": overwrite}
        body |= {"files": [[*pair] for pair in files], "by_fts": by_fts}
        return _object(await self._json("POST", "transfers", body=body))

    async def transfer(self, identifier: str) -> dict[str, Any]:
        """Return how far a copy is."""
        return _object(await self._json("GET", f"transfers/{quote(identifier, safe='')}"))

    async def cancel(self, identifier: str) -> None:
        """Stop a copy."""
        where = f"transfers/{quote(identifier, safe='')}"
        await self._json("PATCH", where, body={"action": "cancel"})

    # Uploads, which are the server's

    async def uploads(self) -> list[dict[str, Any]]:
        """Return the server's uploads, the newest last."""
        return _list(await self._json("GET", "uploads"))

    async def upload(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Begin one: `lake`, `source`, `prefix`, and `folder`.

        In a Rucio, `dataset` instead of `folder`, and perhaps `days`, `metadata`, `link`, `rse`.
        """
        return _object(await self._json("POST", "uploads", body=dict(wanted)))

    async def resume(self, identifier: str) -> dict[str, Any]:
        """Go on with one that was cut or has failed."""
        return _object(await self._json("POST", f"uploads/{identifier}", body={}))

    # HTTP

    async def _json(
        self, method: str, where: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        async with self._open(method, where, query, body) as answer:
            text = await answer.read()
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise _nonsense() from None

    @asynccontextmanager
    async def _open(
        self, method: str, where: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self.settings.url + where
        begun = False
        try:
            async with self._session().request(
                method, url, params=query, json=body, allow_redirects=False
            ) as answer:
                if answer.status >= 300:
                    raise await _refusal(answer)
                begun = True
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, LakeError):
                raise
            words = (str(error) or "no answer in time")[:_MOST_WORDS]
            raise LakeError(
                f"the DataLake at {self.settings.url} does not answer: {words}",
                "Try again in a moment; if the Jupyter server was restarted, restart this kernel.",
                code="cut" if begun else "unreachable",
            ) from None

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                headers={"Authorization": f"token {self.settings.token}"},
                trust_env=not self.settings.local,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=_CONNECT, sock_read=_SILENCE
                ),
            )
        return self._http


def ask(
    work: Callable[[LakeClient], Coroutine[Any, Any, Result]], waiting: Waiting | None = None
) -> Result:
    """Ask this server's lakes something and wait for it; Ctrl-C ends the wait."""

    async def inside() -> Result:
        async with LakeClient() as client:
            return await work(client)

    return (waiting or Waiting(shared_loop())).run(inside())


async def _refusal(answer: aiohttp.ClientResponse) -> LakeError:
    try:
        said = json.loads(await answer.read())
    except ValueError:
        said = None
    if isinstance(said, dict) and said.get("code"):
        return error_of(said, answer.status)
    message = f"the Jupyter server refused it (HTTP {answer.status} {answer.reason or ''})"
    if answer.status in (301, 302, 303, 307, 308, 401, 403):
        fix = f"{TOKEN} is not accepted: restart this kernel."
        return LakeError(message, fix, code="token", status=answer.status)
    return LakeError(message, "Its log says why.", code="bad-answer", status=answer.status)


def _of(lake: str, what: str) -> str:
    return f"lakes/{quote(lake, safe='')}/{what}"


def _nonsense() -> LakeError:
    return LakeError(
        "the DataLake's answer is not understood", f"Is {URL} its address?", code="bad-answer"
    )


def _object(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise _nonsense()
    return said


def _list(said: Any) -> list[dict[str, Any]]:
    if not isinstance(said, list):
        raise _nonsense()
    return said
