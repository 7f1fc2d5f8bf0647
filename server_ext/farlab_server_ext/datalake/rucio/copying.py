"""Copy a file into an RSE's folder: summed on the way, resumed after a cut, never over another.

The bytes go to a name of their own beside the final one, which gets them in one step.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..lake import Code, LakeError

CHUNK = 4 * 2**20
"""Bytes read and written at once."""


@dataclass(frozen=True)
class Sums:
    """What Rucio registers of a file's bytes."""

    size: int
    adler32: str
    md5: str


class Sum:
    """Checksums of bytes that come in parts."""

    def __init__(self) -> None:
        self._adler, self._md5, self._size = 1, hashlib.md5(usedforsecurity=False), 0

    def add(self, part: bytes) -> None:
        """Take some more bytes in."""
        self._adler = zlib.adler32(part, self._adler)
        self._md5.update(part)
        self._size += len(part)

    @property
    def sums(self) -> Sums:
        """The sums of all bytes so far."""
        return Sums(self._size, f"{self._adler:08x}", self._md5.hexdigest())


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The user has cancelled."""


def copy(
    source: Path,
    part: Path,
    *,
    link: bool = False,
    stop: threading.Event | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Sums:
    """Make `part` a copy of `source`, or with `link` a second name of it; return its checksums.

    What an earlier, cut copy has left there is compared and kept. Raise LakeError, and leave the
    part for the next try unless there is no room for it.
    """
    stop = stop or threading.Event()
    if stop.is_set():
        raise Stopped
    try:
        before = source.stat()
        part.parent.mkdir(parents=True, exist_ok=True)
        linked = link and _linked(source, part)
        with source.open("rb") as read:
            sums = (
                _read(read, None, stop, progress) if linked else _into(read, part, stop, progress)
            )
        after = source.stat()
    except OSError as error:
        raise _failure(error, source, part) from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        part.unlink(missing_ok=True)
        words = f"{source} has changed while it was copied."
        raise LakeError("conflict", words, "Wait until it is complete, and try again.")
    return sums


def place(part: Path, final: Path, sums: Sums) -> None:
    """Give a complete part its final name; raise LakeError if another file has it.

    The same bytes there are what an earlier try has left: they are taken for ours.
    """
    try:
        try:
            os.link(part, final)
        except FileExistsError:
            if final.stat().st_size != sums.size or sums_of(final) != sums:
                raise
        except PermissionError:  # some file systems know no links
            if final.exists():
                raise FileExistsError from None
            part.rename(final)
        part.unlink(missing_ok=True)
    except FileExistsError:
        part.unlink(missing_ok=True)
        words = f"There is another file at {final} already, which Rucio does not know."
        raise LakeError("conflict", words, "Choose another name, or tell the site.") from None
    except OSError as error:
        raise _failure(error, part, final) from None


def sums_of(path: Path) -> Sums:
    """Return a file's checksums."""
    with path.open("rb") as file:
        return _read(file, None, threading.Event(), lambda _: None)


def _linked(source: Path, part: Path) -> bool:
    """Return whether the part is now a second name of the source: on one file system only."""
    part.unlink(missing_ok=True)
    with suppress(OSError):
        os.link(source, part, follow_symlinks=True)
        return True
    return False


def _into(
    read: BinaryIO, part: Path, stop: threading.Event, progress: Callable[[int], None]
) -> Sums:
    part.touch(mode=0o644)
    with part.open("r+b") as write:
        sums = _read(read, write, stop, progress)
        write.truncate(sums.size)
        write.flush()
        os.fsync(write.fileno())
    return sums


def _read(
    read: BinaryIO, write: BinaryIO | None, stop: threading.Event, progress: Callable[[int], None]
) -> Sums:
    total = Sum()
    fresh = False
    while data := read.read(CHUNK):
        if stop.is_set():
            raise Stopped
        total.add(data)
        if write is not None:
            at = write.tell()
            # After the first difference, nothing that an earlier try left is worth reading.
            if fresh or write.read(len(data)) != data:
                fresh = True
                write.seek(at)
                write.write(data)
        progress(len(data))
    return total.sums


def _failure(error: OSError, source: Path, target: Path) -> LakeError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with suppress(OSError):
            target.unlink(missing_ok=True)
        words = f"There is no space left at {target.parent}."
        return LakeError("full", words, "Ask the site for more, or upload less.")
    code: Code = (
        "denied" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else "not-found"
    )
    where = error.filename or source
    words = f"{where} can't be used: {error.strerror}."
    return LakeError(code, words, "Check that it is there, and that you may use it.")
