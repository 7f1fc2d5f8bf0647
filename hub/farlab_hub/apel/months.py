"""Calendar months in UTC, in which APEL counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Self


@dataclass(frozen=True, order=True)
class Month:
    """One calendar month; as text 2026-10."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the month that a text such as 2026-10 names; raise ValueError."""
        if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", text, re.ASCII):
            raise ValueError(f'"{text[:40]}" is no month; write it as 2026-10')
        return cls(int(text[:4]), int(text[5:]))

    @classmethod
    def of(cls, time: float) -> Self:
        """Return the month in which a time is."""
        day = datetime.fromtimestamp(time, UTC)
        return cls(day.year, day.month)

    @cached_property
    def start(self) -> int:
        """Its first second."""
        return int(datetime(self.year, self.number, 1, tzinfo=UTC).timestamp())

    @cached_property
    def end(self) -> int:
        """The first second after it."""
        return self.next().start

    def next(self) -> Month:
        """Return the month after it."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def previous(self) -> Month:
        """Return the month before it."""
        return Month(self.year - (self.number == 1), (self.number - 2) % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year}-{self.number:02}"


def months_between(first: Month, last: Month) -> Iterator[Month]:
    """Yield the months from one to another, both included."""
    while first <= last:
        yield first
        first = first.next()
