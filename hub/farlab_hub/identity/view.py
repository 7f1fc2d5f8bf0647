"""Who a user is, put together for the panel: the login, the tokens, and every site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from farlab_sites.catalogue import Catalogue, Site

from ..errors import (
    CannotCheckError,
    ForbiddenError,
    HubServiceError,
    NotFoundError,
    NotLinkedError,
    TooManyError,
)
from .access import Access, Seen, needs_login
from .linkage import Linkage
from .login import HubLogins, LoginFacts
from .mapping import Mapping, rule_of
from .tokens import TokenKeeper
from .views import ExternalView, IdentityView, LoginView, SiteIdentityView, TokenStateView
from .words import not_a_member

AT_MOST_EVERY = 1.0  # seconds between two fresh looks of one user at one site


class Identity:
    """Answers who users are, from what login, tokens and mapping say."""

    def __init__(
        self,
        catalogue: Callable[[], Awaitable[Catalogue]],
        access: Access,
        mapping: Mapping,
        logins: HubLogins | None,
        tokens: TokenKeeper,
    ) -> None:
        self._catalogue, self._access, self._mapping = catalogue, access, mapping
        self._logins, self._tokens = logins, tokens
        self._asked: dict[tuple[str, str], float] = {}

    async def whole(self, user: str, groups: Collection[str]) -> IdentityView:
        """Return all that is known of a user; what can't be checked now says so."""
        sites = (await self._catalogue()).sites
        seen = await self._access.seen(user, groups)
        shown = await asyncio.gather(*(self.at(site, seen) for site in sites))
        return IdentityView(
            user=user,
            login=await self._login(user, groups),
            tokens=await self._token_states(user),
            sites=[*shown],
        )

    async def check(self, user: str, groups: Collection[str], name: str) -> SiteIdentityView:
        """Ask anew who a user is at a site; once a second at most."""
        try:
            site = (await self._catalogue()).site(name)
        except KeyError as error:
            msg = f"there is no site {name!r}"
            raise NotFoundError(msg, "Choose one of those that GET identity names.") from error
        now = time.monotonic()
        if now - self._asked.get((user, name), -AT_MOST_EVERY) < AT_MOST_EVERY:
            msg = "the accounts were looked up less than a second ago"
            raise TooManyError(msg, "Ask again in a second.", code="too-often")
        self._asked[user, name] = now
        return await self.at(site, await self._access.seen(user, groups), fresh=True)

    async def _login(self, user: str, groups: Collection[str]) -> LoginView:
        none = LoginView(
            issuer="",
            subject="",
            name="",
            ends=None,
            state="none",
            reason="",
            login_url="",
            entitlements=[],
            groups=[*groups],
        )
        login = (await self._catalogue()).login
        if self._logins is None or login is None:
            return none
        asked = {"issuer": login.issuer, "login_url": self._logins.login_url}
        try:
            facts = await self._logins.facts(user)
        except CannotCheckError as error:
            return none.model_copy(update={**asked, "state": "unknown", "reason": error.message})
        if facts is None:
            return none.model_copy(update={**asked, "reason": f"{user} has not logged in there"})
        return none.model_copy(update=asked | _of_facts(facts))

    async def _token_states(self, user: str) -> list[TokenStateView]:
        shown = []
        for one in await self._tokens.wanted():
            known = self._tokens.outcome(user, one)
            shown.append(
                TokenStateView(
                    name=one.name,
                    title=one.title or one.name,
                    audience=one.audience or "",
                    scope=one.scope,
                    state=known.state,
                    ends=known.ends,
                    reason=known.reason,
                )
            )
        return shown

    async def at(self, site: Site, seen: Seen, *, fresh: bool = False) -> SiteIdentityView:
        """Return who a user is at a site; without `fresh` that may be minutes old."""
        shown, person = _unasked(site), seen.person
        try:
            if seen.trouble is not None and needs_login(site):
                raise seen.trouble
            if not site.open_to(person.groups, person.entitlements):
                raise ForbiddenError(*not_a_member(site))
            if site.accounts is None:
                return shown.model_copy(update={"open": True})
            found = await self._mapping.account(site, person, fresh=fresh)
        except HubServiceError as error:
            known = {"reason": error.message, "fix": error.fix, "state": _state_of(error)}
            return shown.model_copy(update={**known, "checked": time.time()})
        return shown.model_copy(update=_of_linkage(found))


def _unasked(site: Site) -> SiteIdentityView:
    link, unlink = _addresses(site)
    return SiteIdentityView(
        site=site.name,
        title=site.title,
        kind=site.kind,
        rule=rule_of(site),
        state="not-needed",
        account=None,
        last_seen=None,
        external=[],
        open=False,
        reason="",
        fix="",
        link_url=link,
        unlink_url=unlink,
        checked=None,
    )


def _addresses(site: Site) -> tuple[str | None, str | None]:
    """Return where a user links an account, and takes the link away: pages of ALISE."""
    alise = getattr(site.accounts, "alise", None)
    page = f"{str(alise.url).rstrip('/')}/{alise.site}" if alise else None
    return page, page


def _state_of(error: HubServiceError) -> str:
    if isinstance(error, NotLinkedError):
        return "not-linked"
    return "cannot-check" if isinstance(error, CannotCheckError) else "refused"


def _of_linkage(found: Linkage) -> dict[str, Any]:
    return {
        "state": "linked" if found.account else "not-needed",
        "account": found.account,
        "rule": found.rule,
        "last_seen": found.last_seen,
        "external": [ExternalView.model_validate(one) for one in found.external],
        "checked": found.checked,
        "open": True,
    }


def _of_facts(facts: LoginFacts) -> dict[str, Any]:
    ended = facts.ended or (facts.ends is not None and facts.ends < time.time())
    return {
        "issuer": facts.issuer,
        "subject": facts.subject,
        "name": facts.name,
        "ends": facts.ends,
        "state": "ended" if ended else "live",
        "reason": facts.ended,
        "entitlements": [*facts.entitlements],
    }
