"""Tokens for lakes: where they come from, and when they end.

A token is asked for each time it is needed and never kept by a lake beyond its own end, because
the one in the file, or the hub's, is renewed while the server runs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .lake import LakeError

MARGIN = 30.0
"""Seconds before its end from which a token counts as ended: a call takes time."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token. `ends` is in epoch seconds; None where the token does not tell."""

    value: str
    ends: float | None = None

    def __repr__(self) -> str:
        """Name no secret, whoever prints it."""
        return f"Token(ends={self.ends})"

    @property
    def ended(self) -> bool:
        """Whether it is of no use any more, or won't be in a moment."""
        return self.ends is not None and self.ends - MARGIN < time.time()


class TokenSource(Protocol):
    """Gives this server's user a token for an audience, fresh enough to be used at once."""

    async def token(self, audience: str, scope: str) -> Token:
        """Return a token; raise LakeError with `login` or `expired` if there is none."""
        ...


class FileTokens:
    """The token in a file that something else keeps fresh; it is read each time."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    async def token(self, audience: str, scope: str) -> Token:
        """Return the file's token, whatever audience it is for: the lake will judge that."""
        if self._file is None:
            raise LakeError(
                "login",
                "This server has no token for the DataLake.",
                "Set FARLAB_TOKEN_FILE to a file that holds one, and is kept fresh.",
            )
        token = token_of(await asyncio.to_thread(self._read, self._file))
        if token.ended:
            words = f"The token in {self._file} has ended."
            raise LakeError("expired", words, "Renew it: the file is read again at once.")
        return token

    def _read(self, file: Path) -> str:
        fix = "Put a token into it, readable by you only."
        try:
            text = file.read_text().strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise LakeError("login", f"{file} can't be read: {reason}.", fix) from None
        if not text or any(not "!" <= char <= "~" for char in text):
            raise LakeError("login", f"{file} holds no token.", fix)
        return text


def token_of(value: str) -> Token:
    """Return a token with the end that it tells itself, if it is a JWT.

    Nobody's rights are judged by this: it only saves a call that can't succeed, and tells an ended
    token from a missing permission where a door answers 403 to both.
    """
    parts = value.split(".")
    if len(parts) != 3:
        return Token(value)
    try:
        payload = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(payload))
        return Token(value, float(claims["exp"]))
    except (binascii.Error, ValueError, KeyError, TypeError):
        return Token(value)
