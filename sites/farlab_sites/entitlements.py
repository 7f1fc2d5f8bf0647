"""AARC entitlements: group membership as providers write it (AARC-G002, AARC-G069).

`urn:NAMESPACE:group:GROUP[:SUBGROUP]*[:role=ROLE][#AUTHORITY]`. Written from the guidelines: the
usual library takes another authority for the same, and a subgroup's member or a role's holder for a
member of the group itself.

A catalogue asks for an entitlement by writing it. It is fulfilled by that one alone: namespace,
group, role and authority must be equal, and absent where it has none. Two stars ask for more:
`:role=*` for any role or none, `:*` at the path's end for the group and everything below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

LONGEST = 1024
ANY = "*"
START = "urn:"

# What components are made of: URN characters, without those that part them.
_PART = r"(?:[A-Za-z0-9()+,\-.=@;$_!*'&~/ ]|%[0-9A-Fa-f]{2})+"
_SHAPE = re.compile(
    rf"urn:(?P<namespace>[A-Za-z0-9][A-Za-z0-9-]{{0,31}}(?::{_PART})+?)"
    rf":group:(?P<path>{_PART}(?::{_PART})*?)"
    rf"(?::role=(?P<role>{_PART}))?"
    rf"(?:#(?P<authority>(?:[A-Za-z0-9()+,\-.=@;$_!*'&~/:?]|%[0-9A-Fa-f]{{2}})+))?",
    re.IGNORECASE,
)


class EntitlementError(ValueError):
    """A text is no entitlement that names a group."""


@dataclass(frozen=True)
class Entitlement:
    """One membership. Components are decoded, so that a `%3A` in one parts nothing.

    As AARC-G069 says, the case of letters matters everywhere but in the namespace.
    """

    namespace: tuple[str, ...]
    path: tuple[str, ...]
    """The group, then its subgroups."""
    role: str | None = None
    authority: str | None = None

    @classmethod
    def parse(cls, text: str) -> Entitlement:
        """Read an entitlement; raises `EntitlementError` for anything else."""
        match = _SHAPE.fullmatch(text) if len(text) <= LONGEST else None
        if match is None:
            raise EntitlementError("is no AARC entitlement of a group")
        path = tuple(map(_decoded, match["path"].split(":")))
        if any(part.casefold().startswith("role=") for part in path):
            raise EntitlementError("has a role before its end")
        return cls(
            tuple(_decoded(part).lower() for part in match["namespace"].split(":")),
            path,
            None if match["role"] is None else _decoded(match["role"]),
            match["authority"],
        )

    def fulfils(self, wanted: Entitlement) -> bool:
        """Return whether this membership, of a user, is what a catalogue asks for."""
        if (self.namespace, self.authority) != (wanted.namespace, wanted.authority):
            return False
        if wanted.role not in (ANY, self.role):
            return False
        if wanted.path[-1] == ANY and len(wanted.path) > 1:
            above = wanted.path[:-1]
            return self.path[: len(above)] == above
        return self.path == wanted.path


def is_entitlement(text: str) -> bool:
    """Return whether a name in a catalogue is meant as an entitlement, not as a hub group."""
    return text[: len(START)].lower() == START


def fulfilled(wanted: str, given: Iterable[str]) -> bool:
    """Return whether one of a user's entitlements is the wanted one; malformed ones never are."""
    try:
        asked = Entitlement.parse(wanted)
    except EntitlementError:
        return False
    return any(one.fulfils(asked) for one in _readable(given))


def is_member(wanted: str, groups: Iterable[str], entitlements: Iterable[str]) -> bool:
    """Return whether a user is in what a catalogue names: a hub group, or an entitlement."""
    return fulfilled(wanted, entitlements) if is_entitlement(wanted) else wanted in groups


def among(wanted: Iterable[str], given: Iterable[str]) -> list[str]:
    """Return those of the wanted names that are entitlements and that a user's fulfil, sorted."""
    held = tuple(given)
    return sorted({one for one in wanted if is_entitlement(one) and fulfilled(one, held)})


def _readable(texts: Iterable[str]) -> Iterable[Entitlement]:
    for text in texts:
        try:
            yield Entitlement.parse(text)
        except EntitlementError:
            continue


def _decoded(part: str) -> str:
    try:
        text = unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise EntitlementError("is not UTF-8") from error
    if not text.isprintable():
        raise EntitlementError("holds a control character")
    return text
