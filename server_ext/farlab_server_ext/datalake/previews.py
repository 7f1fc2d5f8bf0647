"""A first look at a file: text, tables, images, and the headers of scientific formats.

Only so much is read as is shown. What a format's library is needed for and not installed, or what
can't be read, is said in words: a preview never fails.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import importlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from .lake import Details, Lake, LakeError
from .netcdf_header import is_classic, lines_of

TEXT_MAX = 64 * 2**10
IMAGE_MAX = 8 * 2**20
ROWS_MAX = 100
COLUMNS_MAX = 100
VARIABLES_MAX = 500

IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
"""No SVG: it can hold scripts."""
TABLES = {".csv": ",", ".tsv": "\t"}
CLASSIC = frozenset({".nc", ".cdf"})
HEADER_MAX = 2**20
"""Bytes of a file that are read for its header."""
HDF5 = frozenset({".nc", ".nc4", ".h5", ".hdf5", ".he5"})


@dataclass(frozen=True)
class Preview:
    """What to show; only the fields of its kind are set."""

    kind: Literal["text", "table", "image", "header", "none"]
    text: str = ""
    """Text, a header in words, or why there is no preview."""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    media_type: str = ""
    data: str = ""
    """An image's bytes in base 64."""
    whole: bool = True
    """Whether it is all of the file."""
    more: dict[str, Any] = field(default_factory=dict)


async def preview(lake: Lake, details: Details) -> Preview:
    """Return a first look at an entry."""
    entry = details.entry
    if entry.kind not in ("file", "asset"):
        return Preview("none", "Only files have a preview.")
    suffix = PurePosixPath(entry.name.lower()).suffix
    if suffix in IMAGES:
        return await _image(lake, details, IMAGES[suffix])
    if suffix == ".parquet":
        return await _local(details, "pyarrow.parquet", "pyarrow", _parquet)
    if suffix in CLASSIC and (classic := await _classic(lake, entry.path)):
        return classic
    if suffix in HDF5:
        return await _local(details, "h5py", "h5py", _hdf5)
    return await _text(lake, details, suffix)


async def _text(lake: Lake, details: Details, suffix: str) -> Preview:
    data = await lake.read(details.entry.path, 0, TEXT_MAX + 1)
    whole = len(data) <= TEXT_MAX
    text = _decoded(data[:TEXT_MAX])
    if text is None:
        return Preview("none", "This is a binary file of a kind that has no preview.")
    if suffix in TABLES:
        return _table(text, TABLES[suffix], whole)
    return Preview("text", _pretty(text, suffix, whole), whole=whole)


async def _image(lake: Lake, details: Details, media_type: str) -> Preview:
    size = details.entry.size
    if size is not None and size > IMAGE_MAX:
        return Preview("none", f"This image has more than {IMAGE_MAX // 2**20} MB.")
    data = await lake.read(details.entry.path, 0, IMAGE_MAX + 1)
    if len(data) > IMAGE_MAX:
        return Preview("none", f"This image has more than {IMAGE_MAX // 2**20} MB.")
    return Preview("image", media_type=media_type, data=base64.b64encode(data).decode())


def _decoded(data: bytes) -> str | None:
    """Return bytes as text; None if they are none. The last sign may be cut."""
    if b"\0" in data:
        return None
    for cut in range(4):
        try:
            return data[: len(data) - cut].decode()
        except UnicodeDecodeError:
            continue
    return None


def _pretty(text: str, suffix: str, whole: bool) -> str:
    """Return JSON with its structure visible, such as the metadata of a Zarr array."""
    if whole and suffix in (".json", ".zarray", ".zattrs", ".zgroup", ".zmetadata", ".geojson"):
        try:
            return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except ValueError:
            pass
    return text


def _table(text: str, delimiter: str, whole: bool) -> Preview:
    if not whole:
        text = text.rpartition("\n")[0]
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return Preview("text", text, whole=whole)
    if not lines:
        return Preview("text", text, whole=whole)
    rows = tuple(tuple(line[:COLUMNS_MAX]) for line in lines[1 : ROWS_MAX + 1])
    complete = whole and len(lines) <= ROWS_MAX + 1
    return Preview("table", columns=tuple(lines[0][:COLUMNS_MAX]), rows=rows, whole=complete)


async def _local(
    details: Details, module: str, package: str, look: Callable[[Any, Path], Preview]
) -> Preview:
    """Let a library look at a file on this machine."""
    if details.here is None:
        words = "Its header can be shown once the file is on this machine: make it available here."
        return Preview("none", words)
    try:
        library = await asyncio.to_thread(importlib.import_module, module)
    except ImportError:
        return Preview("none", f"For a preview, install {package} in this server's environment.")
    try:
        return await asyncio.to_thread(look, library, Path(details.here))
    except Exception as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        return Preview("none", f"{package} can't read this file: {words}")


def _parquet(parquet: Any, path: Path) -> Preview:
    file = parquet.ParquetFile(path)
    names = tuple(str(name) for name in file.schema_arrow.names[:COLUMNS_MAX])
    batch = next(file.iter_batches(ROWS_MAX, columns=list(names)), None)
    table = batch.to_pylist() if batch is not None else []
    rows = tuple(tuple(str(row[name]) for name in names) for row in table)
    count = file.metadata.num_rows
    types = {str(one.name): str(one.type) for one in file.schema_arrow}
    more = {"rows": count, "types": types}
    return Preview("table", columns=names, rows=rows, whole=count <= len(rows), more=more)


async def _classic(lake: Lake, path: str) -> Preview | None:
    """Return the header of a classic NetCDF file; None if it is none, or is not at hand."""
    try:
        data = await lake.read(path, 0, HEADER_MAX)
    except LakeError:
        return None  # what HDF5's look at it says is true of both
    if not is_classic(data):
        return None
    lines = [*islice(lines_of(data), VARIABLES_MAX)]
    return Preview("header", "\n".join(lines), whole=len(lines) < VARIABLES_MAX)


def _hdf5(h5py: Any, path: Path) -> Preview:
    lines: list[str] = []

    def visit(name: str, item: Any) -> bool | None:
        if hasattr(item, "shape"):
            shape = " x ".join(map(str, item.shape)) or "one value"
            lines.append(f"{name}: {item.dtype}, {shape}")
        return True if len(lines) >= VARIABLES_MAX else None

    with h5py.File(path, "r") as file:
        about = [f"{key} = {str(value)[:200]}" for key, value in list(file.attrs.items())[:100]]
        file.visititems(visit)
    text = "\n".join([*about, "", *lines] if about else lines)
    return Preview("header", text, whole=len(lines) < VARIABLES_MAX)
