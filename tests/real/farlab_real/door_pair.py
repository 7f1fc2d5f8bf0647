"""A folder of a test's own at each of the two doors, and lakes of both."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from farlab_server_ext.datalake.lake import Lake
from farlab_server_ext.datalake.storage.webdav import WebdavLake

from farlab_real.storage_fixtures import door_lake
from farlab_real.xrootd import Door, XrootdDoors


@dataclass
class DoorPair:
    """Files are put there, and looked at, behind the doors' backs."""

    doors: XrootdDoors
    folder: str = field(default_factory=lambda: secrets.token_hex(6))
    lakes: list[Lake] = field(default_factory=list)

    def __post_init__(self) -> None:
        for door in (self.doors.one, self.doors.other):
            home = door.file(self.folder)
            home.mkdir()
            _give(home)

    def path(self, door: Door, name: str) -> Path:
        """Return where a file of the folder lies."""
        return door.file(f"{self.folder}/{name}")

    def put(self, door: Door, name: str, content: bytes) -> None:
        """Put a file there."""
        path = self.path(door, name)
        path.write_bytes(content)
        _give(path)

    def arrived(self, name: str) -> bytes | None:
        """Return what is at the other door; None if nothing is."""
        path = self.path(self.doors.other, name)
        return path.read_bytes() if path.exists() else None

    def lake(self, door: Door, issue: Callable[[], str] | None = None, url: str = "") -> WebdavLake:
        """Return a lake of a door's folder; it is closed at the end."""
        made = door_lake(self.doors, door, issue, folder=self.folder, url=url)
        self.lakes.append(made)
        return made

    async def close(self) -> None:
        """Close all lakes."""
        for lake in self.lakes:
            await lake.close()


def _give(path: Path) -> None:
    """Give a file that the tests have made to the door's account."""
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
