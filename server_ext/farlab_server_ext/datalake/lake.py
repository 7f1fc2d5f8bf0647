"""What a lake is to the panel, the magics and the file system: one small interface.

A lake is a Rucio, a storage (WebDAV, S3) or a STAC catalogue. Each has entries in a tree, read page
by page, so that a million of them cost no more than the rows on the screen. `path` is a lake's own
name for an entry and means nothing to others; the empty path is the root. What a lake can't do is
not among its `capabilities`, and raises `LakeError` with the code `unsupported`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

LakeKind = Literal["rucio", "webdav", "s3", "stac"]
EntryKind = Literal[
    "scope",
    "container",
    "dataset",
    "file",
    "folder",
    "bucket",
    "catalogue",
    "collection",
    "item",
    "asset",
]
Capability = Literal[
    "search",  # find entries by a pattern of their names
    "search-metadata",  # ... and by their metadata
    "search-area",  # ... and by area and time
    "read",  # an entry's bytes
    "link",  # a time-limited link that works without an account
    "write",  # put bytes, make folders
    "remove",
    "replicas",  # where an entry's bytes are
    "rules",  # have them brought to a site
    "metadata",  # read and write key-value pairs
    "attach",  # make datasets and containers, put entries into them
]
Code = Literal[
    "unreachable",  # no connection, or no answer in time
    "bad-answer",  # an answer that makes no sense
    "untrusted-certificate",
    "login",  # no identity yet: log in first
    "expired",  # the identity has ended: log in again
    "denied",  # this identity may not
    "not-found",
    "conflict",  # it exists already, or has changed meanwhile
    "full",  # no space or quota left
    "damaged",  # the bytes are not what was registered
    "wrong-input",  # what was asked for makes no sense
    "unsupported",  # this lake can't do that
]

CONTAINERS: frozenset[EntryKind] = frozenset(
    {"scope", "container", "dataset", "folder", "bucket", "catalogue", "collection", "item"}
)
"""The kinds of entries that have children."""

PAGE = 100
"""Rows of a page, where nobody asks for another number."""
PAGE_MAX = 1000
"""The most rows of a page."""


class LakeError(Exception):
    """Something that a lake could not do: what happened, and what the user can do about it."""

    def __init__(self, code: Code, message: str, fix: str) -> None:
        super().__init__(f"{message} {fix}")
        self.code: Code = code
        self.message = message
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: what a listing knows of an entry without asking for each. None is unknown."""

    name: str
    """What the user reads; a name in its folder or scope, not a whole path."""
    path: str
    """How its lake finds it again."""
    kind: EntryKind
    size: int | None = None
    """Bytes."""
    modified: float | None = None
    """Epoch seconds."""
    checksum: str | None = None
    """The algorithm and the digits: `adler32:0a1b2c3d`, `md5:...`, `sha256:...`."""
    state: str | None = None
    """A word such as `open`, `available`, `lost`; which ones, the kind of lake says."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """What only this kind of lake has, as JSON: an item's bounding box, a DID's scope."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and where the next ones begin."""

    entries: tuple[Entry, ...]
    next: str | None = None
    """The cursor for the following page; None after the last."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. Empty parts ask for nothing."""

    text: str = ""
    """A pattern with `*`; without one, names that begin with it."""
    path: str = ""
    """Where: below this entry."""
    kind: Literal["", "container", "dataset", "file", "collection"] = ""
    """What kind of container counts; empty: every one."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Key to value, all must match; a value may begin with one of `>`, `<`, `>=`, `<=`, `!=`."""
    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees."""
    intersects: Mapping[str, Any] | None = None
    """A GeoJSON geometry that footprints have to touch, instead of a box."""
    collections: tuple[str, ...] = ()
    """Ids of collections of which items have to be."""
    time: str = ""
    """A moment or an interval as STAC writes it: `2024-01-01T00:00:00Z/..`."""


@dataclass(frozen=True, slots=True)
class Details:
    """Everything about one entry."""

    entry: Entry
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the lake says of it, as JSON."""
    parents: tuple[Entry, ...] = ()
    here: str | None = None
    """A path in this machine's file system where it can be opened; None: it has none."""
    editable: tuple[str, ...] = ()
    """The keys of its metadata that users have given, and may change."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link that works without an account."""

    url: str
    ends: float
    """Epoch seconds."""


class Lake(ABC):
    """One lake with one user's identity. Every method may raise LakeError."""

    kind: LakeKind
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, name: str, title: str) -> None:
        self.name = name
        """Its name in the catalogue, unique there."""
        self.title = title
        """What the user reads."""

    async def prepare(self) -> None:
        """Learn what it can do, where it must be asked; its `capabilities` are right afterwards."""
        return

    @abstractmethod
    async def children(self, path: str, cursor: str = "", limit: int = PAGE) -> Page:
        """Return what is directly in an entry, at most `limit` rows from the cursor on."""

    @abstractmethod
    async def details(self, path: str) -> Details:
        """Return everything about one entry."""

    async def search(self, query: Query, cursor: str = "", limit: int = PAGE) -> Page:
        """Return what matches, at most `limit` rows from the cursor on."""
        raise self.unsupported("search")

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return some of an entry's bytes, for previews: all from the offset on without length."""
        return b"".join([part async for part in self.stream(path, offset, length)])

    def stream(self, path: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yield an entry's bytes in parts, for downloads of any size."""
        raise self.unsupported("read")

    async def write(self, path: str, parts: AsyncIterator[bytes], size: int | None = None) -> Entry:
        """Put bytes at a path: afterwards all of them are there, or nothing is.

        Raise `conflict` if there is an entry already. `size` is the number of bytes, if known.
        """
        raise self.unsupported("write")

    async def create(self, path: str, kind: EntryKind) -> Entry:
        """Make an empty folder, dataset or container."""
        raise self.unsupported("write")

    async def remove(self, path: str) -> None:
        """Remove an entry; a folder must be empty."""
        raise self.unsupported("remove")

    async def link(self, path: str, seconds: int) -> Link:
        """Return a link to an entry's bytes that works for so long."""
        raise self.unsupported("link")

    async def close(self) -> None:
        """Close its connections."""
        return

    def unsupported(self, what: Capability) -> LakeError:
        """Return the error for something that this lake can't do."""
        words = f"{self.title} can't do that ({what})."
        return LakeError("unsupported", words, "Use another lake for it.")


def page_size(limit: int) -> int:
    """Return a wanted number of rows, brought between 1 and PAGE_MAX."""
    return max(1, min(limit, PAGE_MAX))
