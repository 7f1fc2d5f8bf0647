"""Whose usage a caller may read: its own, its groups' as their manager, all as administrator."""

from __future__ import annotations

from collections.abc import Collection

from ..auth import ADMIN, METRICS, SPAWN, Caller
from ..errors import BadRequestError, ForbiddenError
from .queries import Whose


def whose(
    caller: Caller,
    managed: Collection[str],
    *,
    owner: str | None = None,
    group: str | None = None,
    everyone: bool = False,
) -> Whose:
    """Return whose usage is meant; raise `ForbiddenError` unless the caller may read it."""
    admin = ADMIN in caller.scopes
    if not (owner or group or everyone):
        if not caller.is_user:
            msg = "a service uses nothing itself: the query needs owner=, group= or all=true"
            raise _refused(msg) if not admin else BadRequestError(msg)
        return Whose(owner=caller.name)
    mine = caller.is_user and owner == caller.name
    if admin or mine or (group is not None and group in managed):
        return Whose(owner, group)
    what = "all usage" if everyone else f"the usage of {owner or group}"
    raise _refused(f"{caller.name} may not read {what}")


def may_read(caller: Caller, owner: str) -> None:
    """Raise `ForbiddenError` unless the caller may read what is published of a user's workload."""
    if ADMIN not in caller.scopes and not (caller.is_user and caller.name == owner):
        raise _refused(f"{caller.name} may not read the usage of another user")


def must_be_admin(caller: Caller) -> None:
    """Raise `ForbiddenError` unless the caller is an administrator."""
    if ADMIN not in caller.scopes:
        raise _refused(f"{caller.name} is no administrator")


def may_scrape(caller: Caller) -> None:
    """Raise `ForbiddenError` unless the caller may read figures about all users together."""
    if not caller.scopes & {ADMIN, METRICS}:
        msg = f"{caller.name}'s token has neither the scope {METRICS} nor {ADMIN}"
        raise ForbiddenError(msg, "Give Prometheus the token of a service with this scope.")


def for_whom(caller: Caller, user: str | None, groups: list[str]) -> tuple[str, list[str]]:
    """Return the user, with its groups, that a choice is estimated for."""
    if caller.is_user and user in (None, caller.name):
        return caller.name, [*caller.groups]
    if user is None:
        msg = "a service starts nothing itself: the query needs user=NAME"
        raise BadRequestError(msg)
    if not caller.scopes & {SPAWN, ADMIN}:
        raise _refused(f"{caller.name} may not ask for {user}")
    return user, groups


def _refused(message: str) -> ForbiddenError:
    fix = "Ask an administrator; managers of a group are named in the catalogue, under accounting."
    return ForbiddenError(message, fix)
