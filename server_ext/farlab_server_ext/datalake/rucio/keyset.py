"""Pages of names from a Rucio, which has neither an offset nor an order.

A Rucio can be asked for at most so many names after a name, but says nothing about which of them
it takes: often the next ones, by the database's index; sometimes, in a small table, any. So a page
is made of two questions: the first finds a name that may end it, the second asks for all names
between the page before and that one. Fewer than asked for means that they are all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Protocol, TypeVar

from ..lake import LakeError


class Named(Protocol):
    """A row with a name."""

    @property
    def name(self) -> str:
        """The name by which pages are cut."""
        ...


Row = TypeVar("Row", bound=Named)
Fetch = Callable[[str, str, int], Awaitable[list[Row]]]
"""Returns at most so many rows with names after the first text and up to the second, if any."""

ALIKE_MAX = 20_000
"""Rows that are fetched at once where Rucio can't be told a name between them."""

_DATES = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%fZ",
    "%Y-%m-%dT%H:%M:%S.%fZ",
    "%a, %d %b %Y %H:%M:%S UTC",
)
_CHANGED = ("true", "TRUE", "false", "FALSE", "*", "%")


async def page(fetch: Fetch[Row], after: str, limit: int) -> tuple[list[Row], str | None]:
    """Return rows after a name, in order, and the name that the next page is after, if any.

    They are at most `limit`, but for names that Rucio can't tell from each other in a comparison.
    """
    rows = await fetch(after, "", limit)
    if len(rows) < limit:
        return _sorted(rows), None
    # In the index's order, whatever that is, the last one is the right one.
    bound = nearer = _last(rows, "")
    guess = True
    while nearer is not None:
        bound = nearer
        rows = await fetch(after, bound, limit + 1)
        if len(rows) <= limit:
            return _sorted(rows), bound
        # Between two bounds a database is likely to use its index, whose rows come in order; but
        # if they do by chance, that would lead no further: it is believed every other time.
        nearer = _last(rows[:-1], bound) if guess and _in_order(rows) else _quarter(rows, bound)
        guess = not guess
    return await _all_alike(fetch, after, _beyond(rows) or bound or "")


def boundary(name: str) -> str | None:
    """Return a text, the name or right after it, that Rucio compares as it is; None if none is.

    It reads numbers, dates and other Python literals in names as such, `true` as `True`, and takes
    no `*` or `%` in a comparison.
    """
    if any(sign in name for sign in _CHANGED):
        return None
    return name if _stays_text(name) else name + "!"


def _stays_text(text: str) -> bool:
    for date in _DATES:
        try:
            datetime.strptime(text, date)
        except ValueError:
            continue
        return False
    if any(sign in text for sign in "+-*/"):
        return True
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return True
    return False


def _in_order(rows: Sequence[Row]) -> bool:
    return all(row.name < other.name for row, other in pairwise(rows))


def _last(rows: Sequence[Row], bound: str) -> str | None:
    """Return the last name among rows that Rucio can be told and that is not the bound."""
    names = (boundary(row.name) for row in reversed(rows))
    return next((name for name in names if name and name != bound), None)


def _quarter(rows: Sequence[Row], bound: str) -> str | None:
    """Return a name in the first quarter of rows that are too many: few questions are left."""
    names = sorted(name for row in rows if (name := boundary(row.name)) and name != bound)
    return names[len(names) // 4] if names else None


def _beyond(rows: Sequence[Row]) -> str | None:
    """Return a text that comes after all names among rows that Rucio can't be told; if any."""
    alike = [row.name for row in rows if boundary(row.name) is None]
    if not alike:
        return None
    last = max(alike)
    cut = min(at for sign in _CHANGED if (at := last.find(sign)) >= 0)
    return last[:cut] + chr(ord(last[cut]) + 1)


async def _all_alike(fetch: Fetch[Row], after: str, upto: str) -> tuple[list[Row], str]:
    """Return all rows up to a text, however many they are."""
    rows = await fetch(after, upto, ALIKE_MAX)
    if len(rows) >= ALIKE_MAX:
        words = f'Rucio can\'t list the many names up to "{upto[:60]}" page by page.'
        raise LakeError("unsupported", words, "Search for a longer part of the name.")
    return _sorted(rows), upto


def _sorted(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.name)
