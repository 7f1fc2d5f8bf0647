"""Variables and files that travel with a request for a kernel, before there is one to compare with.

What both ends run is compared at the site, before anything is read: so functions go as source text
where they can, and a value that must go as cloudpickle makes it says so.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farlab_kernels.variables import codec, files
from farlab_kernels.variables.channel import Channel
from farlab_kernels.variables.errors import (
    NoRoomError,
    RemoteFileError,
    TransferError,
    UnsendableError,
    VersionsError,
)
from farlab_kernels.variables.versions import About, Pair, about

MOST = 700_000
"""Bytes of a parcel: with the cell's code it must fit into a Secret of Kubernetes (1 MiB)."""
_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class Parcel:
    """An opened parcel. `alike`: variables that need the same Python; `files`: name to mode."""

    sender: About
    alike: list[str]
    values: list[dict[str, Any]]
    parts: list[memoryview]
    files: list[tuple[str, int, memoryview]]

    def deliver(self, channel: Channel) -> None:
        """Write the files, and set the variables through a data connection. Raises TransferError.

        The connection's greeting is still to be received.
        """
        there = About.from_wire(channel.receive()["about"])
        pair = Pair(self.sender, there)
        if self.alike and not pair.code_travels:
            names = " and ".join(self.alike)
            raise VersionsError(
                f"{names} can't be read {there.where}: there is {pair.why_no_code()}"
            )
        for name, mode, content in self.files:
            _write(Path(name), mode, content, there.where)
        if self.values:
            channel.send({"op": "set", "values": self.values}, self.parts)
            channel.receive()


def _write(path: Path, mode: int, content: memoryview, where: str) -> None:
    try:
        path.write_bytes(content)
        path.chmod(mode)
    except OSError as error:
        raise RemoteFileError(f"can't write {path} {where}: {error.strerror}") from None


def pack(values: Mapping[str, Any], paths: Sequence[str], place: str) -> bytes:
    """Pack variables and files for a kernel that is still to be started.

    Raises UnsendableError, RemoteFileError, and NoRoomError when it is too much.
    """
    here = about("here")
    packed = {name: _pack(value, name, here, place) for name, value in values.items()}
    sizes = {name: sum(one.sizes) for name, (one, _) in packed.items()}
    found = {path: files.describe(Path(path).expanduser(), "here") for path in paths}
    sizes |= {path: int(one["size"]) for path, one in found.items()}
    _check(sizes)
    header = {
        "about": here.to_wire(),
        "alike": [name for name, (_, alike) in packed.items() if alike],
        "values": [
            {"name": name, "kind": codec.kind_of(values[name]), "sizes": one.sizes}
            for name, (one, _) in packed.items()
        ],
        "files": [
            {"name": Path(path).name, "mode": one["mode"], "size": one["size"]}
            for path, one in found.items()
        ],
    }
    text = json.dumps(header).encode()
    parts = [part for one, _ in packed.values() for part in one.parts]
    contents = [Path(path).expanduser().read_bytes()[: one["size"]] for path, one in found.items()]
    whole = b"".join((_LENGTH.pack(len(text)), text, *parts, *contents))
    _check({"what describes them": len(whole)})
    return whole


def _pack(value: Any, name: str, here: About, place: str) -> tuple[codec.Packed, bool]:
    """Return a value's pickle, and whether only the same Python can read it."""
    unknown = Pair(here, replace(here, place=place, python="unknown"))
    try:
        return codec.pack(value, name, unknown), False
    except UnsendableError:
        return codec.pack(value, name, Pair(here, replace(here, place=place))), True


def _check(sizes: Mapping[str, int]) -> None:
    total = sum(sizes.values())
    if total > MOST:
        largest = max(sizes, key=lambda name: sizes[name])
        raise NoRoomError(
            f"{total / 1e6:.1f} MB are to go with the request for a kernel, most of them for "
            f"{largest}, and at most {MOST / 1e6:.1f} MB can"
        )


def unpack(data: bytes) -> Parcel:
    """Open a parcel. Raises TransferError when it is none."""
    view = memoryview(data)
    try:
        begin = _LENGTH.size
        at = begin + _LENGTH.unpack_from(view)[0]
        header = json.loads(bytes(view[begin:at]))
        sizes = codec.sizes(header["values"]) + [one["size"] for one in header["files"]]
        pieces = []
        for size in sizes:
            pieces.append(view[at : at + size])
            at += size
        count = len(sizes) - len(header["files"])
        named = [(Path(one["name"]).name, int(one["mode"]) & 0o777) for one in header["files"]]
        contents = [(*one, piece) for one, piece in zip(named, pieces[count:], strict=True)]
        sender, alike = About.from_wire(header["about"]), list(header["alike"])
        parcel = Parcel(sender, alike, header["values"], pieces[:count], contents)
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise TransferError(f"what came with the cell can't be read: {error}") from None
    if at != len(data):
        raise TransferError("what came with the cell is not whole")
    return parcel
