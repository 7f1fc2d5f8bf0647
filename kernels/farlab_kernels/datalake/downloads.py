"""Downloads of files and folders, which go on where they were cut, and are checked at the end.

What is on this machine is copied from its path; the rest comes through the Jupyter server.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from farlab_kernels.datalake.client import LakeClient
from farlab_kernels.datalake.errors import LakeError
from farlab_kernels.datalake.listing import Listing, Row
from farlab_kernels.datalake.paths import Place, split

AT_ONCE = 4
ASKED = 500
"""Files of which is asked at once where they are."""
_PART = 2**20
Moved = Callable[[int], object]
"""Is told how many more bytes are there."""


async def files_below(listing: Listing, place: Place) -> AsyncIterator[Row]:
    """Yield the files of a place, those of its folders and datasets too, each once."""
    known, left = {str(place)}, [place]
    while left:
        for row in await listing.children(left.pop()):
            name = str(row["name"])
            if row["type"] == "file":
                if name not in known or row["name"] == str(place):
                    known.add(name)
                    yield row
            elif name not in known:
                known.add(name)
                left.append(split(name))


def target_of(row: Row, base: Place, folder: Path) -> Path:
    """Return where a file goes: as below `base`, else by its whole name in its lake.

    Never outside the folder. Raises LakeError.
    """
    place = split(str(row["name"]))
    inner = place.path.removeprefix(f"{base.path}/")
    if inner == place.path and ":" in base.path:
        inner = place.path.partition(":")[2] or place.path
    steps = [step for step in inner.split("/") if step not in ("", ".")]
    if not steps or ".." in steps or "\0" in inner:
        words = f"{row['name']} has a name that leads out of the folder"
        raise LakeError(words, "Read it through farlab:// instead.", code="wrong-input")
    return folder.joinpath(*steps)


async def download(
    client: LakeClient, row: Row, target: str | Path, moved: Moved | None = None
) -> Path:
    """Bring a file to a path. Afterwards all its bytes are there, or a `.part` to go on with."""
    final = Path(target)
    part = final.with_name(f"{final.name}.part")
    size = row.get("size")
    await asyncio.to_thread(part.parent.mkdir, parents=True, exist_ok=True)
    begun = await asyncio.to_thread(_size, part)
    if size is None or begun > size:
        begun = 0
    if moved is not None and begun:
        moved(begun)
    tell = moved or (lambda _: None)
    if not await _copied_here(row, part, begun, tell):
        await _fetched(client, row, part, begun, tell)
    await asyncio.to_thread(_check, part, row)
    await asyncio.to_thread(part.replace, final)
    return final


async def with_paths(client: LakeClient, rows: Sequence[Row]) -> list[Row]:
    """Add to files of a Rucio, all of one lake, where they are on this machine; in one question."""
    by_path = {split(str(row["name"])).path: row for row in rows}
    lake = split(str(rows[0]["name"])).lake
    found = await client.replicas(lake, list(by_path))
    here = {
        path: next((one["path"] for one in replicas if one.get("path")), None)
        for path, replicas in found.items()
    }
    return [{**row, "here": here.get(path)} for path, row in by_path.items()]


async def _fetched(client: LakeClient, row: Row, part: Path, begun: int, moved: Moved) -> None:
    """Get the bytes from an offset on through the server."""
    with await asyncio.to_thread(part.open, "r+b" if begun else "wb") as file:
        file.seek(begun)
        async with aclosing(client.content(*split(str(row["name"])), begun)) as parts:
            async for data in parts:
                await asyncio.to_thread(file.write, data)
                moved(len(data))
        file.truncate()


async def _copied_here(row: Row, part: Path, begun: int, moved: Moved) -> bool:
    """Copy the bytes from an offset on from this machine; tell whether that can be."""
    if not row.get("here"):
        return False
    loop, stop = asyncio.get_running_loop(), threading.Event()

    def tell(size: int) -> None:
        loop.call_soon_threadsafe(moved, size)

    try:
        return await asyncio.to_thread(_copied, Path(row["here"]), part, begun, stop, tell)
    finally:
        stop.set()  # the thread of a download that was interrupted


def _copied(here: Path, part: Path, begun: int, stop: threading.Event, moved: Moved) -> bool:
    try:
        source = here.open("rb")
    except OSError:
        return False
    with source, part.open("r+b" if begun else "wb") as file:
        source.seek(begun)
        file.seek(begun)
        while not stop.is_set() and (data := source.read(_PART)):
            file.write(data)
            moved(len(data))
        file.truncate()
    return True


async def is_here(row: Row, target: Path) -> bool:
    """Tell whether a file is here already. Raises LakeError if another one has its place."""
    if not await asyncio.to_thread(target.exists):
        return False
    if await asyncio.to_thread(_is_same, target, row):
        return True
    words = f"{target} is there already, and is not {row['name']}"
    raise LakeError(words, "Move it away, or choose another place.", code="conflict")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_same(path: Path, row: Row) -> bool:
    """Tell whether bytes are what the lake knows of a file: its size, and its checksum if any."""
    algorithm, _, digits = str(row.get("checksum") or "").partition(":")
    if not path.is_file() or row.get("size") not in (None, path.stat().st_size):
        return False
    if algorithm not in ("adler32", "md5", "sha256"):
        return True
    return _sum(path, algorithm) == digits.lower()


def _check(part: Path, row: Row) -> None:
    """Raise LakeError, and drop the bytes, if they are not the file's."""
    if not _is_same(part, row):
        part.unlink()
        words = f"what came of {row['name']} is not what is registered"
        raise LakeError(words, "Try again; if it stays so, tell the site.", code="damaged")


def _sum(path: Path, algorithm: str) -> str:
    value, digest = 1, None if algorithm == "adler32" else hashlib.new(algorithm)
    with path.open("rb") as file:
        while data := file.read(_PART):
            if digest is None:
                value = zlib.adler32(data, value)
            else:
                digest.update(data)
    return f"{value:08x}" if digest is None else digest.hexdigest()
