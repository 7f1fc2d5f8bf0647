"""The DataLake over HTTP, below `farlab/datalake/`: each handler only translates.

Every error is JSON with `code`, `message` and `fix`, made in one place from LakeError.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.iostream import StreamClosedError

from .datalake.identities import Typed
from .datalake.lake import PAGE, Code, LakeError, Query
from .datalake.previews import preview
from .datalake.registry import Lakes
from .datalake.rucio.lake import RucioLake
from .handlers import AUTH_RESOURCE

STATUS: dict[Code, int] = {
    "unreachable": 502,
    "bad-answer": 502,
    "untrusted-certificate": 502,
    "login": 409,  # never 401 or 403: the browser is logged in to this server
    "expired": 409,
    "denied": 409,
    "not-found": 404,
    "conflict": 409,
    "full": 507,
    "damaged": 409,
    "wrong-input": 400,
    "unsupported": 501,
}
LAKE = r"/farlab/datalake/lakes/([a-z0-9-]+)"


class LakeHandler(APIHandler):
    """What all of them share."""

    auth_resource = AUTH_RESOURCE

    def initialize(self, lakes: Lakes) -> None:
        """Take the lakes of this server."""
        self.lakes = lakes

    def rucio(self, name: str) -> RucioLake:
        """Return a lake that is a Rucio."""
        lake = self.lakes.get(name)
        if not isinstance(lake, RucioLake):
            words = f"{lake.title} has neither replicas nor rules."
            raise LakeError("unsupported", words, "Ask a Rucio for them.")
        return lake

    def argument(self, name: str) -> str:
        """Return an argument of the query as it is, blanks included; empty if it is not there."""
        return str(self.get_query_argument(name, "", strip=False))

    def number(self, name: str, default: int) -> int:
        """Return a whole number of the query that is not negative."""
        text = self.argument(name) or str(default)
        if not (text.isascii() and text.isdecimal() and len(text) <= 18):
            words = f'"{name}" is no whole number.'
            raise LakeError("wrong-input", words, "Give digits only.")
        return int(text)

    def body(self) -> dict[str, Any]:
        """Return the JSON object of the request."""
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise LakeError("wrong-input", "The request is no JSON object.", "Send one.")
        return body

    def reply(self, answer: Any, status: int = 200) -> None:
        """Answer in JSON."""
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(answer))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with what a lake could not do; other errors as everywhere."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if not isinstance(error, LakeError):
            super().write_error(status_code, **kwargs)
            return
        self.set_status(STATUS[error.code])
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"code": error.code, "message": error.message, "fix": error.fix}))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Leave out of the log, with its trace, what the user is told."""
        if not isinstance(value, LakeError):
            super().log_exception(typ, value, tb)


def text(body: dict[str, Any], key: str, default: str | None = None) -> str:
    """Return a text of a request; raise LakeError if it is missing or something else."""
    value = body.get(key, default)
    if not isinstance(value, str):
        raise LakeError("wrong-input", f'"{key}" is missing, or no text.', f'Add "{key}".')
    return value


def mapping(body: dict[str, Any], key: str, default: Any = None) -> dict[str, Any]:
    """Return an object of a request."""
    value = body.get(key, default)
    if not isinstance(value, dict):
        raise LakeError("wrong-input", f'"{key}" is no object.', "Write keys and values.")
    return value


def texts(body: dict[str, Any], key: str) -> list[str]:
    """Return a list of texts of a request."""
    value = body.get(key)
    if not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        raise LakeError("wrong-input", f'"{key}" is no list of texts.', f'Add "{key}".')
    return value


class LakesHandler(LakeHandler):
    """`lakes`: which there are."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer with name, title, kind, capabilities and login of each."""
        self.reply(self.lakes.listed())


class IdentityHandler(LakeHandler):
    """`lakes/NAME/identity`: the user's login there."""

    @web.authenticated
    @authorized
    async def put(self, name: str) -> None:
        """Log in with `username`, `password` and perhaps `account`; tried at once."""
        body = self.body()
        typed = Typed(text(body, "username"), text(body, "password"), text(body, "account", ""))
        self.reply(await self.lakes.log_in(name, typed))

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Log out: what was typed and read is forgotten."""
        await self.lakes.log_out(name)
        self.set_status(204)
        self.finish()


class EntriesHandler(LakeHandler):
    """`lakes/NAME/entries`: the tree, page by page."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """List what is in `path`, from `cursor` on, at most `limit` rows."""
        lake = self.lakes.get(name)
        limit = self.number("limit", PAGE)
        page = await lake.children(self.argument("path"), self.argument("cursor"), limit)
        self.reply(asdict(page))

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Make an entry of a `kind` at a `path`: a folder, a dataset, a container.

        A dataset or container of a Rucio may have `metadata`, and end after so many `days`.
        """
        body = self.body()
        kind: Any = text(body, "kind")
        path, lake = text(body, "path"), self.lakes.get(name)
        keys = mapping(body, "metadata", {})
        days = None if body.get("days") is None else whole(body, "days", None)
        if keys or days is not None:
            entry = await self.rucio(name).create(path, kind, keys, days)
        else:
            entry = await lake.create(path, kind)
        self.reply(asdict(entry), 201)

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Remove the entry at `path`."""
        await self.lakes.get(name).remove(self.argument("path"))
        self.set_status(204)
        self.finish()


class SearchHandler(LakeHandler):
    """`lakes/NAME/search`."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Search by `text`, `path`, `kind`, `metadata` (a JSON object), `bbox` and `time`.

        In a STAC catalogue also by `intersects` (a GeoJSON geometry) and `collections`.
        """
        kind: Any = self.argument("kind")
        query = Query(
            text=self.argument("text"),
            path=self.argument("path"),
            kind=kind,
            metadata={str(key): str(value) for key, value in self._json("metadata", {}).items()},
            bbox=self._bbox(),
            intersects=self._json("intersects", None),
            collections=tuple(one for one in self.argument("collections").split(",") if one),
            time=self.argument("time"),
        )
        limit = self.number("limit", PAGE)
        page = await self.lakes.get(name).search(query, self.argument("cursor"), limit)
        self.reply(asdict(page))

    def _json(self, name: str, default: Any) -> Any:
        """Return a JSON object of the query."""
        given = self.argument(name)
        try:
            found = json.loads(given) if given else default
        except (ValueError, RecursionError):
            found = given
        if given and not isinstance(found, dict):
            words = f'"{name}" is no JSON object.'
            raise LakeError("wrong-input", words, 'Write {"key": "value"}.')
        return found

    def _bbox(self) -> tuple[float, float, float, float] | None:
        given = self.argument("bbox")
        if not given:
            return None
        try:
            west, south, east, north = map(float, given.split(","))
        except ValueError:
            words = '"bbox" is no area.'
            raise LakeError("wrong-input", words, "Write west,south,east,north.") from None
        return west, south, east, north


class DetailsHandler(LakeHandler):
    """`lakes/NAME/details`: everything about the entry at `path`."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Answer with the entry, its metadata, its parents and its path on this machine.

        `more` of a data identifier's entry has in `item` where its STAC item is, if it names one.
        """
        found = asdict(await self.lakes.get(name).details(self.argument("path")))
        if item := self.lakes.item_place(found["metadata"]):
            found["entry"]["more"] = {**found["entry"]["more"], "item": item}
        self.reply(found)


class PreviewHandler(LakeHandler):
    """`lakes/NAME/preview`: a first look at the file at `path`."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Answer with text, a table, an image or a header, or why there is none."""
        lake = self.lakes.get(name)
        details = await lake.details(self.argument("path"))
        self.reply(asdict(await preview(lake, details)))


class ContentHandler(LakeHandler):
    """`lakes/NAME/content`: a file's bytes."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Send the bytes at `path`, from `offset` on, `length` of them."""
        lake = self.lakes.get(name)
        path, offset = self.argument("path"), self.number("offset", 0)
        length = self.number("length", 0) if self.argument("length") else None
        begun = False
        try:
            async for part in lake.stream(path, offset, length):
                if not begun:
                    self._begin(path)
                    begun = True
                self.write(part)
                await self.flush()
        except StreamClosedError:
            return  # nobody reads any more
        except LakeError:
            if not begun:
                raise
            # The bytes that are missing can only be told by ending the connection.
            self.request.connection.close()  # type: ignore[union-attr]
            return
        if not begun:
            self._begin(path)
        await self.finish()

    def _begin(self, path: str) -> None:
        name = path.rpartition(":")[2].rpartition("/")[2] or "file"
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name)}")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    def finish(self, *args: Any, **kwargs: Any) -> Any:
        """Send the rest; jupyter_server's own would set the type of the content to JSON."""
        return web.RequestHandler.finish(self, *args, **kwargs)


class LinkHandler(LakeHandler):
    """`lakes/NAME/link`: a time-limited link."""

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Make a link to `path` that works for `seconds`."""
        body = self.body()
        seconds = whole(body, "seconds", 3600)
        self.reply(asdict(await self.lakes.get(name).link(text(body, "path"), seconds)), 201)


def whole(body: dict[str, Any], key: str, default: int | None) -> int:
    """Return a positive whole number of a request."""
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        words = f'"{key}" is no positive whole number.'
        raise LakeError("wrong-input", words, "Correct it, and try again.")
    return value


def routes(lakes: Lakes) -> list[tuple[str, type[LakeHandler], dict[str, Lakes]]]:
    """Return the handlers of every kind of lake with their paths."""
    paths: dict[str, type[LakeHandler]] = {
        r"/farlab/datalake/lakes": LakesHandler,
        rf"{LAKE}/identity": IdentityHandler,
        rf"{LAKE}/entries": EntriesHandler,
        rf"{LAKE}/search": SearchHandler,
        rf"{LAKE}/details": DetailsHandler,
        rf"{LAKE}/preview": PreviewHandler,
        rf"{LAKE}/content": ContentHandler,
        rf"{LAKE}/link": LinkHandler,
    }
    return [(path, handler, {"lakes": lakes}) for path, handler in paths.items()]
