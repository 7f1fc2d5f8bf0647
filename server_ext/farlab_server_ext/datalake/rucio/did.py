"""Data identifiers: a scope and a name, and how they become paths and addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from ..lake import Entry, EntryKind, LakeError

KINDS: dict[str, EntryKind] = {
    "CONTAINER": "container",
    "DATASET": "dataset",
    "FILE": "file",
    "C": "container",
    "D": "dataset",
    "F": "file",
}
NAME_MAX = 250
"""Characters: Rucio's database holds no more."""


class Did(NamedTuple):
    """A data identifier."""

    scope: str
    name: str

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"

    @property
    def address(self) -> str:
        """Its part of an address, all quoted."""
        return f"{quote(self.scope, safe='')}/{quote(self.name, safe='')}"

    @property
    def json(self) -> dict[str, str]:
        """What Rucio's calls take."""
        return {"scope": self.scope, "name": self.name}


def parse(path: str) -> Did:
    """Return the DID of a path: the scope ends at the first colon, a name may hold more."""
    scope, colon, name = path.partition(":")
    if not (scope and colon and name):
        words = f'"{path[:100]}" is no DID.'
        raise LakeError("wrong-input", words, "Write it as scope:name.")
    if len(name) > NAME_MAX or "\0" in path:
        words = f"The name of the DID has more than {NAME_MAX} characters, or one that no name has."
        raise LakeError("wrong-input", words, "Choose a shorter name.")
    return Did(scope, name)


def entry_of(row: Mapping[str, Any], kind: str | None = None) -> Entry:
    """Return the entry for a row of a listing; raise LakeError if it is no such row."""
    try:
        did = Did(str(row["scope"]), str(row["name"]))
        word = KINDS[kind or row.get("did_type") or row["type"]]
        size = row.get("bytes")
        length = row.get("length")
        return Entry(
            name=did.name,
            path=str(did),
            kind=word,
            size=None if size is None else int(size),
            checksum=checksum_of(row),
            more={"scope": did.scope} | ({} if length is None else {"length": int(length)}),
        )
    except (KeyError, TypeError, ValueError):
        raise LakeError(
            "bad-answer",
            "Rucio lists something that is no DID.",
            "Try again; if it stays so, tell who runs this Rucio.",
        ) from None


def checksum_of(row: Mapping[str, Any]) -> str | None:
    """Return a row's checksum with its algorithm."""
    for algorithm in ("adler32", "md5"):
        if digits := row.get(algorithm):
            return f"{algorithm}:{digits}"
    return None
