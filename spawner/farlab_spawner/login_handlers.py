"""What the hub tells the Farlab service of a user's login; it never tells a refresh token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope

if TYPE_CHECKING:
    from .authenticator import FarlabLogin

SCOPE = "admin:auth_state"
LONGEST_LIFE = 86_400


class LoginHandler(APIHandler):  # type: ignore[misc]  # it has no types
    """`GET`: who the user is to the provider. `POST`: that, and an access token that lasts."""

    route: Any  # the pattern and this class, as the authenticator routes it

    @needs_scope(SCOPE)  # type: ignore[untyped-decorator]
    async def get(self, user_name: str) -> None:
        """Tell what the last login said."""
        user = self.find_user(user_name)
        state = user and await self._login.known(user)
        if not state:
            self._refuse(404, "no-login", f"{user_name} has not logged in at the provider")
            return
        self.finish(json.dumps(self._login.facts_of(state)))

    @needs_scope(SCOPE)  # type: ignore[untyped-decorator]
    async def post(self, user_name: str) -> None:
        """Renew the access token if it does not last as long as `life` in the body, in seconds.

        Or if `refused` is the SHA-256 of it: somebody did not take it.
        """
        from .authenticator import LoginEndedError, ProviderAwayError  # noqa: PLC0415 - a circle

        user = self.find_user(user_name)
        if user is None:
            self._refuse(404, "no-login", f"{user_name} has not logged in at the provider")
            return
        wish = self.get_json_body() or {}
        life = wish.get("life", 0)
        life = min(max(life, 0), LONGEST_LIFE) if isinstance(life, (int, float)) else 0
        try:
            state = await self._login.fresh(user, life, str(wish.get("refused", "")))
        except LoginEndedError as error:
            self._refuse(409, "login-ended", str(error))
            return
        except ProviderAwayError as error:
            self.log.warning("No fresh token for %s: %s", user_name, error)
            self._refuse(503, "cannot-check", str(error))
            return
        told = state.get("token_response") or {}
        token = {"access_token": state["access_token"], "expires_at": told.get("expires_at")}
        self.finish(json.dumps(self._login.facts_of(state) | token))

    @property
    def _login(self) -> FarlabLogin:
        return cast("FarlabLogin", self.authenticator)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.set_status(status)
        self.finish(json.dumps({"code": code, "message": message}))


LoginHandler.route = (r"/farlab/login/(?P<user_name>[^/]+)", LoginHandler)
