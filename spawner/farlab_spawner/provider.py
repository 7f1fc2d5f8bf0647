"""An OpenID Connect provider: where its endpoints are, and whether an ID token is from it."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from farlab_sites.login import Login

DISCOVERY = "/.well-known/openid-configuration"
MOST_BYTES = 2**20
TIME_LIMIT = 10.0  # seconds of one try
PATIENCE = 30.0  # seconds: a provider that is restarted beside the hub
PAUSE = 1.0
WANTED_SCOPES = (
    "openid",
    "profile",
    "email",
    "eduperson_entitlement",
    "entitlements",
    "offline_access",
)
LEEWAY = 60.0  # seconds that the provider's clock may differ
KEYS_AGE = 10.0  # seconds before keys are asked for again because of an unknown one
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")


class ProviderError(Exception):
    """The provider can't be used; the message says why and what to do."""


@dataclass(frozen=True)
class Provider:
    """What a provider says of itself."""

    issuer: str
    authorize_url: str
    token_url: str
    userinfo_url: str
    keys_url: str
    scopes: tuple[str, ...] = ()
    basic_auth: bool = False

    def scopes_for(self, login: Login) -> list[str]:
        """Return the scopes to ask for at a login."""
        if login.scopes is not None:
            return [*login.scopes]
        return [one for one in WANTED_SCOPES if one == "openid" or one in self.scopes]


def discover(login: Login) -> Provider:
    """Read a provider's endpoints, once; raise `ProviderError` when it does not tell them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return _provider(login, _read(login))
        except OSError as error:
            if time.monotonic() > deadline or isinstance(error, ssl.SSLCertVerificationError):
                raise ProviderError(_why(login, error)) from error
            time.sleep(PAUSE)


def _read(login: Login) -> Any:
    url = login.issuer.rstrip("/") + DISCOVERY
    context = ssl.create_default_context(cafile=str(login.ca) if login.ca else None)
    try:
        with urllib.request.urlopen(url, timeout=TIME_LIMIT, context=context) as answer:  # noqa: S310
            text = answer.read(MOST_BYTES)
    except urllib.error.HTTPError as error:
        msg = f"{url} answers with status {error.code}: correct login.issuer in the catalogue"
        raise ProviderError(msg) from error
    except urllib.error.URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else error from None
    try:
        return json.loads(text)
    except ValueError as error:
        msg = f"{url} is no description of a provider: correct login.issuer in the catalogue"
        raise ProviderError(msg) from error


def _provider(login: Login, said: Any) -> Provider:
    known = said if isinstance(said, Mapping) else {}
    if known.get("issuer") != login.issuer:
        msg = f"{login.issuer}{DISCOVERY} is of the issuer {known.get('issuer')!r}: "
        raise ProviderError(msg + "write login.issuer in the catalogue exactly like this")
    try:
        methods = known.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return Provider(
            issuer=login.issuer,
            authorize_url=str(known["authorization_endpoint"]),
            token_url=str(known["token_endpoint"]),
            userinfo_url=str(known["userinfo_endpoint"]),
            keys_url=str(known["jwks_uri"]),
            scopes=tuple(known.get("scopes_supported") or ()),
            basic_auth="client_secret_post" not in methods,
        )
    except KeyError as error:
        msg = f"{login.issuer} does not name its {error}: it is no provider of OpenID Connect"
        raise ProviderError(msg) from error


def _why(login: Login, error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"{login.issuer} has a certificate that is not trusted: {error.verify_message}. "
        return words + "Name its authority's file in the catalogue with login.ca"
    return f"users can't log in: the provider {login.issuer} does not answer ({error}). Start it"


class IdTokens:
    """Checks ID tokens: the provider's signature, its name, this hub as audience, and the end."""

    def __init__(
        self, provider: Provider, client_id: str, fetch: Callable[[str], Awaitable[Any]]
    ) -> None:
        self._provider, self._client_id, self._fetch = provider, client_id, fetch
        self._keys: list[jwt.PyJWK] = []
        self._read = 0.0

    async def claims(self, token: str) -> dict[str, Any]:
        """Return a token's claims; raise `ProviderError` unless it is one for this hub."""
        try:
            key = await self._key(jwt.get_unverified_header(token).get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[*ALGORITHMS],
                audience=self._client_id,
                issuer=self._provider.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            msg = f"the provider's ID token is not for this hub: {error}"
            raise ProviderError(msg) from error
        if claims.get("azp", self._client_id) != self._client_id:
            raise ProviderError("the provider's ID token was made for another client")
        return claims

    async def _key(self, name: str | None) -> jwt.PyJWK:
        found = self._known(name)
        if found is None and time.monotonic() - self._read > KEYS_AGE:
            said = await self._fetch(self._provider.keys_url)
            self._keys = jwt.PyJWKSet.from_dict(said).keys
            self._read = time.monotonic()
            found = self._known(name)
        if found is None:
            msg = f"no key {name!r} at the provider"
            raise jwt.InvalidKeyError(msg)
        return found

    def _known(self, name: str | None) -> jwt.PyJWK | None:
        fit = [key for key in self._keys if name is None or key.key_id == name]
        return fit[0] if fit else None
