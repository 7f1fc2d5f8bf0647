"""The account that the login's own provider names: for sites whose provider is the hub's login."""

from __future__ import annotations

from farlab_sites.catalogue import Site
from farlab_sites.identity import Claim

from ..errors import CannotCheckError
from .linkage import Linkage, not_linked
from .person import Person


def by_claim(claim: Claim, person: Person, site: Site) -> Linkage:
    """Return the account that a claim of a person's login is.

    Only the login's own issuer speaks for the site: another provider may call anybody anything.
    Raises `NotLinkedError`, `CannotCheckError` for a hub whose login says nothing.
    """
    if not person.issuer:
        msg = f"your account at {site.title} cannot be checked: the hub's login says nothing of you"
        raise CannotCheckError(msg, "Log in to the hub again, or tell its operator.")
    if claim.issuer is not None and person.issuer != claim.issuer:
        why = f"your login is of {person.issuer}, its accounts are of {claim.issuer}"
        raise not_linked(person.name, site.title, why, "Log in to the hub with that provider.")
    value = person.claims.get(claim.name)
    if value is None or value == "":
        raise not_linked(person.name, site.title, f"your login has no {claim.name}")
    if not isinstance(value, str):
        msg = f"your account at {site.title} cannot be checked: {claim.name} is no text"
        raise CannotCheckError(msg, "Tell the hub's operator.")
    return Linkage(value, "claim", f"{claim.name} of {person.issuer}")
