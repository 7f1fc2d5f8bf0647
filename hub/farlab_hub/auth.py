"""Who calls, and what a caller may do: the one place that says whose workloads are whose."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from .errors import ForbiddenError, NoTokenError

SPAWN = "custom:farlab:spawn"
ADMIN = "custom:farlab:admin"
METRICS = "custom:farlab:metrics"
ACCESS = frozenset({"access:services", "access:services!service=farlab"})


@dataclass(frozen=True)
class Caller:
    """A user or a service, with the scopes of the token that it came with."""

    name: str
    kind: str  # "user" or "service"
    scopes: frozenset[str]
    groups: tuple[str, ...] = ()

    @property
    def is_user(self) -> bool:
        """Whether it can have workloads: a service may be called as a user is."""
        return self.kind == "user"


class Action(Enum):
    """What can be done with somebody's workloads; the value completes a sentence."""

    ANNOUNCE = "announce servers"
    USE = "use workloads"  # start them, reach their ports
    READ = "read workloads"
    CANCEL = "cancel workloads"


# Besides the owner, who may use what is theirs.
_ALLOWED = {
    Action.ANNOUNCE: frozenset({SPAWN}),
    Action.USE: frozenset[str](),
    Action.READ: frozenset({SPAWN, ADMIN}),
    Action.CANCEL: frozenset({SPAWN, ADMIN}),
}


class Gatekeeper(Protocol):
    """Knows who a token belongs to."""

    async def identify(self, authorization: str) -> Caller:
        """Return who an Authorization header belongs to.

        Raises `NoTokenError` when nobody, `CannotCheckError` when that can't be found out now.
        """


def token_of(authorization: str) -> str:
    """Return the token of an Authorization header; `NoTokenError` when there is none."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() not in ("bearer", "token") or not token:
        msg = "this call needs a token"
        raise NoTokenError(msg, "Send the header Authorization: Bearer TOKEN.")
    return token


def may_enter(caller: Caller, enough: Collection[str] = ()) -> None:
    """Raise `ForbiddenError` unless `caller` may use this API; a scope of `enough` will do, too.

    Such a scope opens an address or two, whoever it was given to, and nothing else.
    """
    if caller.scopes & {SPAWN, ADMIN, *enough} or (caller.is_user and caller.scopes & ACCESS):
        return
    if caller.is_user:
        msg = f"{caller.name}'s token lacks the scope access:services!service=farlab"
        fix = "Use a token with this scope; each user's own tokens have it by default."
    else:
        msg = f"the service {caller.name} has neither the scope {ADMIN} nor {SPAWN}"
        fix = f"Give it a role with {ADMIN} in jupyterhub_config.py, or use a user's token."
    raise ForbiddenError(msg, fix)


def may(caller: Caller, action: Action, owner: str | None) -> None:
    """Raise `ForbiddenError` unless `caller` may do this with what is `owner`'s (None: anyone's).

    Owners may do everything with what is theirs, save announcing servers, whose pods the spawner
    makes. The spawner's token and administrators may read and cancel, but never reach a port.
    """
    own = caller.is_user and caller.name == owner and action is not Action.ANNOUNCE
    if own or caller.scopes & _ALLOWED[action]:
        return
    needed = " or ".join(sorted(_ALLOWED[action]))
    whose = "this way" if action is Action.ANNOUNCE else "of other users"
    msg = f"{caller.name} may not {action.value} {whose}"
    msg += f": the token lacks the scope {needed}" if needed else ""
    raise ForbiddenError(msg, "Use the owner's token." if action is Action.USE else "")
