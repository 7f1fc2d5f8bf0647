"""What the hub service says about a site, in the words of the form.

It comes from the site's plugin in the end: nothing in it is taken for granted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from farlab_sites.catalogue import Partition, Site

from .words import count, duration

Entry = Mapping[str, Any]
"""One site in the answer of GET /api/sites, or one of its partitions."""

# The words of the panel "Accounts at sites".
_CLOSED = {
    "not-linked": ("Not linked", "warn"),
    "cannot-check": ("Can't check", "off"),
    "refused": ("Closed to you", "off"),
}

FRESH_S = 120.0
"""Facts that are older are shown with their age."""

FARTHEST_S = 366 * 86400.0
"""An expected start that is farther away is taken for a mistake."""


@dataclass(frozen=True)
class Moment:
    """A time to show: seconds since the epoch, which the browser turns into the reader's time."""

    epoch: float

    @property
    def text(self) -> str:
        """The same in UTC."""
        return time.strftime("%H:%M UTC", time.gmtime(self.epoch))

    @property
    def dated(self) -> str:
        """The same with its day."""
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.epoch))


def badge_of(entry: Entry | None, full: bool) -> tuple[str, str]:
    """Return the state of a site in a few words, and its tone."""
    if entry is None:
        return "State unknown", "unknown"
    if entry.get("open"):
        return ("Busy", "warn") if full else ("Available", "ok")
    return _CLOSED.get(linkage_of(entry)[0], ("Unavailable", "off"))


def linkage_of(entry: Entry | None) -> tuple[str, str]:
    """Return why a site is closed to the user, and where an account is linked if that helps."""
    said = (entry or {}).get("linkage")
    if not isinstance(said, Mapping):
        return "", ""
    why = str(said.get("reason") or "").strip().rstrip(".")
    if not why or not str((entry or {}).get("reason")).startswith(why):
        return "", ""  # it is closed for another reason
    state, url = str(said.get("state")), str(said.get("link_url") or "")
    return state, url if state == "not-linked" and url.startswith(("https://", "http://")) else ""


def is_full(partitions: Sequence[Entry]) -> bool:
    """Say whether no partition has anything free."""
    known = [p["nodes_free"] for p in partitions if isinstance(p.get("nodes_free"), int)]
    return bool(known) and not any(known)


def partitions_of(entry: Entry | None) -> list[Entry]:
    """Return what a site says about its partitions; nothing in it is taken for granted."""
    facts = (entry or {}).get("facts")
    listed = facts.get("partitions") if isinstance(facts, Mapping) else None
    return [p for p in listed if isinstance(p, Mapping)] if isinstance(listed, list) else []


def offered(site: Site, entry: Entry | None) -> list[Entry]:
    """Return the facts of the partitions that the site's profiles offer; of all, if of none."""
    names = {p.partition for profile in site.profiles for p in profile.partitions}
    listed = partitions_of(entry)
    return [p for p in listed if p.get("name") in names] or listed


def live_facts(partitions: Sequence[Entry], age: object) -> tuple[str, ...]:
    """Return the live facts of a site, each as a few words; `age` in seconds.

    Partitions are told apart: they may share nodes, so that sums would say too much.
    """
    lines = [_free_in(partition, alone=len(partitions) == 1) for partition in partitions]
    waiting = [p["waiting"] for p in partitions if isinstance(p.get("waiting"), int)]
    if waiting:
        lines.append(f"{count(sum(waiting), 'job')} waiting" if any(waiting) else "no jobs waiting")
    if any(lines) and isinstance(age, int | float) and age > FRESH_S:
        lines.append(f"as of {duration(age)} ago")
    return tuple(line for line in lines if line)


def _free_in(partition: Entry, *, alone: bool) -> str:
    """Return what is free in a partition; of a single machine, its cores."""
    nodes = _of(partition, "nodes", "node")
    if partition.get("nodes") == 1:
        cpus = partition.get("cpus_free")
        nodes = count(cpus, "CPU core") if isinstance(cpus, int) else ""
    parts = [part for part in (nodes, _of(partition, "gpus", "GPU")) if part]
    if not parts:
        return ""
    words = f"{', '.join(parts)} free"
    return words if alone else f"{str(partition.get('name'))[:20]}: {words}"


def _of(partition: Entry, key: str, thing: str) -> str:
    """Return how many of a thing there are of how many; empty where it is not known."""
    total, free = partition.get(key), partition.get(f"{key}_free")
    known = isinstance(total, int) and isinstance(free, int) and total
    return f"{free:,} of {count(total or 0, thing)}" if known else ""


def soonest(partitions: Sequence[Entry]) -> Moment | None:
    """Return the earliest start that the batch system expects; None where it does not say."""
    starts = [moment for p in partitions if (moment := moment_of(p.get("start_estimate")))]
    return min(starts, key=lambda moment: moment.epoch, default=None)


def moment_of(value: object) -> Moment | None:
    """Read a time to come: seconds since the epoch, or ISO 8601 (UTC where it does not say)."""
    try:
        if isinstance(value, str):
            read = datetime.fromisoformat(value)
            value = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None
    now = time.time()
    if isinstance(value, int | float) and now < value < now + FARTHEST_S:
        return Moment(float(value))
    return None


def account_of(site: Site, entry: Entry | None) -> str:
    """Say whose account the job runs under; nothing where the site has no accounts to map."""
    account = (entry or {}).get("account")
    if account:
        return f"linked as {account}"
    return "" if site.accounts is None or entry is None else "no account linked"


def about_partition(partition: Partition, facts: Sequence[Entry]) -> tuple[str, Moment | None]:
    """Return what is free and waiting in a partition, and when a job is expected to start there."""
    known = _known(partition, facts)
    parts = []
    if partition.gpus and isinstance(known.get("gpus_free"), int):
        parts.append(f"{count(known['gpus_free'], 'GPU')} free")
    elif partition.partition and isinstance(known.get("nodes_free"), int):
        parts.append(f"{count(known['nodes_free'], 'node')} free")
    if isinstance(known.get("waiting"), int) and known["waiting"]:
        parts.append(f"{count(known['waiting'], 'job')} waiting")
    return ", ".join(parts), moment_of(known.get("start_estimate"))


def _known(partition: Partition, facts: Sequence[Entry]) -> Entry:
    """Return the facts of a partition; a site without partitions has one entry for all."""
    if partition.partition is None:
        return facts[0] if len(facts) == 1 else {}
    return next((known for known in facts if known.get("name") == partition.partition), {})
