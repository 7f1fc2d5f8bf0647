"""What the hub knows of logins, asked of the hub: `farlab_spawner.login_handlers` answers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
from farlab_sites.catalogue import Catalogue

from ..errors import CannotCheckError, ConflictError
from .person import Person

log = logging.getLogger(__name__)

TIME_LIMIT = 30.0  # seconds; the hub may ask the provider meanwhile


@dataclass(frozen=True)
class LoginFacts:
    """A user's login, without its tokens. `ends` in epoch seconds; None where it is renewed."""

    issuer: str
    subject: str
    name: str
    entitlements: tuple[str, ...] = ()
    claims: dict[str, Any] = field(default_factory=dict)
    ends: float | None = None
    ended: str = ""
    """Why it has ended; empty while it lives."""


@dataclass(frozen=True)
class LoginToken:
    """The login's own access token. `ends` in epoch seconds; None where that is unknown."""

    value: str = field(repr=False)
    ends: float | None
    issuer: str


class HubLogins:
    """The hub, which alone has the users' refresh tokens.

    `api_url` is the address of its API, `token` this service's, `base_url` the path of the hub.
    """

    def __init__(self, api_url: str, token: str, base_url: str = "/") -> None:
        self._url = api_url.rstrip("/").removesuffix("/api") + "/farlab/login/"
        self._headers = {"Authorization": f"token {token}"}
        self.login_url = f"{base_url.rstrip('/')}/hub/oauth_login"

    async def facts(self, user: str) -> LoginFacts | None:
        """Return what a user's login said; None for a user who never logged in at the provider."""
        told = await self._ask("GET", user)
        return None if told is None else _facts(told)

    async def token(self, user: str, life: float, refused: str = "") -> LoginToken:
        """Return an access token that lasts `life` seconds, if the provider's do.

        It is another one than the one that was `refused` before its end. Raises `ConflictError`
        (login-ended) when the user must log in, `CannotCheckError` when that is not known now.
        """
        mark = hashlib.sha256(refused.encode()).hexdigest() if refused else ""
        told = await self._ask("POST", user, {"life": life, "refused": mark})
        if told is None:
            raise self.ended(f"{user} has not logged in at the provider")
        return LoginToken(told["access_token"], told["expires_at"], told["issuer"])

    def ended(self, why: str) -> ConflictError:
        """Return the error for a login that has ended."""
        fix = f"Log in again: open {self.login_url} on the hub's page; your server goes on."
        return ConflictError(f"your login has ended: {why}", fix, code="login-ended")

    async def _ask(self, verb: str, user: str, body: Any = None) -> dict[str, Any] | None:
        url = self._url + quote(user, safe="")
        timeout = aiohttp.ClientTimeout(total=TIME_LIMIT)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session,
                session.request(verb, url, json=body, allow_redirects=False) as answer,
            ):
                told = await answer.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("the hub does not say who %s is: %s", user, type(error).__name__)
            raise _unknown("the hub does not answer") from error
        known = told if isinstance(told, dict) else {}
        if answer.status == 200:
            return known
        code, message = known.get("code"), str(known.get("message", ""))
        if code == "no-login":
            return None
        if code == "login-ended":
            raise self.ended(message)
        raise _unknown(message if code == "cannot-check" else f"status {answer.status}")


class HubPeople:
    """Who users are, as the hub's login said; just name and groups where there is no login."""

    def __init__(
        self, catalogue: Callable[[], Awaitable[Catalogue]], logins: HubLogins | None
    ) -> None:
        self._catalogue, self._logins = catalogue, logins

    async def person(self, name: str, groups: Collection[str]) -> Person:
        """Return who a user in these groups is; see `person.People`.

        Of a login that has ended nothing counts.
        """
        if self._logins is None or (await self._catalogue()).login is None:
            return Person(name, tuple(groups))
        facts = await self._logins.facts(name)
        if facts is None:
            return Person(name, tuple(groups))
        if facts.ended:  # what it once said may not hold any more: of a closed account, for one
            known = self._logins.ended(facts.ended)
            raise CannotCheckError(known.message, known.fix)
        return Person(
            name,
            tuple(groups),
            facts.issuer,
            facts.subject,
            facts.entitlements,
            facts.claims,
        )


def _unknown(why: str) -> CannotCheckError:
    msg = f"your login cannot be checked now: {why}"
    return CannotCheckError(msg, "Try again in a moment; you need not log in again.")


def _facts(told: dict[str, Any]) -> LoginFacts:
    return LoginFacts(
        issuer=str(told.get("issuer", "")),
        subject=str(told.get("subject", "")),
        name=str(told.get("name", "")),
        entitlements=tuple(told.get("entitlements") or ()),
        claims=told.get("claims") or {},
        ends=told.get("ends"),
        ended=str(told.get("ended", "")),
    )
