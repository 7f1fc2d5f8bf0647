"""Which local account of a site runs a person's jobs: the one place where that is decided."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from farlab_sites.catalogue import Site
from farlab_sites.identity import Alise

from ..errors import CannotCheckError, HubServiceError
from .account_file import AccountFile
from .alise import AliseClient
from .audit import Audit, Purpose
from .claims import by_claim
from .entitlements import by_membership
from .linkage import Linkage, Rule, must_be_usable, not_linked
from .person import Person

LINKED = 300.0  # seconds that a list may show an account that was found
NOT_LINKED = 30.0  # and that it may show none
IN_DOUBT = 10.0  # and that a service in trouble is spared the next question
MOST_KEPT = 10_000

Key = tuple[Alise, str, str]


@dataclass(frozen=True)
class _Answer:
    until: float
    linkage: Linkage | None = None
    trouble: CannotCheckError | None = None


class Mapping:
    """The account mapping of every site."""

    def __init__(self, audit: Audit | None = None, alise: AliseClient | None = None) -> None:
        self._audit = audit or Audit()
        self.alise = alise or AliseClient()
        self._files: dict[Path, AccountFile] = {}
        self._answers: OrderedDict[Key, _Answer] = OrderedDict()

    async def account(self, site: Site, person: Person, *, fresh: bool = False) -> Linkage:
        """Return the local account that runs a person's jobs at `site`.

        `fresh`: what starts something asks again; what only shows it may be told what was true
        minutes ago. Raises `NotLinkedError` (certainly no account), `ForbiddenError`
        (refused-account), `CannotCheckError` (not known now: nothing may start).
        """
        if site.accounts is None:
            return Linkage(None, "none")
        purpose: Purpose = "start" if fresh else "look"
        rule = rule_of(site)
        try:
            linkage = await self._linkage(site, person, fresh=fresh)
            if not linkage.account:
                raise not_linked(person.name, site.title)
            must_be_usable(linkage.account, person.name, site.title)
        except HubServiceError as error:
            self._audit.decided(
                person,
                site.name,
                rule=rule,
                outcome=error.code,
                detail=error.message,
                purpose=purpose,
            )
            raise
        self._audit.decided(
            person,
            site.name,
            account=linkage.account,
            rule=rule,
            outcome="mapped",
            detail=linkage.detail,
            purpose=purpose,
        )
        return linkage

    async def close(self) -> None:
        """Let go of connections and files."""
        await self.alise.close()
        self._audit.close()

    async def _linkage(self, site: Site, person: Person, *, fresh: bool) -> Linkage:
        accounts = site.accounts
        if accounts is None:
            return Linkage(None, "none")
        if accounts.file is not None:
            found = self._file(accounts.file).account(person.name)
            return Linkage(found, "file", accounts.file.name)
        if accounts.claim is not None:
            return by_claim(accounts.claim, person, site)
        if accounts.alise is not None:
            return await self._linked(accounts.alise, site, person, fresh=fresh)
        return by_membership(accounts.vo or {}, person, site)

    async def _linked(self, alise: Alise, site: Site, person: Person, *, fresh: bool) -> Linkage:
        key = (alise, person.issuer, person.subject)
        known = None if fresh else self._answers.get(key)
        if known is None or known.until < time.monotonic():
            known = await self._ask(key, alise, person)
        if known.trouble is not None:
            raise known.trouble
        if known.linkage is None:
            why = f"none is linked to your login at {alise.site}"
            fix = f"Link your account at {str(alise.url).rstrip('/')}/{alise.site}, then try again."
            raise not_linked(person.name, site.title, why, fix)
        return known.linkage

    async def _ask(self, key: Key, alise: Alise, person: Person) -> _Answer:
        self._answers.pop(key, None)
        try:
            linkage = await self.alise.linkage(alise, person)
            lasts = LINKED if linkage else NOT_LINKED
            answer = _Answer(time.monotonic() + lasts, linkage)
        except CannotCheckError as error:  # what was known before is in doubt too
            answer = _Answer(time.monotonic() + IN_DOUBT, trouble=error)
        self._answers[key] = answer
        if len(self._answers) > MOST_KEPT:
            self._answers.popitem(last=False)
        return answer

    def _file(self, path: Path) -> AccountFile:
        return self._files.setdefault(path, AccountFile(path))


def rule_of(site: Site) -> Rule:
    """Return by which rule a site maps accounts."""
    accounts = site.accounts
    if accounts is None:
        return "none"
    if accounts.file is not None:
        return "file"
    if accounts.alise is not None:
        return "alise"
    return "claim" if accounts.claim is not None else "vo"
