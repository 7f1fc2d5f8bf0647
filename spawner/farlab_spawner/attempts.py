"""What a user has just sent and was refused: the form that comes back shows it again.

JupyterHub renders that form through the user's default server, whichever server was asked for, so
the choice can't be kept with the server's spawner.
"""

from __future__ import annotations

from .options import Options

_attempts: dict[int, Options] = {}


def keep(user_id: int, options: Options) -> None:
    """Remember what a user has sent; one choice a user."""
    _attempts[user_id] = options


def take(user_id: int) -> Options | None:
    """Return it once, and forget it."""
    return _attempts.pop(user_id, None)
