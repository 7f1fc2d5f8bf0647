"""What is asked for when a kernel is started, checked against what the service offers."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from farlab_kernels.service.errors import ServiceError

_LONGEST_NAME = 40
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True)
class Wish:
    """What to start; an empty field leaves the choice to the site's profile."""

    site: str = ""
    profile: str = ""
    size: str = ""
    partition: str = ""
    gpus: int | None = None
    image: str = ""
    walltime: str = ""
    workers: int = 1

    @property
    def plain(self) -> bool:
        """Whether nothing but a site, if that, is asked for."""
        return self == Wish(self.site)

    def options(self) -> dict[str, Any]:
        """Return the fields that the service is told, besides the site."""
        said = asdict(self)
        return {name: said[name] for name in said if name not in ("site", "workers")}


class WishError(ServiceError):
    """Something that can't be had is asked for; says what can."""


def usable(site: Mapping[str, Any]) -> bool:
    """Tell whether a kernel can be started at a site now."""
    return bool(site.get("open", True) and site.get("kernels", True))


def choose_site(sites: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the site of that name, or the only one; WishError if there is none, or it is shut."""
    sites = [site for site in sites if site.get("kernels", True)]
    if not sites:
        raise WishError(
            "there is no site where you may start a kernel",
            "Ask the operator of your hub.",
            code="no-site",
        )
    if not name:
        return _only(sites)
    for site in sites:
        if site["name"] == name:
            if not site.get("open", True):
                reason = site.get("reason") or "it is not said why"
                raise WishError(f"{name} can't be used now: {reason}", code="site-shut")
            return site
    names = [str(site["name"]) for site in sites]
    raise WishError(f"there is no site {name}{near(name, names)}", code="no-site")


def _only(sites: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found = [site for site in sites if usable(site)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(site["name"]) for site in found or sites)
    if not found:
        raise WishError(f"none of your sites can be used now ({names})", code="site-shut")
    raise WishError("name a site", f"There are: {names}.", code="which-site")


def check_profile(site: dict[str, Any], profile: str) -> None:
    """Raise WishError when the site is known to have no such profile."""
    names = [str(known["name"]) for known in site.get("profiles") or ()]
    if profile and names and profile not in names:
        what = f"{site['name']} has no profile {profile}"
        raise WishError(f"{what}{near(profile, names)}", code="no-profile")


def near(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the one meant, or those there are."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"; did you mean {close[0]}?"
    there = "is only" if len(known) == 1 else "are"
    return f"; there {there} {', '.join(known)}" if known else ""


def check_name(name: str) -> str:
    """Return a name for workloads. Raises WishError."""
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        fix = f"Use at most {_LONGEST_NAME} of a-z, 0-9 and -, with a letter or digit at both ends."
        raise WishError(f"{name!r} is no name for a workload", fix, code="bad-name")
    return name


def this_notebook() -> str:
    """Return the path of the notebook whose kernel this is; empty where Jupyter does not say it."""
    return os.environ.get("JPY_SESSION_NAME", "")


def new_name(wish: Wish, notebook: str, purpose: str = "") -> str:
    """Make up a name, of the site and the notebook.

    A notebook that asks for the same gets the same name: so that, when its kernel was restarted, it
    finds what it has started before. `purpose` keeps apart what is not for its cells.
    """
    if not notebook:
        return another_name(wish.site)
    stem = re.sub(r"[^a-z0-9]+", "-", PurePath(notebook).stem.lower()).strip("-")
    mark = hashlib.sha256(repr((notebook, wish, purpose)).encode()).hexdigest()[:6]
    return f"{f'{wish.site}-{stem}'[: _LONGEST_NAME - 8].strip('-')}-{mark}"


def another_name(stem: str) -> str:
    """Make up a name that nothing has."""
    return f"{stem[: _LONGEST_NAME - 8]}-{secrets.token_hex(2)}"


def worker_names(name: str, count: int) -> list[str]:
    """Return the names of a session's workloads."""
    return [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]
