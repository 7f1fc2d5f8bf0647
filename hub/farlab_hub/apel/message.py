"""The syntax of messages: text of `Key: value` lines with `%%` between records, or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .formats import GPU, TEXT_FORMATS, Format

Value = str | int | float


class MessageError(ValueError):
    """A text that is no message; says in which line and what to do."""

    def __init__(self, line: int, words: str, fix: str) -> None:
        super().__init__(f"line {line}: {words}; {fix}")
        self.line, self.words, self.fix = line, words, fix


@dataclass(frozen=True)
class Entry:
    """One record as it stands in a message, with the line at which it starts."""

    line: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Message:
    """A message that was read."""

    format: Format
    entries: list[Entry]


_UNSAFE = re.compile(r"[^ -~]")


def plain(text: str) -> str:
    """Return a value as one line of ASCII, which is all that SSM carries.

    Other characters become their UTF-8 bytes in the way of URLs, so that two names stay two.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    return _UNSAFE.sub(_percent, text.strip())


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode("utf-8", "replace"))


def lines_of(fields: Mapping[str, Value | None]) -> str:
    """Return one record as lines; what is not known is left out."""
    known = ((key, value) for key, value in fields.items() if value is not None and value != "")
    return "".join(f"{key}: {plain(str(value))}\n" for key, value in known)


def text_message(format_: Format, records: Iterable[str]) -> str:
    """Return a message of records that are lines already."""
    return f"{format_.header}\n" + "".join(f"{record}%%\n" for record in records)


def json_message(records: Iterable[str]) -> str:
    """Return a message of GPU records that are JSON objects already."""
    name, _, version = GPU.header.partition(": ")
    listed = ",\n".join(records)
    return f'{{"Type": "{name}", "Version": "{version}", "UsageRecords": [\n{listed}\n]}}\n'


def read_message(text: str) -> Message:
    """Return what a message holds; raise MessageError."""
    if text.lstrip()[:1] == "{":
        return _read_json(text)
    if text.lstrip()[:1] == "<":
        raise MessageError(1, "is XML", "send records of CAR and StAR with their own tools")
    lines = text.splitlines()
    return Message(_format_of(lines), list(_entries(lines)))


def _format_of(lines: list[str]) -> Format:
    header = lines[0].strip() if lines else ""
    name, colon, _ = header.partition(":")
    known = TEXT_FORMATS.get(name.strip())
    if not known or not colon:
        headers = ", ".join(format_.header for format_ in TEXT_FORMATS.values())
        raise MessageError(1, f'the header "{header[:60]}" is not known', f"write one of {headers}")
    if header != known.header:
        raise MessageError(1, f'the version in "{header[:60]}" is wrong', f"write {known.header}")
    return known


def _entries(lines: list[str]) -> Iterator[Entry]:
    fields: dict[str, str] = {}
    begun = 2
    for number, line in enumerate(lines[1:], 2):
        if line.strip() == "%%":
            if fields:
                yield Entry(begun, fields)
            fields, begun = {}, number + 1
        elif line.strip():
            key, value = _pair(number, line)
            if key in fields:
                raise MessageError(
                    number, f"{key} is there twice in one record", "keep one of them"
                )
            if not fields:
                begun = number
            fields[key] = value
    if fields:
        yield Entry(begun, fields)


def _pair(number: int, line: str) -> tuple[str, str]:
    key, colon, value = line.partition(":")
    if not colon or not key.strip():
        raise MessageError(number, f'"{line[:60]}" is no "Key: value"', "write a key and a value")
    if not line.isascii():
        raise MessageError(number, f"{key[:40]} has characters outside ASCII", "encode them")
    return key.strip(), value.strip()


def _read_json(text: str) -> Message:
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise MessageError(1, f"is no JSON: {error}", "write the message anew") from None
    name, _, version = GPU.header.partition(": ")
    if found.get("Type") != name or found.get("Version") != version:
        fix = f'write "Type": "{name}", "Version": "{version}"'
        raise MessageError(1, "the type or its version is not known", fix)
    records = found.get("UsageRecords")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise MessageError(1, "UsageRecords is no list of records", "write one object a record")
    entries = [Entry(1, {key: str(value) for key, value in one.items()}) for one in records]
    return Message(GPU, entries)
