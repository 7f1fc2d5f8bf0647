"""The words for why a site is closed to a user: the same in the API, the panel and the form."""

from __future__ import annotations

from farlab_sites.catalogue import Site


def sentence(message: str, fix: str) -> str:
    """Return what is wrong and what to do as people read them.

    The first letter stays as it is: it may be a user name's.
    """
    text = message.strip().rstrip(".")
    return f"{text}. {fix.strip()}".strip() if text else fix.strip()


def not_a_member(site: Site) -> tuple[str, str]:
    """Return reason and fix for a user who is in none of a site's groups."""
    groups = site.groups or ()
    named = groups[0] if len(groups) == 1 else f"one of {', '.join(groups)}"
    reason = f"Only members of {named} may use {site.title}"
    return reason, "Ask to join the group, then log in again: your groups are read at the login."
