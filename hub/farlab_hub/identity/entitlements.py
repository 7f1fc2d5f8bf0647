"""The account of a virtual organisation: by hub group, or by AARC entitlement."""

from __future__ import annotations

from collections.abc import Mapping

from farlab_sites.catalogue import Site
from farlab_sites.entitlements import is_entitlement, is_member

from .linkage import Linkage, not_linked
from .person import Person


def by_membership(accounts: Mapping[str, str], person: Person, site: Site) -> Linkage:
    """Return the account of the first group or entitlement that a person has.

    The entitlements are those of the hub's login, whose issuer the catalogue names: nobody else's
    reach us. Raises `NotLinkedError`.
    """
    for wanted, account in accounts.items():
        if is_member(wanted, person.groups, person.entitlements):
            return Linkage(account, "vo", wanted)
    raise not_linked(person.name, site.title, "", "Ask to join one of the site's groups.")


def asks_for_entitlements(site: Site) -> bool:
    """Return whether who may use a site, or as whom, depends on entitlements."""
    accounts = site.accounts.vo if site.accounts and site.accounts.vo else {}
    return any(map(is_entitlement, [*(site.groups or ()), *accounts]))
