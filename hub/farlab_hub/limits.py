"""How many workloads there may be: the catalogue's limits, and names that are not taken."""

from __future__ import annotations

from dataclasses import dataclass

from farlab_sites.catalogue import Site

from .errors import ConflictError, TooManyError
from .models import NewWorkload


@dataclass(frozen=True)
class Crowd:
    """What lives already beside a workload that is to be started."""

    at_site: int
    mine_at_site: int
    of_that_name: int


def admit(site: Site, workload: NewWorkload, crowd: Crowd) -> None:
    """Raise `TooManyError` or `ConflictError` when there is no room for a workload."""
    if crowd.of_that_name:
        msg = f"you have a workload named {workload.name!r} already"
        raise ConflictError(msg, "Choose another name, or end that one first.", code="name-taken")
    limits, mine, all_ = site.limits, crowd.mine_at_site, crowd.at_site
    if limits.workloads_per_user is not None and mine >= limits.workloads_per_user:
        most = limits.workloads_per_user
        msg = f"{workload.owner} has {_count(mine)} at {site.title}, and may have {most}"
        raise TooManyError(msg, "End one of them first.", code="user-limit")
    if limits.workloads is not None and all_ >= limits.workloads:
        msg = f"this hub has {_count(all_)} at {site.title}, and may have {limits.workloads}"
        raise TooManyError(msg, "Try again when one has ended, or choose another site.")


def _count(number: int) -> str:
    return f"{number} workload" if number == 1 else f"{number} workloads"
