"""Listings that are read as far as the screen needs, and go on where they were.

WebDAV knows no pages: a server sends the whole folder. A listing's connection is kept for a while,
so that the next page costs no more than its own rows; later, the listing begins anew and skips.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from itertools import count

from ..lake import Entry, LakeError, Page

KEPT = 8
KEPT_FOR = 30.0  # seconds

Rows = AsyncGenerator[Entry, None]


@dataclass
class _Listing:
    path: str
    rows: Rows
    position: int
    ahead: Entry | None
    end: asyncio.TimerHandle


class Listings:
    """The listings of one lake that someone is in the middle of."""

    def __init__(self, begin: Callable[[str], Rows]) -> None:
        self._begin = begin
        self._kept: dict[str, _Listing] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def page(self, path: str, cursor: str, limit: int) -> Page:
        """Return the rows after the cursor, and the cursor for those after them."""
        rows, position, ahead = await self._resume(path, cursor)
        entries = [ahead] if ahead else []
        keep = False
        try:
            for _ in count():
                entry = await anext(rows, None)
                if entry is None:
                    return Page(tuple(entries))
                if len(entries) == limit:
                    keep = True
                    return Page(tuple(entries), self._keep(path, rows, position + limit, entry))
                entries.append(entry)
        finally:
            if not keep:
                await rows.aclose()
        raise AssertionError

    async def close(self) -> None:
        """End all of them."""
        for mark in [*self._kept]:
            self._drop(mark)
        await asyncio.gather(*self._closing)

    async def _resume(self, path: str, cursor: str) -> tuple[Rows, int, Entry | None]:
        """Return rows from the cursor on, its position, and a row that was read already."""
        number, _, mark = cursor.partition(".")
        if cursor and not number.isdecimal():
            raise LakeError("wrong-input", "That is no page.", "Begin with the first one.")
        position = int(number or 0)
        kept = self._kept.get(mark)
        if kept and (kept.path, kept.position) == (path, position):
            del self._kept[mark]
            kept.end.cancel()
            return kept.rows, position, kept.ahead
        rows = self._begin(path)
        for _ in range(position):
            if await anext(rows, None) is None:
                break
        return rows, position, None

    def _keep(self, path: str, rows: Rows, position: int, ahead: Entry) -> str:
        while len(self._kept) >= KEPT:
            self._drop(next(iter(self._kept)))
        mark = secrets.token_hex(8)
        end = asyncio.get_running_loop().call_later(KEPT_FOR, self._drop, mark)
        self._kept[mark] = _Listing(path, rows, position, ahead, end)
        return f"{position}.{mark}"

    def _drop(self, mark: str) -> None:
        kept = self._kept.pop(mark, None)
        if kept:
            kept.end.cancel()
            task = asyncio.get_running_loop().create_task(kept.rows.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
