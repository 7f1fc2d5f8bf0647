"""How requests to an endpoint say who asks: asked anew for each request, kept nowhere."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Protocol

from .tokens import Token, TokenSource


@dataclass(frozen=True, slots=True)
class Login:
    """The value of an Authorization header, and its end in epoch seconds where that is known."""

    header: str = ""
    ends: float | None = None

    def __repr__(self) -> str:
        """Name no secret, whoever prints it."""
        return f"Login(ends={self.ends})"

    @property
    def ended(self) -> bool:
        """Whether its own end tells that it is of no use any more."""
        return Token("", self.ends).ended


class Logins(Protocol):
    """Gives the login for the next request."""

    async def login(self) -> Login:
        """Return it; raise LakeError with `login` or `expired` if there is none."""
        ...


class NoLogins:
    """For what is open to everyone, or knows the user by a certificate."""

    async def login(self) -> Login:
        """Return an empty login."""
        return Login()


class PasswordLogins:
    """A user name and a password."""

    def __init__(self, user: str, password: str) -> None:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._login = Login(f"Basic {pair}")

    async def login(self) -> Login:
        """Return the same each time."""
        return self._login


class TokenLogins:
    """A token of the user for one audience and scope."""

    def __init__(self, source: TokenSource, audience: str, scope: str) -> None:
        self._source = source
        self._audience = audience
        self._scope = scope

    async def login(self) -> Login:
        """Return a token that is fresh enough to be used at once."""
        token = await self._source.token(self._audience, self._scope)
        return Login(f"Bearer {token.value}", token.ends)
