"""Fresh access tokens for the servers of users: each user's own, for what the catalogue names."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from farlab_sites.catalogue import Catalogue
from farlab_sites.login import Login, WantedToken, wanted_tokens

from ..errors import CannotCheckError, ForbiddenError, HubServiceError, SiteTroubleError
from .exchange import Provider, StaleTokenError, claims_of
from .login import HubLogins

FRESH = 90.0  # seconds that a token must last, or half of its life where that is shorter
MOST_KEPT = 10_000
# What providers leave out of a token's scope.
_OF_THE_LOGIN = frozenset({"openid", "profile", "email", "offline_access"})

TokenState = Literal["live", "none", "ended", "refused"]


@dataclass(frozen=True)
class AccessToken:
    """A token for one audience and scope. `ends` in epoch seconds; None where that is unknown."""

    value: str = field(repr=False)
    ends: float | None
    issuer: str
    audience: str
    scope: str
    enough: float = FRESH

    @property
    def is_fresh(self) -> bool:
        """Whether it lasts long enough to be handed on."""
        return self.ends is not None and self.ends - self.enough > time.time()


@dataclass(frozen=True)
class Outcome:
    """What came of the last wish for a token."""

    state: TokenState = "none"
    ends: float | None = None
    reason: str = ""


Key = tuple[str, str, str]  # user, audience, scope


class TokenKeeper:
    """Gives tokens, one user's after the other, and the same one until it is about to end."""

    def __init__(
        self, catalogue: Callable[[], Awaitable[Catalogue]], logins: HubLogins | None
    ) -> None:
        self._catalogue, self._logins = catalogue, logins
        self._locks: dict[str, asyncio.Lock] = {}
        self._tokens: OrderedDict[Key, AccessToken] = OrderedDict()
        self._outcomes: OrderedDict[Key, Outcome] = OrderedDict()
        self._provider: Provider | None = None

    async def wanted(self) -> list[WantedToken]:
        """Return the tokens that the catalogue names; none without a login."""
        known = await self._catalogue()
        return wanted_tokens(known.login, known.lakes) if known.login and self._logins else []

    async def token(self, user: str, audience: str, scope: str) -> AccessToken:
        """Return a token of a user that lasts a while.

        Raises `ForbiddenError` (not-in-catalogue, refused-by-provider), `ConflictError`
        (login-ended), `SiteTroubleError` (wrong-token), `CannotCheckError`.
        """
        await self._must_be_named(audience, scope)
        key = (user, audience, scope)
        async with self._locks.setdefault(user, asyncio.Lock()):
            kept = self._tokens.get(key)
            if kept is not None and kept.is_fresh:
                return kept
            self._tokens.pop(key, None)
            try:
                new = await self._new(user, audience, scope)
            except HubServiceError as error:
                self._note(key, error)
                if error.code == "login-ended":
                    self._forget(user)
                raise
            _keep(self._tokens, key, new)
            _keep(self._outcomes, key, Outcome("live", new.ends))
            return new

    def _forget(self, user: str) -> None:
        """Drop the tokens of a user whose login has ended, however long they would be good."""
        for key in [key for key in self._tokens if key[0] == user]:
            del self._tokens[key]

    def outcome(self, user: str, wanted: WantedToken) -> Outcome:
        """Return what came of a user's last wish for one of the catalogue's tokens."""
        known = self._outcomes.get((user, wanted.audience or "", wanted.scope), Outcome())
        if known.state == "live" and known.ends is not None and known.ends < time.time():
            return Outcome()  # the next wish brings a new one
        return known

    async def _must_be_named(self, audience: str, scope: str) -> None:
        if self._logins is None or (await self._catalogue()).login is None:
            msg = "there is no login here that gives tokens"
            fix = "Put a token into a file, and name it in $FARLAB_TOKEN_FILE of the server."
            raise ForbiddenError(msg, fix, code="no-login")
        named = {(one.audience or "", one.scope) for one in await self.wanted()}
        if (audience, scope) not in named:
            msg = f"no token is given for the audience {audience!r} and the scope {scope!r}"
            fix = "The hub's operator names it under lakes: or login.tokens: in the catalogue."
            raise ForbiddenError(msg, fix, code="not-in-catalogue")

    async def _new(self, user: str, audience: str, scope: str) -> AccessToken:
        login = (await self._catalogue()).login
        if self._logins is None or login is None:
            raise CannotCheckError("this hub has no login that gives tokens")
        own = await self._logins.token(user, FRESH)
        value, ends = own.value, own.ends
        if login.exchange:
            told = await self._exchanged(login, own.value, user, audience, scope)
            value, ends = str(told["access_token"]), _end_of(told)
        claims = claims_of(value)
        _must_fit(login, claims, audience, scope)
        if ends is None and claims:
            ends = claims.get("exp")
        now = time.time()
        enough = min(FRESH, (ends - now) / 2) if ends else FRESH
        return AccessToken(value, ends, own.issuer, audience, scope, enough)

    async def _exchanged(
        self, login: Login, token: str, user: str, audience: str, scope: str
    ) -> dict[str, Any]:
        provider = self._provider_of(login)
        try:
            return await provider.exchange(token, audience, scope)
        except StaleTokenError:
            if self._logins is None:
                raise
            # Taken back before its end: either the login gives a new one, or it has ended.
            own = await self._logins.token(user, FRESH, refused=token)
            return await provider.exchange(own.value, audience, scope)

    def _provider_of(self, login: Login) -> Provider:
        if self._provider is None or self._provider.login != login:
            self._provider = Provider(login)
        return self._provider

    def _note(self, key: Key, error: HubServiceError) -> None:
        states: dict[str, TokenState] = {"login-ended": "ended", "cannot-check": "none"}
        state = states.get(error.code, "refused")
        _keep(self._outcomes, key, Outcome(state, None, error.message))


def _must_fit(login: Login, claims: dict[str, Any] | None, audience: str, scope: str) -> None:
    """Raise `SiteTroubleError` for a token that is not what was asked for, and says so."""
    if claims is None:
        return  # opaque: only who takes it can tell
    if claims.get("iss") != login.issuer:
        raise _wrong(login, f"is of the issuer {str(claims.get('iss'))[:200]!r}")
    given = claims.get("aud") or ()
    audiences = [given] if isinstance(given, str) else [str(one) for one in given]
    if audience and audience not in audiences:
        found = ", ".join(audiences) or "nobody"
        raise _wrong(login, f"is for {found[:200]}, not for {audience}")
    said = claims.get("scope")
    scopes = said.split() if isinstance(said, str) else None
    missing = set(scope.split()) - _OF_THE_LOGIN - set(scopes or ())
    if scopes is not None and missing:
        raise _wrong(login, f"lacks the scope {' '.join(sorted(missing))}")


def _wrong(login: Login, what: str) -> SiteTroubleError:
    fix = "The hub's operator corrects login.scopes, login.exchange or the hub's client there."
    return SiteTroubleError(f"the token from {login.issuer} {what}", fix, code="wrong-token")


def _end_of(told: dict[str, Any]) -> float | None:
    lasts = told.get("expires_in")
    return time.time() + lasts if isinstance(lasts, (int, float)) and lasts > 0 else None


def _keep(kept: OrderedDict[Key, Any], key: Key, value: Any) -> None:
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
