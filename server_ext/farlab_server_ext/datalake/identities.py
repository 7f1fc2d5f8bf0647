"""What the user has typed to log in to lakes: kept in this process's memory, and nowhere else.

A file would outlive the server, on a disk that a site's administrators and backups read; so a
password is typed once for each server. Tokens and certificates come from where the catalogue says,
and so does a login that is in a file already, for those whose operator or own choice put it there.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Typed:
    """A user name and a password, or an access key and its secret."""

    username: str
    password: str = field(repr=False)
    account: str = ""
    """The account to use, where a user has several; empty: the one of the user's name."""


class Identities:
    """What was typed for each lake, or is in the file that the catalogue names for it."""

    def __init__(self, files: Mapping[str, str] | None = None) -> None:
        self._typed: dict[str, Typed] = {}
        self._files = dict(files or {})

    def of(self, lake: str) -> Typed | None:
        """Return what was typed for a lake, or is in its file, if anything."""
        if lake in self._typed or lake not in self._files:
            return self._typed.get(lake)
        return read_login(Path(self._files[lake]).expanduser())

    def remember(self, lake: str, typed: Typed) -> None:
        """Keep it until the server ends, or the user logs out."""
        self._typed[lake] = typed

    def forget(self, lake: str) -> None:
        """Drop what was typed, and leave the lake's file alone until the server ends."""
        self._typed.pop(lake, None)
        self._files.pop(lake, None)


def read_login(file: Path) -> Typed | None:
    """Return the login that a file holds; None, and a line in the log, if it can't be used."""
    try:
        with file.open() as opened:
            about = os.fstat(opened.fileno())
            if stat.S_IMODE(about.st_mode) & 0o077 or about.st_uid != os.getuid():
                log.warning("%s is not used: others can read it; run: chmod 600 %s", file, file)
                return None
            told = json.load(opened)
        return Typed(str(told["username"]), str(told["password"]), str(told.get("account", "")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is not used: it holds no login: %s", file, type(error).__name__)
        return None
