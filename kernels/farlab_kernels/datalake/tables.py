"""What `%datalake` prints."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from farlab_kernels.datalake.paths import split
from farlab_kernels.notebook.columns import table

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size_words(count: float) -> str:
    """Return a number of bytes as people read it."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def lakes(known: Iterable[Mapping[str, Any]]) -> str:
    """Return a table of lakes."""
    rows = [("lake", "", "kind", "here", "")]
    rows += [
        (str(lake["name"]), str(lake["title"]), str(lake["kind"]), str(lake.get("rse") or ""),
         "" if lake["logged_in"] else "log in first, in the DataLake's panel")
        for lake in known
    ]  # fmt: skip
    return table(rows) if len(rows) > 1 else "this server has no lakes: the catalogue names them"


def entries(found: Iterable[Mapping[str, Any]]) -> str:
    """Return a table of what is in a place; a folder's name ends with a slash."""
    rows = [_entry(row) for row in found]
    return table(rows) if rows else "there is nothing in it"


def _entry(row: Mapping[str, Any]) -> tuple[str, ...]:
    directory = row["type"] == "directory"
    size = "" if directory or row.get("size") is None else size_words(row["size"])
    mark = "/" if row["kind"] in ("folder", "bucket") else ""
    return str(row["kind"]), size.rjust(10), split(str(row["name"])).path + mark


def metadata(found: Mapping[str, Any]) -> str:
    """Return a table of keys and values, in the order in which they are told."""
    rows = [(str(key), str(value)) for key, value in found.items()]
    return table(rows) if rows else "there is no metadata"


def rules(found: Iterable[Mapping[str, Any]]) -> str:
    """Return a table of rules."""
    rows = [("rule", "data", "at", "state", "there", "until")]
    rows += [
        (str(rule["id"]), str(rule["did"]), str(rule["rse"]), str(rule["state"]),
         f"{rule['ok']} of {rule['ok'] + rule['replicating'] + rule['stuck']}",
         _day(rule.get("ends")))
        for rule in found
    ]  # fmt: skip
    return table(rows) if len(rows) > 1 else "there are no rules"


def _day(moment: float | None) -> str:
    return "for good" if moment is None else time.strftime("%Y-%m-%d", time.localtime(moment))
