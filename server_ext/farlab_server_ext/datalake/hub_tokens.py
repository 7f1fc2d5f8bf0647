"""Tokens for lakes from the hub's service, which keeps each user's login fresh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from .connections import failures_of, open_session
from .lake import Code, LakeError
from .tokens import MARGIN, Token

TITLE = "The hub's service"
WAIT = 60.0
"""Seconds that the service may take: it may ask the provider meanwhile."""

CODES: dict[str, Code] = {
    "login-ended": "expired",
    "no-login": "login",
    "not-in-catalogue": "login",
    "refused-by-provider": "denied",
    "wrong-token": "bad-answer",
    "cannot-check": "unreachable",
    "no-token": "expired",
    "bad-token": "expired",
}


class HubTokens:
    """Asks the service at `address()` with the server's own token, and keeps what it gives.

    One call for each audience and scope at a time, and none while the last token lasts.
    """

    def __init__(self, address: Callable[[], tuple[str, str]]) -> None:
        self._address = address
        self._kept: dict[tuple[str, str], tuple[Token, float]] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def token(self, audience: str, scope: str) -> Token:
        """Return a token that lasts a while; raise LakeError with what the user must do first."""
        key = (audience, scope)
        async with self._locks.setdefault(key, asyncio.Lock()):
            token, until = self._kept.get(key, (Token(""), 0.0))
            if until <= time.time():
                token = await self._ask(audience, scope)
                self._kept[key] = token, _kept_until(token)
            return token

    async def _ask(self, audience: str, scope: str) -> Token:
        url, own = self._address()
        headers = {"Authorization": f"Bearer {own}"}
        body = {"audience": audience, "scope": scope}
        with failures_of(TITLE, url):
            async with (
                open_session(None, WAIT) as session,
                session.post(
                    f"{url.rstrip('/')}/token", json=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                told = await _object(answer)
        if answer.status == 200 and isinstance(told.get("access_token"), str):
            ends = told.get("expires_at")
            return Token(told["access_token"], float(ends) if ends is not None else None)
        raise _refusal(answer.status, told)


def _kept_until(token: Token) -> float:
    """Return until when a token is used again: not in its last moments, where a call may fail."""
    now = time.time()
    return now if token.ends is None else token.ends - min(MARGIN, (token.ends - now) / 2)


async def _object(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        told = await answer.json(content_type=None)
    except ValueError:
        told = None
    return told if isinstance(told, dict) else {}


def _refusal(status: int, told: dict[str, Any]) -> LakeError:
    code = CODES.get(str(told.get("code", "")), "bad-answer")
    message = str(told.get("message") or f"it answers with status {status}")[:500].rstrip(".")
    words = f"No token for this lake: {message}."
    return LakeError(code, words, str(told.get("fix") or "Try again in a moment."))
