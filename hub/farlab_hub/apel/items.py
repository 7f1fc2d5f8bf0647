"""What goes into messages, one record at a time; and what can't, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .formats import Format
from .message import Value, lines_of, plain
from .validator import check_fields


@dataclass(frozen=True, slots=True)
class Item:
    """A record that can be sent. A later one with the same key replaces it at the receiver."""

    format: Format
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is not sent: which, and what is wrong with it."""

    key: str
    field: str
    value: str
    words: str
    fix: str

    def __str__(self) -> str:
        shown = f' "{self.value[:60]}"' if self.value else ""
        return f"record {self.key}: {self.field}{shown} {self.words}; {self.fix}"


def item_of(format_: Format, key: str, fields: Mapping[str, Value | None]) -> Item | Refusal:
    """Return a record as lines, or the first thing that is wrong with it."""
    known = {
        name: plain(str(value))
        for name, value in fields.items()
        if value is not None and value != ""
    }
    for field, value, words, fix in check_fields(format_, known):
        return Refusal(key, field, value, words, fix)
    return Item(format_, key, lines_of(known))
