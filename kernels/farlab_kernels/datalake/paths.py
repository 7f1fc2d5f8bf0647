"""Names for what is in a lake: `farlab://lake/scope:name`, or shorter where it is clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from farlab_kernels.datalake.errors import LakeError, LakeNotFoundError
from farlab_kernels.wishes import near

PROTOCOL = "farlab"


class Place(NamedTuple):
    """A lake's name, and the lake's own path; an empty path is the lake's root."""

    lake: str
    path: str

    def __str__(self) -> str:
        return f"{self.lake}/{self.path}" if self.path else self.lake

    @property
    def url(self) -> str:
        """How fsspec finds it."""
        return f"{PROTOCOL}://{self}"


def strip(text: str) -> str:
    """Return a name without `farlab://` and without a slash at its end."""
    return text.removeprefix(f"{PROTOCOL}://").strip("/")


def split(text: str) -> Place:
    """Return the place of a whole name."""
    lake, _, path = strip(text).partition("/")
    return Place(lake, path)


def choose(lakes: Sequence[Mapping[str, Any]], text: str) -> Place:
    """Return the place of a name that may leave out the lake: this site's, or the only one.

    Raises LakeError where that is not clear.
    """
    names = [str(lake["name"]) for lake in lakes]
    place = split(text)
    if place.lake in names or not place.lake:
        return place
    if text.startswith(f"{PROTOCOL}://") or not (lake := _own(lakes)):
        words = f"there is no lake {place.lake}{near(place.lake, names)}"
        raise LakeNotFoundError(words, "`%datalake` lists them.", code="not-found")
    return Place(lake, strip(text))


def dataset(lakes: Sequence[Mapping[str, Any]], text: str) -> Place:
    """Return the place of a name that has to be a DID. Raises LakeError."""
    place = choose(lakes, text)
    scope, colon, name = place.path.partition(":")
    if not (scope and colon and name):
        raise LakeError(f"{text!r} is no DID", "Write it as scope:name.", code="wrong-input")
    return place


def _own(lakes: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of this site's lake, or of the only one; empty if there is neither."""
    here = [lake for lake in lakes if lake.get("rse")] or lakes
    return str(here[0]["name"]) if len(here) == 1 else ""
