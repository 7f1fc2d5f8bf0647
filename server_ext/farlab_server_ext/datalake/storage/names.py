"""Paths of storage lakes: names with slashes between them, never a way out of the lake's folder."""

from __future__ import annotations

from urllib.parse import quote

from ..lake import LakeError

LONGEST = 255  # bytes of one name; no file system takes more


def checked(path: str) -> str:
    """Return a path as it is, if every name in it is one; the empty path is the root."""
    for name in path.split("/") if path else []:
        reason = _problem(name)
        if reason:
            raise LakeError("wrong-input", f"{path[:300]!r} {reason}.", "Choose another name.")
    return path


def _problem(name: str) -> str:
    if name == "":
        return "has an empty name in it"
    if name in (".", ".."):
        return "leads out of its folder"
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        return "has a control character in it"
    if len(name.encode(errors="surrogatepass")) > LONGEST:
        return f"has a name of more than {LONGEST} bytes in it"
    return ""


def quoted(path: str) -> str:
    """Return a path as it stands in a URL; only its slashes stay."""
    return quote(path, safe="/", errors="strict")


def name_of(path: str) -> str:
    """Return the last name of a path."""
    return path.rpartition("/")[2]


def folder_of(path: str) -> str:
    """Return the path without its last name."""
    return path.rpartition("/")[0]
