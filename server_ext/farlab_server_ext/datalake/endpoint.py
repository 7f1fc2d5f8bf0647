"""One HTTP server of the catalogue: trust, login, time limits, and errors that a user can read.

Requests go to this server alone. A redirect is followed where it stays on the host or among its
neighbours (doors send clients on to their pools), and takes no login along to another host.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from .connections import CONNECT_TIME, SILENCE, failures_of, open_session, trust
from .lake import LakeError
from .logins import Login, Logins, NoLogins
from .refusals import refusal

REDIRECTS = 5
WORDS = 2000  # bytes of an error's body that are looked at
JSON_MAX = 32 * 1024 * 1024  # bytes; more is no answer to any question asked here
MOVED = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for, wherever redirects lead."""

    method: str
    headers: Mapping[str, str]
    data: Any
    timeout: aiohttp.ClientTimeout
    login: Login
    wait: bool


class Endpoint:
    """A server's address with one user's login there."""

    def __init__(
        self,
        title: str,
        url: str,
        *,
        ca: str | None = None,
        certificate: str | None = None,
        logins: Logins | None = None,
    ) -> None:
        self.title = title
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.hostname or ""
        self.base = parts.path
        self.logins: Logins = logins or NoLogins()
        self.server = ""
        """What it calls itself, since it has answered anything."""
        self._ca = ca
        self._certificate = certificate
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        silence: float = SILENCE,
        answers: frozenset[int] = frozenset(),
        wait: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield an answer whose status is 2xx or one of `answers`; raise LakeError for others.

        With `wait`, the body is sent when the server says so: to where it leads, if elsewhere.
        """
        login = await self.logins.login()
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIME, sock_read=silence)
        asked = _Asked(method, headers or {}, data, timeout, login, wait)
        with failures_of(self.title, self.url):
            answer = await self._follow(url, asked)
            async with answer:
                if answer.status >= 300 and answer.status not in answers:
                    raise refusal(self.title, answer.status, await _words(answer), login)
                yield answer

    async def json(
        self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Return an answer's JSON; rubbish is an error."""
        sent = None if body is None else json.dumps(body)
        told = {"Accept": "application/json", **(headers or {})}
        if sent is not None:
            told["Content-Type"] = "application/json"
        async with self.request(method, url, data=sent, headers=told) as answer:
            content = await self.read(answer, JSON_MAX)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise self.rubbish("something that is no JSON") from None

    async def read(self, answer: aiohttp.ClientResponse, limit: int) -> bytes:
        """Return an answer's body; one beyond the limit is an error."""
        parts = []
        length = 0
        async for part in answer.content.iter_any():
            parts.append(part)
            length += len(part)
            if length > limit:
                raise self.rubbish(f"more than {limit} bytes")
        return b"".join(parts)

    def rubbish(self, what: str) -> LakeError:
        """Return the error for an answer that makes no sense."""
        words = f"{self.title} answered with {what}."
        return LakeError("bad-answer", words, f"Check that {self.url} is what the catalogue says.")

    async def _follow(self, url: str, asked: _Asked) -> aiohttp.ClientResponse:
        """Ask, and ask again where the answer says so; a body is sent to the last one only."""
        if self._session is None:
            self._session = open_session(trust(self._ca, self._certificate))
        for _ in range(REDIRECTS):
            headers = dict(asked.headers)
            if asked.login.header and urlsplit(url).hostname == self._host:
                headers["Authorization"] = asked.login.header
            answer = await self._session.request(
                asked.method,
                URL(url, encoded=True),
                headers=headers,
                data=asked.data,
                timeout=asked.timeout,
                allow_redirects=False,
                expect100=asked.wait,
            )
            self.server = answer.headers.get("Server", "")
            target = answer.headers.get("Location", "")
            if answer.status not in MOVED or not target:
                return answer
            answer.release()
            url = self._neighbour(urljoin(url, target))
        raise self.rubbish(f"more than {REDIRECTS} redirects")

    def _neighbour(self, url: str) -> str:
        """Return a redirect's target, if a server of this lake may be there."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        domain = self._host.partition(".")[2]
        near = host == self._host or ("." in domain and host.endswith(f".{domain}"))
        secure = parts.scheme == "https" or self.origin.startswith("http://")
        if not (near and secure and parts.scheme in ("http", "https")):
            raise self.rubbish(f"a redirect to {parts.scheme}://{host}, which is not among its own")
        return url


async def _words(answer: aiohttp.ClientResponse) -> str:
    """Return what a refusal says, as one line."""
    try:
        async with asyncio.timeout(CONNECT_TIME):
            content = await answer.content.read(WORDS)
    except (aiohttp.ClientError, TimeoutError):
        return ""
    if "html" in answer.headers.get("Content-Type", ""):
        return ""
    text = " ".join(content.decode(errors="replace").split())
    return "".join(char for char in text if char.isprintable())[:300]
