"""The hub's login, which keeps its tokens fresh.

JupyterHub's own process alone uses refresh tokens, one user's after the other: a provider that
gives a new one each time ends a login for which an old one is used twice. The Farlab service asks
here for fresh access tokens (`login_handlers`); a refresh token never leaves this process.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from farlab_sites.entitlements import among
from farlab_sites.login import Login
from oauthenticator.generic import GenericOAuthenticator
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError
from traitlets import Instance, List, Unicode

from .login_handlers import LoginHandler
from .memberships import entitlements_of, groups_of
from .provider import IdTokens, Provider, ProviderError

MOST_REMEMBERED = 10_000
ENDED = (400, 401, 403)
_NO_SESSION = ("invalid_grant", "invalid_token")


class LoginEndedError(Exception):
    """The user must log in again; the message says why."""


class ProviderAwayError(Exception):
    """The provider can't be asked now; the message says why."""


class Rotations:
    """What came of refresh tokens that were used: a late writer can't bring an old one back."""

    def __init__(self) -> None:
        self._next: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def used(self, token: str, state: dict[str, Any]) -> None:
        """Remember what a refresh token was exchanged for."""
        if state.get("refresh_token") != token:
            self._next[token] = state
            while len(self._next) > MOST_REMEMBERED:
                self._next.popitem(last=False)

    def newest(self, state: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return what came of a state in the end."""
        while state and (later := self._next.get(state.get("refresh_token") or "")):
            state = later
        return state


class FarlabLogin(GenericOAuthenticator):  # type: ignore[misc]  # it has no types
    """Log in at the provider that the catalogue names.

    ID tokens are checked by their signature; access tokens are renewed before they end; a provider
    that does not answer logs nobody out.
    """

    login_of_catalogue = Instance(Login, allow_none=True, help="What the catalogue says.").tag(
        config=True
    )
    provider = Instance(Provider, allow_none=True, help="What the provider says.").tag(config=True)
    named = List(Unicode(), help="What sites name as groups; entitlements among them.").tag(
        config=True
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._locks: dict[str, asyncio.Lock] = {}
        self._rotations = Rotations()
        self._id_tokens: IdTokens | None = None

    # -- who it is --------------------------------------------------------------------------------

    async def get_token_info(self, handler: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the provider's tokens, with their end, and what the ID token says."""
        told: dict[str, Any] = await super().get_token_info(handler, params)
        now = time.time()
        lasts = told.get("expires_in")
        if isinstance(lasts, (int, float)) or (isinstance(lasts, str) and lasts.isdecimal()):
            told |= {"issued_at": now, "expires_at": now + float(lasts)}
        if told.get("id_token"):
            told["id_claims"] = await self._checked(told["id_token"])
        elif params.get("grant_type") == "authorization_code":
            raise HTTPError(403, "The provider gave no ID token: ask for the scope openid.")
        return told

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Return what ID token and userinfo say of the user, who must be the same in both."""
        known: dict[str, Any] = token_info.get("id_claims") or {}
        user: dict[str, Any] = await super().token_to_user(token_info)
        if not user.get("sub") or user["sub"] != known.get("sub"):
            raise HTTPError(403, "The provider names two different users.")
        return {**known, **user}

    async def get_user_groups(self, auth_state: dict[str, Any]) -> set[str]:
        """Return the hub groups, from entitlements and claims."""
        if self.auth_state_groups_key != self._default_key() or self.login_of_catalogue is None:
            return set(await super().get_user_groups(auth_state))
        login, told = self.login_of_catalogue, auth_state[self.user_auth_state_key]
        # What a site's `groups:` names as an entitlement is a group of that name.
        return {*groups_of(login, told), *among(self.named, entitlements_of(login, told))}

    def _default_key(self) -> str:
        return f"{self.user_auth_state_key}.groups"

    async def _checked(self, id_token: str) -> dict[str, Any]:
        if self.provider is None:
            raise HTTPError(500, "FarlabLogin.provider is not set; use farlab_spawner.configure.")
        if self._id_tokens is None:
            self._id_tokens = IdTokens(self.provider, self.client_id, self.httpfetch)
        try:
            return await self._id_tokens.claims(id_token)
        except ProviderError as error:
            self.log.warning("A login was refused: %s", error)
            raise HTTPError(403, "The provider's ID token is not for this hub.") from error

    # -- keeping it fresh -------------------------------------------------------------------------

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> Any:
        """Look whether the login lives and what the provider says now; see JupyterHub's own."""
        if not self.enable_auth_state or self.refresh_user_hook is not None:
            return await super().refresh_user(user, handler, **kwargs)
        try:
            return await self._look_again(user)
        except LoginEndedError as error:
            self.log.info("%s must log in again: %s", user.name, error)
            return False
        except ProviderAwayError as error:
            self.log.warning("%s stays logged in unchecked: %s", user.name, error)
            return True

    async def fresh(self, user: Any, life: float, refused: str = "") -> dict[str, Any]:
        """Return the login's state, whose access token lasts `life` seconds, if any does so.

        It is another one than that with the SHA-256 `refused`. Raises `LoginEndedError` and
        `ProviderAwayError`.
        """
        async with self._lock(user):
            try:
                state = await self._fresh(user, life)
                mark = hashlib.sha256(str(state["access_token"]).encode()).hexdigest()
                return await self._renewed(user, state) if mark == refused else state
            except LoginEndedError:
                user._auth_refreshed = None  # the next page of the hub leads to the login
                raise

    async def known(self, user: Any) -> dict[str, Any] | None:
        """Return the newest state of a user's login; None where there never was one."""
        return self._rotations.newest(await user.get_auth_state())

    def facts_of(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return what of a login's state is no secret."""
        claims = state.get(self.user_auth_state_key) or {}
        told = state.get("token_response") or {}
        login = self.login_of_catalogue
        return {
            "issuer": self.provider.issuer if self.provider else str(claims.get("iss", "")),
            "subject": claims.get("sub", ""),
            "name": claims.get("name") or claims.get("preferred_username") or "",
            "claims": claims,
            "entitlements": [*entitlements_of(login, claims)] if login else [],
            "ends": None if state.get("refresh_token") else told.get("expires_at"),
            "ended": state.get("ended", ""),
        }

    def _lock(self, user: Any) -> asyncio.Lock:
        return self._locks.setdefault(user.name, asyncio.Lock())

    async def _look_again(self, user: Any) -> dict[str, Any]:
        async with self._lock(user):
            state = await self._fresh(user, 0)
            try:
                model = await self._model(state)
            except LoginEndedError:
                # The access token was taken back before its end.
                model = await self._model(await self._renewed(user, state))
            if not await self.check_allowed(user.name, model):
                reason = "you are in none of the groups whose members may log in"
                await self._end(user, model["auth_state"], reason)
            new = model.pop("auth_state")
            await self._keep(user, str(new.get("refresh_token")), new)
            # Without the state: it is written above, and the hub would write it again too late.
            return model

    async def _model(self, state: Mapping[str, Any]) -> dict[str, Any]:
        try:
            model: dict[str, Any] = await self._token_to_auth_model(state["token_response"])
        except HTTPClientError as error:
            if error.code in ENDED:
                raise LoginEndedError("the provider takes its access token no more") from error
            msg = f"the provider answers with {error.code} ({error.message})"
            raise ProviderAwayError(msg) from error
        except OSError as error:
            raise ProviderAwayError(f"the provider does not answer ({error})") from error
        return model

    async def _fresh(self, user: Any, life: float) -> dict[str, Any]:
        state = await self.known(user)
        if not state or not state.get("access_token"):
            raise LoginEndedError("the hub keeps no tokens of you")
        if state.get("ended"):
            raise LoginEndedError(str(state["ended"]))
        told = state.get("token_response") or {}
        ends = told.get("expires_at")
        if ends is None:
            return state
        # Where tokens are shorter than the wanted life, half of theirs must do.
        enough = min(life, (ends - told.get("issued_at", ends)) / 2)
        return state if ends - enough > time.time() else await self._renewed(user, state)

    async def _renewed(self, user: Any, state: dict[str, Any]) -> dict[str, Any]:
        token = state.get("refresh_token")
        if not token:
            await self._end(user, state, "its token has ended, and the provider gave none to renew")
        told = await self._renew(user, state, str(token))
        former = state.get("token_response") or {}
        told.setdefault("refresh_token", token)
        told.setdefault("id_claims", former.get("id_claims"))
        if (told["id_claims"] or {}).get("sub") != (former.get("id_claims") or {}).get("sub"):
            await self._end(user, state, "the provider gave a token of somebody else")
        claims = state.get(self.user_auth_state_key) or {}
        new: dict[str, Any] = self.build_auth_state_dict(told, claims)
        kept = await self._keep(user, str(token), new)
        self.log.debug("The access token of %s was renewed", user.name)
        return kept

    async def _renew(self, user: Any, state: dict[str, Any], token: str) -> dict[str, Any]:
        params = self.build_refresh_token_request_params(token)
        try:
            return await self.get_token_info(None, params)
        except HTTPClientError as error:
            said = error.response.body.decode(errors="replace") if error.response else ""
            if error.code in ENDED and any(word in said for word in _NO_SESSION):
                await self._end(user, state, "the provider has ended it")
            msg = f"the provider renews no tokens now: it answers with {error.code}"
            raise ProviderAwayError(msg) from error
        except HTTPError as error:
            raise ProviderAwayError("the provider's answer makes no sense") from error
        except OSError as error:
            raise ProviderAwayError(f"the provider does not answer ({error})") from error

    async def _keep(self, user: Any, used: str, new: dict[str, Any]) -> dict[str, Any]:
        """Write what came of a refresh token, unless the user has logged in anew meanwhile.

        Returns what holds now.
        """
        latest = await self.known(user)
        if latest is not None and str(latest.get("refresh_token")) != used:
            return latest
        self._rotations.used(used, new)
        await user.save_auth_state(new)
        return new

    async def _end(self, user: Any, state: dict[str, Any], reason: str) -> None:
        """Note that a login has ended, so that nobody asks the provider for it again."""
        await self._keep(user, str(state.get("refresh_token")), {**state, "ended": reason})
        raise LoginEndedError(reason)

    # -- the address ------------------------------------------------------------------------------

    def get_handlers(self, app: Any) -> list[Any]:
        """Add the one that gives fresh tokens to the Farlab service."""
        return [*super().get_handlers(app), LoginHandler.route]
