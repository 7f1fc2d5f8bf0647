"""The header of a classic NetCDF file (CDF-1, -2 and -5), which HDF5's libraries do not read.

As the NetCDF Classic Format Specification has it: big-endian, each name and value padded to four
bytes. Only the file's beginning is needed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

TYPES = {
    1: ("int8", "b"), 2: ("char", "c"), 3: ("int16", "h"), 4: ("int32", "i"), 5: ("float32", "f"),
    6: ("float64", "d"), 7: ("uint8", "B"), 8: ("uint16", "H"), 9: ("uint32", "I"),
    10: ("int64", "q"), 11: ("uint64", "Q"),
}  # fmt: skip
VALUES_MAX = 20
"""Values of an attribute that are shown."""
LISTED_MAX = 1_000_000
"""Entries of a list beyond which a file is damaged."""


def is_classic(data: bytes) -> bool:
    """Tell whether a file begins as these do."""
    return data[:3] == b"CDF" and data[3:4] in (b"\x01", b"\x02", b"\x05")


def lines_of(data: bytes) -> Iterator[str]:
    """Yield a line for each attribute of the file and each variable; ends where the data does."""
    try:
        yield from _Header(data).lines()
    except (struct.error, KeyError, IndexError, UnicodeDecodeError):
        return


class _Header:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 4
        self._count = ">q" if data[3] == 5 else ">i"
        self._begin = ">i" if data[3] == 1 else ">q"

    def lines(self) -> Iterator[str]:
        records = self._take(self._count)
        sizes = []
        for _ in self._list():
            name, size = self._name(), self._take(self._count)
            sizes.append((name, size or max(records, 0)))
        about = [f"{name} = {value}" for name, value in self._attributes()]
        yield from about
        if about:
            yield ""
        for _ in self._list():
            name = self._name()
            places = [self._take(self._count) for _ in range(self._limited())]
            list(self._attributes())
            kind = TYPES[self._take(">i")][0]
            self._take(self._count)
            self._take(self._begin)
            shape = ", ".join(f"{sizes[place][0]} {sizes[place][1]}" for place in places)
            yield f"{name}: {kind}, {shape or 'one value'}"

    def _attributes(self) -> Iterator[tuple[str, str]]:
        for _ in self._list():
            name, code = self._name(), TYPES[self._take(">i")][1]
            number = self._limited()
            size = struct.calcsize(f">{code}") * number
            raw = self._bytes(size)
            if code == "c":
                yield name, raw.decode(errors="replace")[:200]
            else:
                shown = struct.unpack_from(f">{min(number, VALUES_MAX)}{code}", raw)
                yield name, ", ".join(map(str, shown))

    def _list(self) -> range:
        self._take(">i")  # what it is a list of
        return range(self._limited())

    def _limited(self) -> int:
        number = self._take(self._count)
        if not 0 <= number <= LISTED_MAX:
            raise struct.error
        return number

    def _name(self) -> str:
        return self._bytes(self._limited()).decode()

    def _take(self, code: str) -> int:
        (value,) = struct.unpack_from(code, self._data, self._at)
        self._at += struct.calcsize(code)
        return int(value)

    def _bytes(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if len(found) < size:
            raise struct.error
        self._at += -(-size // 4) * 4
        return found
