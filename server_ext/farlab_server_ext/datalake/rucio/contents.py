"""Pages of what Rucio tells all at once: a dataset's files, what has some metadata.

There is neither a limit nor an offset: its answer is read as far as the page goes, and then
dropped. A later page is found by its number of rows and by the row before it. Some more rows are
kept for the next pages, at most `AHEAD_MAX`, so that a scroll to the end of a large dataset reads
it a few times and not once a page.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass

from ..lake import Entry, LakeError, Page
from .client import RucioClient
from .did import Did, entry_of

AHEAD_MAX = 5_000
KEPT = 4
"""Listings of which rows are kept."""
FRESH = 60.0
"""Seconds that they are kept."""


@dataclass(frozen=True)
class _Block:
    """Rows from a number on; `complete` where the last one is the dataset's last."""

    start: int
    before: str  # the mark of the row before the first
    rows: tuple[Entry, ...]
    complete: bool
    read: float

    def has(self, start: int, count: int, mark: str) -> bool:
        """Return whether so many rows from there on, and the one before, are among them."""
        at = start - self.start
        if at < 0 or time.monotonic() - self.read > FRESH:
            return False
        known = mark == (_mark(self.rows[at - 1]) if 0 < at <= len(self.rows) else self.before)
        return known and (at + count < len(self.rows) or self.complete)


@dataclass(frozen=True)
class Whole:
    """A listing that Rucio tells all at once."""

    title: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    kind: str | None = None
    """The type of rows that do not tell theirs."""


def content_of(did: Did) -> Whole:
    """Return the listing of what is in a dataset or container."""
    return Whole(str(did), f"/dids/{did.address}/dids")


class Contents:
    """Such listings of one Rucio, as one identity sees them."""

    def __init__(self, client: RucioClient) -> None:
        self._client = client
        self._blocks: OrderedDict[Whole, _Block] = OrderedDict()

    async def page(self, whole: Whole, cursor: str, limit: int) -> Page:
        """Return rows of a listing from the cursor on."""
        start, mark = _place(cursor)
        block = self._blocks.get(whole)
        if start == 0 or block is None or not block.has(start, limit, mark):
            ahead = min(start, AHEAD_MAX)
            block = await self._read(whole, start, mark, limit + ahead)
            self._keep(whole, block)
        rows = block.rows[start - block.start :][:limit]
        end = start + len(rows)
        last = block.complete and end == block.start + len(block.rows)
        return Page(rows, None if last or not rows else f"{end}.{_mark(rows[-1])}")

    def forget(self, did: Did) -> None:
        """Read a dataset anew the next time: it has just been changed."""
        self._blocks.pop(content_of(did), None)

    async def _read(self, whole: Whole, start: int, mark: str, count: int) -> _Block:
        rows: list[Entry] = []
        number, complete = 0, True
        async with aclosing(self._client.lines(whole.path, dict(whole.query))) as lines:
            async for line in lines:
                # What is skipped is not even parsed, but for the row that tells the place.
                if number == start - 1 and _mark(self._entry(whole, line)) != mark:
                    break
                if number >= start:
                    if len(rows) == count:
                        complete = False
                        break
                    rows.append(self._entry(whole, line))
                number += 1
        if number < start:
            words = f"{whole.title} has changed while it was listed."
            raise LakeError("conflict", words, "Reload the listing.")
        return _Block(start, mark, tuple(rows), complete, time.monotonic())

    def _entry(self, whole: Whole, line: bytes) -> Entry:
        return entry_of(self._client.row(line), whole.kind)

    def _keep(self, whole: Whole, block: _Block) -> None:
        self._blocks[whole] = block
        self._blocks.move_to_end(whole)
        while len(self._blocks) > KEPT:
            self._blocks.popitem(last=False)


def _mark(entry: Entry) -> str:
    return hashlib.blake2b(entry.path.encode(), digest_size=6).hexdigest()


def _place(cursor: str) -> tuple[int, str]:
    if not cursor:
        return 0, ""
    number, _, mark = cursor.partition(".")
    if not (number.isascii() and number.isdecimal() and len(number) < 12):
        words = "This is no place in a listing."
        raise LakeError("wrong-input", words, "Begin at its first page.")
    return int(number), mark
