"""What `%offload sites` and `%offload status` print."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from farlab_kernels.notebook.columns import table
from farlab_kernels.service.models import Workload


def sites(known: Sequence[dict[str, Any]]) -> str:
    """Return a table of sites and their profiles."""
    rows = [("site", "", "profiles", "now")]
    for site in known:
        profiles = ", ".join(str(profile["name"]) for profile in site.get("profiles") or ())
        rows.append((str(site["name"]), str(site.get("title", "")), profiles, _now(site)))
    return table(rows) if known else "no site is open to you"


def _now(site: dict[str, Any]) -> str:
    if not site.get("open", True):
        return f"not usable: {site.get('reason') or 'it is not said why'}"
    facts = site.get("facts") or {}
    found = (_partition(partition) for partition in facts.get("partitions") or ())
    return "; ".join(text for text in found if text) or "usable"


def _partition(facts: dict[str, Any]) -> str:
    free = facts.get("gpus_free")
    waiting = facts.get("waiting")
    parts = [f"{free} GPUs free" if free is not None and facts.get("gpus") else "",
             f"{waiting} jobs wait" if waiting else ""]  # fmt: skip
    said = ", ".join(part for part in parts if part)
    return f"{facts.get('name', '')}: {said}" if said else ""


def status(workloads: Iterable[Workload], current: str) -> str:
    """Return a table of workloads; `current` is the name of the one used last."""
    rows = [("", "name", "site", "state", "", "node", "time left")]
    rows += [
        ("*" if workload.name == current else "", workload.name or workload.uid[:8], workload.site,
         workload.state, "" if workload.words == workload.state else workload.words, workload.node,
         _left(workload.deadline))
        for workload in workloads
    ]  # fmt: skip
    return table(rows) if len(rows) > 1 else "nothing of yours runs at a site"


def _left(deadline: float | None) -> str:
    if not deadline:
        return ""
    minutes = max(0, int(deadline - time.time())) // 60
    return f"{minutes // 60}:{minutes % 60:02}"
