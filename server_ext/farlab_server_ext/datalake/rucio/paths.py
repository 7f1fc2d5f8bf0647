"""From a replica to a path on this machine, which is never outside the RSE's prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Here:
    """The RSE whose files are on this machine, from the catalogue."""

    rse: str
    prefix: str | None = None
    """Where they are; None: where the RSE's FILE protocol says."""


@dataclass(frozen=True)
class Protocol:
    """One of an RSE's doors."""

    scheme: str
    hostname: str
    port: int
    prefix: str


def protocols_of(rse: Mapping[str, Any]) -> tuple[Protocol, ...]:
    """Return the doors of an RSE, as Rucio describes it."""
    return tuple(
        Protocol(
            str(one.get("scheme", "")),
            str(one.get("hostname", "")),
            int(one.get("port") or 0),
            str(one.get("prefix", "")),
        )
        for one in rse.get("protocols") or ()
    )


def folder_of(here: Here, protocols: tuple[Protocol, ...]) -> Path | None:
    """Return the folder on this machine that an RSE's files are in; None if they are not here."""
    if here.prefix:
        return Path(here.prefix)
    return next((Path(one.prefix) for one in protocols if one.scheme == "file"), None)


def relative(pfn: str, protocols: tuple[Protocol, ...]) -> str | None:
    """Return what comes after the prefix of the door that a physical name begins with.

    None where it begins with none of them, or where it would lead out of the prefix.
    """
    scheme, mark, rest = pfn.partition("://")
    if not mark:
        return None
    host, slash, path = rest.partition("/")
    if scheme == "srm" and "?SFN=" in path:
        path = path.partition("?SFN=")[2].lstrip("/")
    found = ""
    for one in protocols:
        prefix = one.prefix.strip("/") + "/"
        there = one.scheme == scheme and urlsplit(f"//{host}").hostname in (one.hostname, None)
        inside = path.lstrip("/").startswith(prefix) or prefix == "/"
        if there and inside and len(prefix) > len(found):
            found = prefix
    if not (slash and found):
        return None
    inner = path.lstrip("/").removeprefix(found) if found != "/" else path.lstrip("/")
    return inner if is_inside(inner) else None


def is_inside(inner: str) -> bool:
    """Return whether a path below a prefix stays below it, and can be a file's."""
    steps = inner.split("/")
    return bool(inner.strip("/")) and ".." not in steps and "\0" not in inner


def path_here(pfn: str, here: Here, protocols: tuple[Protocol, ...]) -> Path | None:
    """Return where a replica's file is on this machine; None if nowhere, or not to be trusted."""
    folder, inner = folder_of(here, protocols), relative(pfn, protocols)
    if folder is None or inner is None:
        return None
    return folder / inner.lstrip("/")
