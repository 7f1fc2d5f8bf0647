"""Who calls: the hub says it, for a token; and what a caller may do."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

from jupyterhub.services.auth import HubAuth
from tornado.web import HTTPError

from .errors import CannotCheckError, ForbiddenError, NoTokenError

log = logging.getLogger(__name__)

SPAWN = "custom:farlab:spawn"
CACHE_SECONDS = 60  # how long a token that was revoked may still be used


@dataclass(frozen=True)
class Caller:
    """A user or a service of the hub, with the scopes of the token that it came with."""

    name: str
    kind: str  # "user" or "service"
    scopes: frozenset[str]


class Gatekeeper:
    """Asks the hub about tokens, and remembers the answers for a while."""

    def __init__(self, hub: HubAuth) -> None:
        self._hub = hub

    async def identify(self, authorization: str) -> Caller:
        """Return who an Authorization header belongs to; `NoTokenError` when nobody."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() not in ("bearer", "token") or not token:
            msg = "this call needs a token of the hub"
            raise NoTokenError(msg, "Send the header Authorization: Bearer TOKEN.")
        model = await self._ask(token)
        if model is None:
            msg = "the hub does not know this token"
            raise NoTokenError(msg, "Ask for a new one; it may have expired.", code="bad-token")
        return Caller(model["name"], model["kind"], frozenset(model.get("scopes") or ()))

    async def _ask(self, token: str) -> dict[str, Any] | None:
        try:
            model: dict[str, Any] | None = await self._hub.user_for_token(token, sync=False)
        except HTTPError as error:
            mark = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()[:8]
            log.warning("token %s… cannot be checked: %s", mark, error.log_message)
            msg = "the hub does not answer, so the token cannot be checked"
            raise CannotCheckError(msg, "Try again in a moment.") from error
        return model


def may_act(caller: Caller, owner: str | None = None) -> None:
    """Raise `ForbiddenError` unless `caller` may act for `owner` (None: for everyone).

    The one place that says whose workloads are whose: today only the spawner's own token may act,
    for any user.
    """
    if SPAWN in caller.scopes:
        return
    whose = f"workloads of {owner}" if owner else "workloads"
    msg = f"{caller.name} may not use this API for {whose}: the token lacks the scope {SPAWN}"
    raise ForbiddenError(msg, "Use the token that farlab_spawner.configure() made.")
