"""Whether a user may use a site, and as whom: what starting asks, and what lists show."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from farlab_sites.catalogue import Site

from ..errors import CannotCheckError, ForbiddenError
from .entitlements import asks_for_entitlements
from .linkage import Linkage
from .mapping import Mapping
from .person import People, Person
from .words import not_a_member


@dataclass(frozen=True)
class Seen:
    """Who a user is for a list: without a login of `person` where that can't be asked now."""

    person: Person
    trouble: CannotCheckError | None = None


@dataclass(frozen=True)
class Admitted:
    """Who may start something at a site, and as whom it runs there."""

    person: Person
    linkage: Linkage

    @property
    def account(self) -> str | None:
        """The site's local account."""
        return self.linkage.account


class Access:
    """Puts together who a user is and which account that is at a site."""

    def __init__(self, people: People, mapping: Mapping) -> None:
        self._people, self._mapping = people, mapping

    async def admit(self, site: Site, user: str, groups: Collection[str]) -> Admitted:
        """Return who a user is and as whom its new workload runs; asked anew.

        Raises `ForbiddenError`, `NotLinkedError`, `CannotCheckError`: nothing may start.
        """
        person = await self.who(site, user, groups)
        if not site.open_to(person.groups, person.entitlements):
            reason, fix = not_a_member(site)
            raise ForbiddenError(f"{user} may not use {site.title}: {reason}", fix)
        return Admitted(person, await self._mapping.account(site, person, fresh=True))

    async def who(self, site: Site, user: str, groups: Collection[str]) -> Person:
        """Return who a user is; without the login where that is not known and not needed."""
        seen = await self.seen(user, groups)
        if seen.trouble is not None and needs_login(site):
            raise seen.trouble
        return seen.person

    async def seen(self, user: str, groups: Collection[str]) -> Seen:
        """Return who a user is, and why that is not all that could be known."""
        try:
            return Seen(await self._people.person(user, groups))
        except CannotCheckError as error:
            return Seen(Person(user, tuple(groups)), error)


def needs_login(site: Site) -> bool:
    """Return whether a site asks for more than a user's name and hub groups."""
    accounts = site.accounts
    if accounts is not None and (accounts.alise or accounts.claim):
        return True
    return asks_for_entitlements(site)
