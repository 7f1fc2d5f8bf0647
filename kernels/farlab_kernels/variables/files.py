"""Files between a notebook and a site: streamed, checked, and there whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from typing import Any, Self

from farlab_kernels.variables.channel import Channel, Progress
from farlab_kernels.variables.errors import CutError, RemoteFileError

_CHUNK = 4 << 20
_SUM = 32  # bytes of the checksum that follows a file


def describe(path: Path, where: str) -> dict[str, Any]:
    """Return a file's size and mode. Raises RemoteFileError when it is no file."""
    try:
        about = path.stat()
    except OSError as error:
        raise RemoteFileError(f"can't read {path} {where}: {error.strerror}") from None
    if path.is_dir():
        raise RemoteFileError(
            f"{path} {where} is a folder: pack it into one file first, with shutil.make_archive"
        )
    return {"size": about.st_size, "mode": about.st_mode & 0o777}


def send(channel: Channel, path: Path, size: int, progress: Progress | None = None) -> None:
    """Send `size` bytes of a file, and their checksum. Raises CutError, RemoteFileError."""
    digest, buffer, done = blake2b(digest_size=_SUM), memoryview(bytearray(_CHUNK)), 0
    with path.open("rb", buffering=0) as file:
        while done < size:
            part = buffer[: min(_CHUNK, size - done)]
            got = file.readinto(part)
            digest.update(part[:got])
            # If the file got shorter meanwhile, what follows does not match the checksum.
            channel.send_raw([part])
            done += part.nbytes
            if progress is not None:
                progress(done, size)
    channel.send_raw([memoryview(digest.digest())])


def receive(
    channel: Channel, path: Path, about: dict[str, Any], where: str,
    progress: Progress | None = None,
) -> None:  # fmt: skip
    """Receive a file; it appears under its name when it is whole, with the mode it had.

    Raises CutError, and RemoteFileError when it can't be written here.
    """
    size, done, digest = int(about["size"]), 0, blake2b(digest_size=_SUM)
    buffer, checksum = memoryview(bytearray(_CHUNK)), memoryview(bytearray(_SUM))
    with _NewFile(path, int(about["mode"]) & 0o777) as file:
        while done < size:
            part = buffer[: min(_CHUNK, size - done)]
            channel.fill([part])
            digest.update(part)
            file.write(part)
            done += part.nbytes
            if progress is not None:
                progress(done, size)
        channel.fill([checksum])
        if checksum != digest.digest():
            raise CutError(f"{path.name} was changed while it was sent, or damaged on its way")
        try:
            file.finish()
        except OSError as error:
            raise RemoteFileError(f"can't write {path} {where}: {error.strerror}") from None


class _NewFile:
    """A file that gets its name when it is finished. Its first error is kept until then."""

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._mode = mode
        self._file: FileIO | None = None
        self._error: OSError | None = None

    def __enter__(self) -> Self:
        try:
            self._file = FileIO(self._part, "x", opener=_private)
        except OSError as error:
            self._error = error
        return self

    def write(self, data: memoryview) -> None:
        """Write all of it. Does nothing behind an error: the rest is only received."""
        try:
            while data and self._file is not None and self._error is None:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._error = error

    def finish(self) -> None:
        """Give the file its name. Raises the first error there was."""
        if self._error is not None or self._file is None:
            raise self._error or OSError("closed")
        os.fchmod(self._file.fileno(), self._mode)
        self._part.replace(self._path)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            with suppress(OSError):
                self._part.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
