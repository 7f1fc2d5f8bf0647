"""Transfers between lakes, over HTTP: `farlab/datalake/transfers`, and what a lake can do."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

from .datalake.lake import LakeError
from .datalake.registry import Lakes
from .datalake.transfers.transfers import Order, Transfers
from .datalake_handlers import LAKE, LakeHandler, text

TRANSFERS = r"/farlab/datalake/transfers"
ONE = rf"{TRANSFERS}/([^/]+)"
FILES_MAX = 10_000
SETTLE = 0.5
"""Seconds between two events, however much changes."""
ALIVE = 15.0
"""Seconds until an event says that nothing has changed: a proxy may end what is silent."""


class TransferHandler(LakeHandler):
    """What all of them share."""

    def initialize(  # type: ignore[override]
        self, lakes: Lakes, transfers: Transfers
    ) -> None:
        """Take the lakes and the transfers of this server."""
        super().initialize(lakes)
        self.transfers = transfers


class TransfersHandler(TransferHandler):
    """`transfers`."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List them, rules among them, the newest first."""
        self.reply(await self.transfers.listed())

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Carry `files`, pairs of paths, from lake `source` to lake `destination`."""
        body = self.body()
        order = Order(
            text(body, "source"),
            text(body, "destination"),
            _pairs(body),
            text(body, "title", ""),
            overwrite=_flag(body, "overwrite", default=False),
            renew=_flag(body, "renew", default=True),
            by_fts=_flag(body, "by_fts", default=False),
        )
        self.reply((await self.transfers.submit(order)).as_json(), 201)


class TransferOneHandler(TransferHandler):
    """`transfers/ID`."""

    @web.authenticated
    @authorized
    async def get(self, identifier: str) -> None:
        """Answer with a transfer and its files."""
        transfer = self.transfers.get(identifier)
        self.reply({**transfer.as_json(), "files": [asdict(file) for file in transfer.files]})

    @web.authenticated
    @authorized
    async def patch(self, identifier: str) -> None:
        """Do `action`: `cancel` it, or `retry` what has not arrived, with the tokens of now."""
        action = text(self.body(), "action")
        if action == "cancel":
            await self.transfers.cancel(identifier)
        elif action == "retry":
            await self.transfers.retry(identifier)
        else:
            raise LakeError("wrong-input", "That is no action.", "Send cancel or retry.")
        self.set_status(204)
        self.finish()

    @web.authenticated
    @authorized
    async def delete(self, identifier: str) -> None:
        """Take it from the list, when it has ended."""
        self.transfers.forget(identifier)
        self.set_status(204)
        self.finish()


class TransferEventsHandler(TransferHandler):
    """`transfers/events`: server-sent events, each the whole list."""

    _told: asyncio.Task[None] | None = None

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send the list now, and whenever something has changed."""
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")
        self._told = asyncio.create_task(self._tell())
        with suppress(asyncio.CancelledError, StreamClosedError):
            await self._told

    def on_connection_close(self) -> None:
        """Stop telling a browser that went away."""
        if self._told is not None:
            self._told.cancel()

    async def _tell(self) -> None:
        async with aclosing(self.transfers.changes()) as changes:
            await anext(changes)
            while True:
                self.write(f"data: {json.dumps(await self.transfers.listed())}\n\n")
                await self.flush()
                await asyncio.sleep(SETTLE)
                await self._next(changes)

    async def _next(self, changes: Any) -> None:
        """Wait for a change, with a sign of life now and then."""
        change = asyncio.ensure_future(anext(changes))
        try:
            while not (await asyncio.wait([change], timeout=ALIVE))[0]:
                self.write(": nothing has changed\n\n")
                await self.flush()
            change.result()
        finally:
            change.cancel()

    def finish(self, *args: Any, **kwargs: Any) -> Any:
        """Send the rest; jupyter_server's own would set the type of the content to JSON."""
        return web.RequestHandler.finish(self, *args, **kwargs)


class LakeAbilitiesHandler(LakeHandler):
    """`lakes/NAME`: what is known of one lake, after it was asked what it can do."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Answer as `lakes` does, for one of them."""
        self.reply(await self.lakes.prepared(name))


def _flag(body: dict[str, Any], key: str, *, default: bool) -> bool:
    value = body.get(key, default)
    if not isinstance(value, bool):
        raise LakeError("wrong-input", f'"{key}" is neither true nor false.', "Send one of them.")
    return value


def _pairs(body: dict[str, Any]) -> list[tuple[str, str]]:
    files = body.get("files")
    pairs = isinstance(files, list) and len(files) <= FILES_MAX
    if not pairs or not all(_is_pair(one) for one in files):  # type: ignore[union-attr]
        words = f'"files" is no list of at most {FILES_MAX} pairs.'
        raise LakeError("wrong-input", words, 'Send [["from", "to"], ...].')
    return [(one[0], one[1]) for one in files]  # type: ignore[union-attr]


def _is_pair(one: object) -> bool:
    return isinstance(one, list) and len(one) == 2 and all(isinstance(part, str) for part in one)


def transfer_routes(lakes: Lakes, transfers: Transfers) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return the handlers with their paths."""
    both = {"lakes": lakes, "transfers": transfers}
    return [
        (LAKE, LakeAbilitiesHandler, {"lakes": lakes}),
        (TRANSFERS, TransfersHandler, both),
        (rf"{TRANSFERS}/events", TransferEventsHandler, both),
        (ONE, TransferOneHandler, both),
    ]
