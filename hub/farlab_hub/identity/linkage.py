"""What a mapping says: the local account of a person at a site, and by which rule."""

from __future__ import annotations

import pwd
import re
import time
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ForbiddenError, NotLinkedError

Rule = Literal["none", "file", "alise", "claim", "vo"]

SAFE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
FIRST_UID = 1000  # below it are a system's own accounts
# Accounts that own something on most systems, whatever their number; 0 under all its names.
REFUSED = frozenset({
    "root", "toor", "admin", "administrator", "nobody", "daemon", "bin", "sys", "sync",
    "games", "man", "lp", "mail", "news", "uucp", "proxy", "backup", "list", "irc", "gnats",
    "halt", "shutdown", "operator", "ftp", "adm", "dbus", "polkitd", "sshd", "ntp", "chrony",
    "rpc", "rpcuser", "nfsnobody", "postfix", "apache", "nginx", "httpd", "mysql", "postgres",
    "munge", "slurm", "condor", "ldap", "sssd", "unbound", "tcpdump", "messagebus", "syslog",
    "_apt", "jupyterhub", "farlab", "storm", "dcache", "xrootd",
})  # fmt: skip


@dataclass(frozen=True)
class ExternalIdentity:
    """A federated identity that is linked to an account; `last_seen` in epoch seconds."""

    issuer: str
    subject: str
    name: str = ""
    last_seen: float | None = None


@dataclass(frozen=True)
class Linkage:
    """Who somebody is at a site. `account` None: the plugin's own account runs every job."""

    account: str | None
    rule: Rule
    detail: str = ""
    """What decided, in a few words: the claim, the group, the linking service's site."""
    checked: float = field(default_factory=time.time)
    last_seen: float | None = None
    """When the account's owner was last seen by the linking service."""
    external: tuple[ExternalIdentity, ...] = ()


def must_be_usable(account: str, user: str, site: str) -> None:
    """Raise `ForbiddenError` (refused-account) for an account that no job may run as."""
    if SAFE.fullmatch(account) and account.lower() not in REFUSED and not _is_of_system(account):
        return
    msg = f"{user} is mapped to an account at {site} that no job may run as"
    fix = "The hub's operator must correct the site's account mapping."
    raise ForbiddenError(msg, fix, code="refused-account")


def not_linked(user: str, site: str, why: str = "", fix: str = "") -> NotLinkedError:
    """Return the error for somebody who certainly has no account at the site."""
    msg = f"{user} has no account at {site}" + (f": {why}" if why else "")
    fix = fix or "Ask the hub's operator or the site to link your account, then try again."
    return NotLinkedError(msg, fix)


def _is_of_system(account: str) -> bool:
    """Return whether this machine knows the name as a system's account: the site's does too."""
    try:
        return pwd.getpwnam(account).pw_uid < FIRST_UID
    except KeyError:
        return False
