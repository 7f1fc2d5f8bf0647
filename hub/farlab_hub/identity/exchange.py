"""One access token for another: RFC 8693 at the provider, with the hub's own name and secret."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import time
from typing import Any
from urllib.parse import quote

import aiohttp
from farlab_sites.login import Login

from ..errors import CannotCheckError, ForbiddenError

log = logging.getLogger(__name__)

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type's name
TIME_LIMIT = 20.0  # seconds
DISCOVERY_AGE = 3600.0


class StaleTokenError(ForbiddenError):
    """The provider takes the token to be exchanged no more, though it has not ended."""

    code = "refused-by-provider"


class Provider:
    """The provider's token endpoint, as it says itself where that is."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._said: dict[str, Any] = {}
        self._read = 0.0

    async def exchange(self, token: str, audience: str, scope: str) -> dict[str, Any]:
        """Return the provider's answer for another audience and scope.

        Raises `StaleTokenError`, `ForbiddenError` (refused-by-provider), `CannotCheckError`.
        """
        form = {
            "grant_type": GRANT,
            "subject_token": token,
            "subject_token_type": ACCESS_TOKEN,
            "requested_token_type": ACCESS_TOKEN,
        }
        form |= {"audience": audience} if audience else {}
        form |= {"scope": scope} if scope else {}
        status, told = await self._post((await self._endpoints())["token_endpoint"], form)
        if status == 200 and isinstance(told.get("access_token"), str):
            return told
        word = str(told.get("error", ""))[:100]
        why = f"{word}: {str(told.get('error_description', ''))[:200]}".strip(": ")
        log.info("the provider exchanges no token for %s: %s %s", audience or scope, status, why)
        msg = f"{self.login.issuer} gives no token for {audience or scope}: {why}"
        fix = "Ask the hub's operator whether the hub's client may exchange tokens for it."
        if word in ("invalid_token", "invalid_grant"):
            raise StaleTokenError(msg, fix)
        if status in (400, 403) and word:  # 401: the provider does not know the hub itself
            raise ForbiddenError(msg, fix, code="refused-by-provider")
        raise _away(self.login, f"it answers with status {status}")

    async def _endpoints(self) -> dict[str, Any]:
        if not self._said or time.monotonic() - self._read > DISCOVERY_AGE:
            url = self.login.issuer.rstrip("/") + "/.well-known/openid-configuration"
            status, said = await self._request("GET", url)
            if status != 200 or said.get("issuer") != self.login.issuer:
                raise _away(self.login, "it does not say where its endpoints are")
            if not isinstance(said.get("token_endpoint"), str):
                raise _away(self.login, "it names no token endpoint")
            self._said, self._read = said, time.monotonic()
        return self._said

    async def _post(self, url: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        login, headers = self.login, {}
        secret = await asyncio.to_thread(_secret, login)
        methods = self._said.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if secret and "client_secret_post" not in methods:
            pair = f"{quote(login.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form = {**form, "client_id": login.client_id}
            form |= {"client_secret": secret} if secret else {}
        return await self._request("POST", url, form, headers)

    async def _request(
        self,
        verb: str,
        url: str,
        form: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        timeout = aiohttp.ClientTimeout(total=TIME_LIMIT)
        try:
            context = await asyncio.to_thread(_trust, self.login)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(
                    verb, url, data=form, headers=headers, ssl=context, allow_redirects=False
                ) as answer,
            ):
                told = await answer.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("%s does not answer: %s", url, error or "no answer in time")
            raise _away(self.login, "it does not answer") from error
        return answer.status, told if isinstance(told, dict) else {}


def claims_of(token: str) -> dict[str, Any] | None:
    """Return what a JWT says; None for an opaque token.

    Its signature is not looked at: the provider itself has just given it, over TLS.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def _trust(login: Login) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(login.ca) if login.ca else None)


def _secret(login: Login) -> str:
    return login.client_secret_file.read_text().strip() if login.client_secret_file else ""


def _away(login: Login, why: str) -> CannotCheckError:
    msg = f"{login.issuer} gives no token now: {why}"
    return CannotCheckError(msg, "Try again in a moment; you need not log in again.")
