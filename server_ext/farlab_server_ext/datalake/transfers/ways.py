"""How files get from one lake to another: by the doors themselves, or through this server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol

from ..lake import CONTAINERS, PAGE_MAX, Entry, Lake, LakeError
from ..storage.names import checked
from ..storage.webdav import WebdavLake
from .model import File, Way
from .stream import StreamedCopy
from .tpc import Outcome, Progress, ThirdPartyCopy

FILES_MAX = 10_000
"""Files of one transfer."""


class Carrier(Protocol):
    """Copies files from one lake to another."""

    async def run(self, file: File, *, overwrite: bool, progress: Progress) -> Outcome:
        """Copy a file, and return what has become of it; raise nothing but cancellation."""
        ...

    async def discard(self, file: File) -> None:
        """Remove what a stopped copy has left."""
        ...


class Wanted(NamedTuple):
    """One file to carry, with what the source says of it."""

    source: str
    destination: str
    entry: Entry


def way_of(source: Lake, destination: Lake) -> Way:
    """Return how files are carried; raise LakeError if they can't be."""
    if isinstance(destination, WebdavLake) and source.kind in ("webdav", "s3"):
        return "copy"
    if destination.kind in ("webdav", "s3"):
        return "stream"
    words = f"{destination.title} takes no copies of other lakes' files."
    fix = "Upload them." if destination.kind == "rucio" else "Choose a door or an object store."
    raise LakeError("unsupported", words, fix)


def carrier(way: Way, source: Lake, destination: Any, settled: float) -> Carrier:
    """Return what carries files in a way that `way_of` has chosen."""
    if way == "stream":
        return StreamedCopy(source, destination)
    return ThirdPartyCopy(source, destination, settled)


async def expanded(source: Lake, pairs: Sequence[tuple[str, str]]) -> list[Wanted]:
    """Return the files of an order: those of a folder or dataset keep their paths below it."""
    found: list[Wanted] = []
    for path, target in pairs:
        entry = (await source.details(path)).entry
        if entry.kind not in CONTAINERS:
            found.append(Wanted(path, checked(target), entry))
            continue
        async with aclosing(_below(source, entry, target.strip("/"))) as below:
            async for one in below:
                found.append(one)
                if len(found) > FILES_MAX:
                    words = f"These are more than {FILES_MAX} files."
                    raise LakeError("wrong-input", words, "Copy some of its folders at a time.")
    if not found:
        raise LakeError("wrong-input", "There is no file in it.", "Choose another folder.")
    return found


async def _below(lake: Lake, folder: Entry, target: str) -> AsyncGenerator[Wanted, None]:
    """Yield a folder's files, and those of its folders."""
    cursor: str | None = ""
    while cursor is not None:
        page = await lake.children(folder.path, cursor, PAGE_MAX)
        for entry in page.entries:
            inner = checked(f"{target}/{entry.name}" if target else entry.name)
            if entry.kind not in CONTAINERS:
                yield Wanted(entry.path, inner, entry)
                continue
            # A container's datasets are no folders: their files' names have their own paths.
            deeper = target if folder.kind == "container" else inner
            async with aclosing(_below(lake, entry, deeper)) as below:
                async for one in below:
                    yield one
        cursor = page.next
