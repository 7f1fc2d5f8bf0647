"""What the hub's login knows of a user, without any token."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Person:
    """A user of the hub; issuer and subject are empty where the login is not OpenID Connect."""

    name: str
    groups: tuple[str, ...] = ()
    """Of the hub."""
    issuer: str = ""
    subject: str = ""
    entitlements: tuple[str, ...] = ()
    """As the provider gave them, authority included."""
    claims: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """What the provider said at the login: userinfo and the ID token's claims."""

    @property
    def global_name(self) -> str:
        """The person's name in the world, `SUBJECT@ISSUER`; empty without such a login."""
        return f"{self.subject}@{self.issuer}" if self.subject and self.issuer else ""


class People(Protocol):
    """Knows persons by the hub's user names."""

    async def person(self, name: str, groups: Collection[str]) -> Person:
        """Return who a user in these groups is; `CannotCheckError` when that can't be asked now."""
        ...


class GivenPeople:
    """For hubs without a login of ours: a name and groups are all there is."""

    async def person(self, name: str, groups: Collection[str]) -> Person:
        """Return the user as it came."""
        return Person(name, tuple(groups))
