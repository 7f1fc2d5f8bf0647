"""Tokens of a JupyterHub: the hub itself says whose they are."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from jupyterhub.services.auth import HubAuth
from tornado.web import HTTPError

from .auth import Caller, token_of
from .errors import CannotCheckError, NoTokenError

log = logging.getLogger(__name__)

CACHE_SECONDS = 60  # how long a token that was revoked may still be used


class HubGatekeeper:
    """Asks the hub about tokens; `HubAuth` remembers the answers for a while."""

    def __init__(self, hub: HubAuth) -> None:
        self._hub = hub

    async def identify(self, authorization: str) -> Caller:
        """Return who an Authorization header belongs to; see `auth.Gatekeeper`."""
        model = await self._ask(token_of(authorization))
        if model is None:
            msg = "the hub does not know this token"
            raise NoTokenError(msg, "Ask for a new one; it may have expired.", code="bad-token")
        scopes, groups = model.get("scopes") or (), model.get("groups") or ()
        return Caller(model["name"], model["kind"], frozenset(scopes), tuple(groups))

    async def _ask(self, token: str) -> dict[str, Any] | None:
        try:
            model: dict[str, Any] | None = await self._hub.user_for_token(token, sync=False)
        except HTTPError as error:
            mark = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()[:8]
            log.warning("token %s… cannot be checked: %s", mark, error.log_message)
            msg = "the hub does not answer, so the token cannot be checked"
            raise CannotCheckError(msg, "Try again in a moment.") from error
        return model
