"""The catalogue as it is now: read again when the file changes, kept when the new one is wrong."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

from farlab_sites.catalogue import Catalogue
from farlab_sites.loader import load_catalogue
from farlab_sites.problems import CatalogueError

log = logging.getLogger(__name__)


class KnownSites:
    """The catalogue in one file."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._stamp: tuple[int, int] | None = None
        self._catalogue: Catalogue | None = None

    @property
    def catalogue(self) -> Catalogue:
        """The newest content of the file that was valid; CatalogueError if there never was one."""
        stamp = self._read_stamp()
        if self._catalogue is None or stamp != self._stamp:
            self._stamp = stamp
            self._catalogue = self._load()
        return self._catalogue

    def _read_stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def _load(self) -> Catalogue:
        try:
            return load_catalogue(self._path)
        except CatalogueError as error:
            if self._catalogue is None:
                raise
            log.error("Keeping the former catalogue, the new one has errors:\n%s", error)
            return self._catalogue


@lru_cache
def known_sites(path: str) -> KnownSites:
    """Return the process's one reader of that file."""
    return KnownSites(path)
