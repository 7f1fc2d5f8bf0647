"""What a kernel at a site tells of its RSE. Runs there, with nothing but Python's own library."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

VARIABLE = "FARLAB_DATALAKE"
"""The environment variable in which the spawner says it, for servers and kernels alike."""


def here() -> dict[str, str] | None:
    """Return `lake`, `rse` and perhaps `prefix` of the site; None where it has no RSE."""
    try:
        found = json.loads(os.environ.get(VARIABLE) or "{}").get("here")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, dict) and {"lake", "rse"} <= found.keys() else None


def find(files: Sequence[tuple[Sequence[str], int | None]], prefix: str | None) -> list[str | None]:
    """Return where files are, each given by its physical names and its size; None: not found."""
    return [_find(pfns, size, prefix) for pfns, size in files]


def _find(pfns: Sequence[str], size: int | None, prefix: str | None) -> str | None:
    for path in (path for pfn in pfns for path in _places(pfn, prefix)):
        try:
            if path.is_file() and size in (None, path.stat().st_size) and os.access(path, os.R_OK):
                return str(path)
        except (OSError, ValueError):
            continue
    return None


def _places(pfn: str, prefix: str | None) -> Iterator[Path]:
    """Yield where a file may be: as the FILE protocol says, or below the catalogue's prefix.

    What of a door's address is the door's own prefix is not known here: so it is looked for, the
    longest rest first. Never outside the prefix.
    """
    address = urlsplit(pfn)
    for text in dict.fromkeys((pfn.partition("://")[2].partition("/")[2], unquote(address.path))):
        steps = [step for step in text.split("/") if step]
        if ".." in steps or not steps:
            continue
        if prefix is None:
            if address.scheme == "file":
                yield Path("/", *steps)
            continue
        yield from (Path(prefix, *steps[start:]) for start in range(len(steps)))
