"""Tokens where there is no hub: one secret, one user."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from .auth import ACCESS, Caller, token_of
from .errors import NoTokenError


class OneUser:
    """Lets in whoever has the token, as the one user there is."""

    def __init__(self, name: str, token: str, groups: Sequence[str] = ()) -> None:
        self._caller = Caller(name, "user", ACCESS, tuple(groups))
        self._token = token

    async def identify(self, authorization: str) -> Caller:
        """Return the user for the right token; see `auth.Gatekeeper`."""
        given = token_of(authorization).encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._token.encode()):
            msg = "this is not the token of this server's Farlab service"
            raise NoTokenError(msg, "Use $FARLAB_API_TOKEN of the server.", code="bad-token")
        return self._caller
