"""Values as pickle protocol 5, with large buffers out of band: they are never copied.

https://peps.python.org/pep-0574/. Functions and classes of a notebook go as cloudpickle makes them
where both ends run the same minor version of Python; otherwise see `source`.
"""

from __future__ import annotations

import importlib
import mmap
import pickle
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pickle import PickleBuffer
from types import FunctionType, ModuleType
from typing import Any

from farlab_kernels.keeper import memory
from farlab_kernels.variables import source, tensors
from farlab_kernels.variables.errors import NoRoomError, UnsendableError, VersionsError
from farlab_kernels.variables.versions import Pair

try:
    import cloudpickle
except ImportError:  # an image without it: functions travel as source
    cloudpickle = None

_IN_BAND = 16 * 1024  # bytes below which a buffer is copied into the pickle: cheaper than apart
_MAPPED = 1 << 20  # bytes from which memory comes from the system, untouched until it is filled

Bytes = bytes | bytearray | memoryview


@dataclass
class Packed:
    """A value on its way: the pieces of its pickle, and the buffers beside it."""

    pickle: list[Bytes] = field(default_factory=list)
    buffers: list[memoryview] = field(default_factory=list)

    @property
    def parts(self) -> list[Bytes]:
        """Everything, in the order in which it is sent."""
        return [*self.pickle, *self.buffers]

    @property
    def sizes(self) -> list[int]:
        """The pickle's size and then each buffer's, in bytes."""
        return [sum(map(len, self.pickle)), *(buffer.nbytes for buffer in self.buffers)]

    # What pickle writes to. It hands over large objects themselves, not copies.

    def write(self, data: Bytes) -> None:
        """Take the next piece of the pickle."""
        self.pickle.append(data)

    def take(self, buffer: PickleBuffer) -> bool:
        """Take a buffer; tell pickle whether to put it into the pickle instead."""
        raw = buffer.raw()
        if raw.nbytes < _IN_BAND:
            return True
        self.buffers.append(raw)
        return False


def pack(value: Any, name: str, pair: Pair) -> Packed:
    """Pickle a value for the other end. Raises UnsendableError, which names it and its type."""
    package = type(value).__module__.partition(".")[0]
    if pair.lacks(package):
        raise VersionsError(
            f"{_describe(name, value)} can't be sent: there is {pair.compare(package)}; "
            f"install {package} there, or send it as something else"
        )
    packed = Packed()
    kind: Any = _CodePickler if pair.code_travels and cloudpickle else _PlainPickler
    pickler = kind(packed, 5, buffer_callback=packed.take)
    try:
        pickler.dump(value)
    except source.NoSourceError as error:
        raise VersionsError(
            f"{_describe(name, value)} can't be sent: there is {pair.why_no_code()}, so code "
            f"travels as source text, and {error}; define it in a cell that runs at the other end"
        ) from None
    except Exception as error:
        raise UnsendableError(
            f"{_describe(name, value)} can't be sent: {type(error).__name__}: {error}"
        ) from error
    return packed


def pack_all(values: dict[str, Any], pair: Pair) -> tuple[dict[str, Any], list[Bytes]]:
    """Pickle values by name: a message's header and its parts. Raises UnsendableError."""
    packed = {name: pack(value, name, pair) for name, value in values.items()}
    described = [
        {"name": name, "kind": kind_of(values[name]), "sizes": one.sizes}
        for name, one in packed.items()
    ]
    return {"values": described}, [part for one in packed.values() for part in one.parts]


def unpack_all(
    described: list[dict[str, Any]], parts: Sequence[Bytes], pair: Pair
) -> dict[str, Any]:
    """Make the values again that `pack_all` pickled. Raises UnsendableError."""
    values, at = {}, 0
    for value in described:
        end = at + len(value["sizes"])
        values[value["name"]] = unpack(parts[at:end], value["name"], value["kind"], pair)
        at = end
    return values


def sizes(described: list[dict[str, Any]]) -> list[int]:
    """Return the sizes of all parts behind a header of `pack_all`."""
    return [size for value in described for size in value["sizes"]]


def _describe(name: str, value: Any) -> str:
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{name} ({module}{kind.__qualname__})"


def kind_of(value: Any) -> str:
    """Return the name of a value's type, for messages."""
    return _describe("", value)[2:-1]


def unpack(parts: Sequence[Bytes], name: str, kind: str, pair: Pair) -> Any:
    """Make the value again from its pickle and buffers. Raises UnsendableError."""
    try:
        return _Loader(_Pickle(parts[0]), buffers=parts[1:]).load()
    except Exception as error:  # whatever a value's own code raises
        raise _explain(error, name, kind, pair) from error


def _explain(error: Exception, name: str, kind: str, pair: Pair) -> UnsendableError:
    """Say why a value can't be read, with the versions that may be why."""
    begin = f"{name} ({kind}) can't be read {pair.receiver.where}"
    because = f"{begin}: {type(error).__name__}: {error}"
    missing = str(getattr(error, "name", None) or kind)
    package = missing.partition(".")[0]
    if pair.differ(package):
        return VersionsError(f"{because}; there is {pair.compare(package)}")
    if isinstance(error, ModuleNotFoundError):
        fix = "install it, or copy its file to there"
        return VersionsError(f"{begin}: there is no module {missing} there; {fix}")
    if pair.sender.minor != pair.receiver.minor:
        return VersionsError(f"{because}; there is {pair.compare('Python')}")
    return UnsendableError(because)


def rooms(sizes: Sequence[int]) -> list[memoryview]:
    """Return memory for parts of these sizes, to be filled. Raises NoRoomError.

    What the system would promise, and then end the job for, counts as no room.
    """
    total = sum(sizes)
    free = memory.free() if total > _MAPPED else None
    if free is not None and total > free:
        raise NoRoomError(f"{memory.words(total)} are needed and {memory.words(free)} are free")
    try:
        return [_room(size) for size in sizes]
    except (MemoryError, OSError, OverflowError, ValueError):
        raise NoRoomError(f"the system does not give {memory.words(total)}") from None


def _room(size: int) -> memoryview:
    if size < _MAPPED:
        return memoryview(bytearray(size))
    area = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a system without them
            area.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(area)


class _Pickle:
    """A pickle in memory, as the file that pickle.Unpickler reads, without a copy of the whole."""

    def __init__(self, data: Bytes) -> None:
        self._view = memoryview(data)
        self._at = 0

    def read(self, size: int) -> bytes:
        at, self._at = self._at, self._at + size
        return bytes(self._view[at : self._at])

    def readinto(self, buffer: memoryview) -> int:
        part = self._view[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def readline(self) -> bytes:
        end = bytes(self._view[self._at : self._at + 4096]).find(b"\n")
        return self.read(end + 1 if end >= 0 else 4096)


class _Loader(pickle.Unpickler):
    """Reads arrays of NumPy 1 and 2, whichever is here."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith(("numpy.core", "numpy._core")):
            numpy = importlib.import_module("numpy")
            old = int(numpy.__version__.partition(".")[0]) < 2
            tail = module.partition("core")[2]
            module = ("numpy.core" if old else "numpy._core") + tail
        return super().find_class(module, name)


class _PlainPickler(pickle.Pickler):
    """For an end with another Python: what has code in it goes as source, or not at all."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, FunctionType):
            return NotImplemented if _importable(value) else source.reduce(value)
        if isinstance(value, type) and not _importable(value):
            raise source.NoSourceError(f"the class {value.__qualname__} is defined in the notebook")
        if isinstance(value, ModuleType):
            return importlib.import_module, (value.__name__,)
        return tensors.reduce(value)


def _importable(value: Any) -> bool:
    """Tell whether a function or a class is found under its name in a module."""
    found: Any = sys.modules.get(value.__module__)
    if value.__module__ == "__main__":
        return False
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


if cloudpickle is not None:

    class _CodePickler(cloudpickle.Pickler):  # type: ignore[misc]
        """For an end with the same Python: code goes as it is."""

        def reducer_override(self, value: Any) -> Any:
            reduced = tensors.reduce(value)
            return super().reducer_override(value) if reduced is NotImplemented else reduced
