"""What the user has typed to log in to lakes: kept in this process's memory, and nowhere else.

A file would outlive the server, on a disk that a site's administrators and backups read; so a
password is typed once for each server. Tokens and certificates come from where the catalogue says.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Typed:
    """A user name and a password, or an access key and its secret."""

    username: str
    password: str = field(repr=False)
    account: str = ""
    """The account to use, where a user has several; empty: the one of the user's name."""


class Identities:
    """What was typed for each lake."""

    def __init__(self) -> None:
        self._typed: dict[str, Typed] = {}

    def of(self, lake: str) -> Typed | None:
        """Return what was typed for a lake, if anything."""
        return self._typed.get(lake)

    def remember(self, lake: str, typed: Typed) -> None:
        """Keep it until the server ends, or the user logs out."""
        self._typed[lake] = typed

    def forget(self, lake: str) -> None:
        """Drop it."""
        self._typed.pop(lake, None)
