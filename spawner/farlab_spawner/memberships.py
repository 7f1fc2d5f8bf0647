"""Hub groups from what a provider says of a user: AARC entitlements and plain group claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from farlab_sites.entitlements import Entitlement, EntitlementError
from farlab_sites.login import Login

ENTITLEMENTS = ("eduperson_entitlement", "entitlements")

LONGEST = 255  # characters of a hub group's name
MEMBER = "member"


def entitlements_of(login: Login, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a user's entitlements as the provider gave them."""
    names = (login.entitlements_claim,) if login.entitlements_claim else ENTITLEMENTS
    return tuple(dict.fromkeys(text for name in names for text in _texts(claims.get(name))))


def groups_of(login: Login, claims: Mapping[str, Any]) -> list[str]:
    """Return the hub groups of a user, sorted.

    A subgroup (`vo:sub`) and a role other than member (`vo:role=admin`) are groups of their own:
    neither makes its user a member of `vo`.
    """
    said = entitlements_of(login, claims)
    found = {name for name in (_group(one, login.authorities) for one in said) if name}
    if login.groups_claim:
        found |= {name.removeprefix("/") for name in _texts(claims.get(login.groups_claim))}
    return sorted(name for name in found if name.isprintable() and 0 < len(name) <= LONGEST)


def _group(text: str, authorities: Iterable[str] | None) -> str:
    """Return the hub group that an entitlement stands for; empty where it stands for none."""
    try:
        one = Entitlement.parse(text)
    except EntitlementError:
        return ""
    if authorities is not None and (one.authority or "") not in authorities:
        return ""
    # A colon within a component would look like a subgroup's.
    path = ":".join(part.replace(":", "%3A") for part in one.path)
    return path if one.role in (None, MEMBER) else f"{path}:role={one.role}"


def _texts(value: Any) -> list[str]:
    """Return a claim's texts: providers write one as a list or as it is."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str) and one]
