"""Who the user is to a Rucio: by password, certificate or token, and until when."""

from __future__ import annotations

import asyncio
import os
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from ..connections import failures_of, open_session, trust
from ..lake import LakeError
from ..tokens import Token, TokenSource

TOKEN, EXPIRES = "X-Rucio-Auth-Token", "X-Rucio-Auth-Token-Expires"
APP = "farlab"


@dataclass(frozen=True)
class Service:
    """Where a Rucio is, from the catalogue."""

    title: str
    url: str
    auth_url: str
    ca: str | None = None
    vo: str | None = None


@dataclass(frozen=True)
class Password:
    """A user name and a password; it is kept in memory only, and never printed."""

    account: str
    username: str
    password: str = field(repr=False)


class Authenticator(ABC):
    """Gives a token to Rucio's calls, the same one until it ends or Rucio refuses it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._token: Token | None = None
        self._lock = asyncio.Lock()

    async def token(self, refused: Token | None = None) -> Token:
        """Return a token that has not ended; another one than the one that Rucio refused."""
        async with self._lock:
            token = self._token
            if token is None or token.ended or token is refused:
                token = self._token = await self._new()
            return token

    def forget(self) -> None:
        """Drop the token."""
        self._token = None

    @abstractmethod
    async def _new(self) -> Token:
        """Return a new token; raise LakeError with what the user must do first."""

    async def _ask(self, path: str, headers: dict[str, str], context: ssl.SSLContext) -> Token:
        """Return the token that Rucio's authentication gives for these headers."""
        service, url = self.service, self.service.auth_url
        told = {"X-Rucio-AppID": APP, **headers}
        if service.vo:
            told["X-Rucio-VO"] = service.vo
        with failures_of(service.title, url):
            async with (
                open_session(context) as session,
                session.get(url + path, headers=told, allow_redirects=False) as answer,
            ):
                return self._token_in(answer)

    def _token_in(self, answer: aiohttp.ClientResponse) -> Token:
        title = self.service.title
        if answer.status == 200 and (value := answer.headers.get(TOKEN)):
            return Token(value, moment_of(answer.headers.get(EXPIRES, "")))
        if answer.status == 206:
            accounts = answer.headers.get("X-Rucio-Auth-Accounts", "")[:200]
            fix = "Log in again, and name one of them."
            raise LakeError("login", f"{title}: you have more than one account: {accounts}.", fix)
        if answer.status in (401, 403):
            words = f"{title} does not know you: {answer.headers.get('ExceptionMessage', '')[:200]}"
            raise LakeError("login", words.rstrip(". ") + ".", self._fix())
        words = f"{title}: its authentication answers with status {answer.status}."
        raise LakeError("bad-answer", words, "Try again; if it stays so, tell who runs it.")

    def _fix(self) -> str:
        return "Log in again; check account, user name and password."


class ByPassword(Authenticator):
    """A password that the user has typed for this server."""

    def __init__(self, service: Service, password: Password) -> None:
        super().__init__(service)
        self._password = password

    async def _new(self) -> Token:
        password = self._password
        headers = {
            "X-Rucio-Account": password.account,
            "X-Rucio-Username": password.username,
            "X-Rucio-Password": password.password,
        }
        return await self._ask("/auth/userpass", headers, trust(self.service.ca))


class ByCertificate(Authenticator):
    """A proxy or a certificate that lies on this machine; it is read each time."""

    def __init__(self, service: Service, proxy: str, account: str | None) -> None:
        super().__init__(service)
        self._proxy = proxy.replace("{uid}", str(os.getuid()))
        self._account = account

    async def _new(self) -> Token:
        headers = {"X-Rucio-Account": self._account} if self._account else {}
        return await self._ask("/auth/x509", headers, trust(self.service.ca, self._proxy))

    def _fix(self) -> str:
        return f"Renew {self._proxy}; ask who runs this Rucio whether it knows your certificate."


class ByToken(Authenticator):
    """A token of the hub or of a file, which Rucio takes as it is."""

    def __init__(self, service: Service, tokens: TokenSource, audience: str, scope: str) -> None:
        super().__init__(service)
        self._tokens, self._audience, self._scope = tokens, audience, scope

    async def token(self, refused: Token | None = None) -> Token:
        """Return the source's token of this moment; say so if Rucio has refused that one."""
        token = await self._tokens.token(self._audience, self._scope)
        if refused is not None and token.value == refused.value:
            title = self.service.title
            words = f"{title} does not take your token, though it has not ended."
            fix = "Ask who runs this Rucio whether it knows you; log in to the hub again."
            raise LakeError("login", words, fix)
        return token

    async def _new(self) -> Token:
        return await self._tokens.token(self._audience, self._scope)


class Nobody(Authenticator):
    """A user who has not logged in."""

    async def _new(self) -> Token:
        title = self.service.title
        raise LakeError("login", f"You are not logged in to {title}.", "Log in to it.")


def moment_of(text: Any) -> float | None:
    """Return a date as Rucio writes it (`Thu, 26 Nov 2026 18:03:42 UTC`) as epoch seconds."""
    try:
        parsed = datetime.strptime(str(text), "%a, %d %b %Y %H:%M:%S %Z")
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC).timestamp()
