"""Records as files: CSV that a spreadsheet can't be tricked with, and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import BadRequestError
from .records import UsageRecord
from .writing import FIELDS

TIMES = ("submitted", "started", "ended", "heartbeat")
COLUMNS = (*FIELDS, "wait_s", "wall_s")
# A spreadsheet takes what begins like this for a formula, and runs it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_head() -> str:
    """Return the first line."""
    return _lines([COLUMNS])


def csv_lines(records: Iterable[UsageRecord]) -> str:
    """Return records as lines of CSV; times as 2026-11-26T14:05:09Z, groups with ; in between."""
    return _lines([_cell(name, record) for name in COLUMNS] for record in records)


def _lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _cell(name: str, record: UsageRecord) -> str:
    value: Any = getattr(record, name)
    if value is None:
        return ""
    if name in TIMES:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if name == "groups":
        value = ";".join(value)
    return defused(value) if isinstance(value, str) else str(value)


def defused(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


class ParquetFile:
    """A Parquet file that grows by pages of records."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as arrow  # noqa: PLC0415 - big, and not everybody's
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError:
            msg = "this service can't write Parquet: pyarrow is missing"
            fix = "Ask the hub's operator to pip install 'farlab[parquet]', or take format=csv."
            raise BadRequestError(msg, fix, code="no-parquet") from None
        self._arrow = arrow
        self._schema = arrow.schema([(name, _kind(arrow, name)) for name in COLUMNS])
        self._writer = parquet.ParquetWriter(path, self._schema)

    def add(self, records: Sequence[UsageRecord]) -> None:
        """Add a page as a row group."""
        columns = {name: [_value(name, record) for record in records] for name in COLUMNS}
        self._writer.write_table(self._arrow.table(columns, schema=self._schema))

    def close(self) -> None:
        """Write the end of the file."""
        self._writer.close()


def _kind(arrow: Any, name: str) -> Any:
    if name in TIMES:
        return arrow.timestamp("ms", tz="UTC")
    numbers = ("cores", "gpus", "cpu_s", "energy_kwh", "co2e_g", "wait_s", "wall_s")
    known = {
        **dict.fromkeys(numbers, arrow.float64()),
        **dict.fromkeys(("memory", "peak_memory", "exit_code"), arrow.int64()),
        "groups": arrow.list_(arrow.string()),
        "final": arrow.bool_(),
    }
    return known.get(name, arrow.string())


def _value(name: str, record: UsageRecord) -> Any:
    value = getattr(record, name)
    if name in TIMES and value is not None:
        return datetime.fromtimestamp(value, UTC)
    return list(value) if name == "groups" else value
