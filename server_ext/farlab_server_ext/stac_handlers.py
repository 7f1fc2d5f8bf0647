"""STAC and Rucio joined, over HTTP: items' assets as DIDs, datasets as items, and pictures."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from .datalake.lake import LakeError
from .datalake.registry import Lakes
from .datalake.stac.areas import checked_box
from .datalake.stac.items import Coverage
from .datalake.stac.joining import Join, Target
from .datalake_handlers import LAKE, LakeHandler, mapping, text


class JoinHandler(LakeHandler):
    """What all of them share."""

    def initialize(self, lakes: Lakes, join: Join) -> None:  # type: ignore[override]
        """Take the lakes of this server, and what joins them."""
        super().initialize(lakes)
        self.join = join


class WhereHandler(JoinHandler):
    """`lakes/NAME/where`: where the assets of an item are in the lakes."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Answer with the dataset of the item at `path`, and the places of each asset."""
        self.reply(await self.join.where(name, self.argument("path")))


class RegisterHandler(JoinHandler):
    """`lakes/NAME/register`: a catalogue's assets as data identifiers."""

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Register a page of the collection at `path`, or an item, in a `scope` of a Rucio.

        With `dry`, only say what would be done. `next` of the answer is the next page's `cursor`.
        """
        body = self.body()
        to = None
        if "lake" in body or "scope" in body:
            to = text(body, "lake"), text(body, "scope")
        path, cursor = text(body, "path"), text(body, "cursor", "")
        done = await self.join.register(name, path, to, cursor, dry=body.get("dry") is True)
        self.reply(done, 201)


class ItemHandler(JoinHandler):
    """`lakes/NAME/item`: the STAC item of a dataset."""

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Make the item of the dataset at `path`; write it `to` a lake, if one is named."""
        body = self.body()
        made = await self.join.item(
            name,
            text(body, "path"),
            Coverage(_box(body), text(body, "start", ""), text(body, "end", "")),
            collection=text(body, "collection", "") or None,
            properties=mapping(body, "properties", {}),
            to=_target(body),
        )
        self.reply(made, 201)


class ThumbnailHandler(JoinHandler):
    """`lakes/NAME/thumbnail`: an item's picture."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Send the picture of the item at `path`, if it is in one of the lakes."""
        content, kind = await self.join.thumbnail(name, self.argument("path"))
        self.set_header("Content-Type", kind)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        self.set_header("Cache-Control", "private, max-age=300")
        await web.RequestHandler.finish(self, content)


def _box(body: dict[str, Any]) -> tuple[float, float, float, float] | None:
    found = body.get("bbox")
    if found is None:
        return None
    numbers = isinstance(found, list) and len(found) == 4
    if not numbers or not all(type(one) in (int, float) for one in found):
        fix = "Write [west, south, east, north]."
        raise LakeError("wrong-input", '"bbox" is no area.', fix)
    west, south, east, north = found
    return checked_box((west, south, east, north))


def _target(body: dict[str, Any]) -> Target | None:
    if body.get("to") is None:
        return None
    to = mapping(body, "to")
    return Target(text(to, "lake"), text(to, "path"))


def stac_routes(lakes: Lakes) -> list[tuple[str, type[JoinHandler], dict[str, Any]]]:
    """Return the handlers with their paths."""
    both = {"lakes": lakes, "join": Join(lakes)}
    paths: dict[str, type[JoinHandler]] = {
        rf"{LAKE}/where": WhereHandler,
        rf"{LAKE}/register": RegisterHandler,
        rf"{LAKE}/item": ItemHandler,
        rf"{LAKE}/thumbnail": ThumbnailHandler,
    }
    return [(path, handler, both) for path, handler in paths.items()]
