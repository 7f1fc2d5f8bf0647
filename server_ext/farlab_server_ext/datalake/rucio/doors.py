"""The WebDAV doors of a Rucio's RSEs, as Rucio describes them, opened with the user's login.

The hosts are those that this Rucio names: whoever trusts a Rucio with a token trusts the doors of
its RSEs, as all of Rucio's clients do. A token goes nowhere without TLS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..endpoint import Endpoint
from ..lake import LakeError
from ..storage.webdav import WebdavLake
from .paths import protocols_of
from .replicas import Replicas

SCHEMES = ("https", "davs")

OpenEndpoint = Callable[[str, str], Endpoint]
"""Opens what has a title and an address, with the user's login."""


@dataclass(frozen=True)
class Door:
    """Where an RSE takes files over HTTP."""

    scheme: str
    hostname: str
    port: int
    prefix: str
    """With no slash at its end."""

    @property
    def url(self) -> str:
        """The address of the folder that all its files are below."""
        port = f":{self.port}" if self.port else ""
        return f"https://{self.hostname}{port}{quote(self.prefix)}"

    @property
    def start(self) -> str:
        """What the physical names of its files begin with, as Rucio writes them."""
        return f"{self.scheme}://{self.hostname}:{self.port}{self.prefix}"


def door_of(rse: Mapping[str, Any]) -> Door | None:
    """Return the door that an RSE prefers for writing from elsewhere; None if it has none."""
    found = [
        (priority, protocol)
        for told, protocol in zip(rse.get("protocols") or (), protocols_of(rse), strict=True)
        if protocol.scheme in SCHEMES and (priority := _priority(told))
    ]
    if not found:
        return None
    _, best = min(found, key=lambda one: one[0])
    prefix = "/" + best.prefix.strip("/") if best.prefix.strip("/") else ""
    return Door(best.scheme, best.hostname, best.port, prefix)


def _priority(protocol: Mapping[str, Any]) -> int:
    """Return how much later than others a door is to be used for writing; 0: never."""
    wan = (protocol.get("domains") or {}).get("wan") or {}
    return int(wan.get("write") or 0)


class Doors:
    """Opens doors when they are first needed, each once, and closes them."""

    def __init__(self, title: str, replicas: Replicas, opens: OpenEndpoint | None) -> None:
        self._title, self._replicas, self._opens = title, replicas, opens
        self._lakes: dict[Door, WebdavLake] = {}

    async def to_write(self, rse: str) -> tuple[dict[str, Any], Door, WebdavLake]:
        """Return what Rucio says of an RSE, its door, and what it leads to; or raise LakeError."""
        told = await self._replicas.rse(rse)
        door = door_of(told)
        if door is None:
            schemes = ", ".join(sorted({one.scheme for one in protocols_of(told)})) or "nothing"
            words = f"{rse} has no WebDAV door with TLS that takes files (it has {schemes})."
            fix = "Upload to this site's RSE, and add a rule that brings the dataset there."
            raise LakeError("unsupported", words, fix)
        if not told.get("availability_write", True):
            words = f"{rse} takes no files now."
            raise LakeError("unreachable", words, "Try again later, or choose another RSE.")
        return told, door, self._open(rse, door)

    async def close(self) -> None:
        """Close all."""
        while self._lakes:
            _, lake = self._lakes.popitem()
            await lake.close()

    def _open(self, rse: str, door: Door) -> WebdavLake:
        if self._opens is None:
            words = f"The doors of {self._title}'s RSEs take tokens and certificates only."
            fix = "Ask for `oidc` or `x509` at this lake, or upload to this site's RSE."
            raise LakeError("login", words, fix)
        if door not in self._lakes:
            title = f"{rse} of {self._title}"
            self._lakes[door] = WebdavLake(rse, title, self._opens(title, door.url))
        return self._lakes[door]
