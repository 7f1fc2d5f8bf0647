"""From a site's answer to a ping to a v1.Node's resources, taints and conditions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from farlab_sites.kubelet.admission import TAINT
from farlab_sites.kubelet.api import Json
from farlab_sites.kubelet.status import stamp

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_RESOURCE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
PLAIN = ("cpu", "memory", "pods", "ephemeral-storage")


def capacity(configured: Mapping[str, str], facts: Json) -> dict[str, str]:
    """Return what the node has: the site's word, and the configuration where it says nothing."""
    found = dict(configured)
    told = facts.get("resources")
    if not isinstance(told, dict):
        return found
    for name in PLAIN:
        amount = _amount(told.get(name))
        if amount is not None:
            found[name] = amount
    accelerators = told.get("accelerators")
    for item in accelerators if isinstance(accelerators, list) else ():
        if not isinstance(item, dict):
            continue
        kind, amount = item.get("resourceType"), _amount(item.get("available"))
        if isinstance(kind, str) and _RESOURCE.fullmatch(kind) and amount is not None:
            found[kind] = amount
    return found


def _amount(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    text = str(value)
    return text if _QUANTITY.fullmatch(text) else None


def resources_patch(old: Mapping[str, Any], new: Mapping[str, str]) -> dict[str, str | None]:
    """Return a merge patch of a node's resources: what the site does not have any more goes."""
    removed = dict.fromkeys(old.keys() - new.keys())
    return {**removed, **new}


def site_taints(facts: Json) -> list[Json]:
    """Return the taints that the site asks for; those that make no sense are left out."""
    told = facts.get("taints")
    found = []
    for item in told if isinstance(told, list) else ():
        if not isinstance(item, dict) or item.get("effect") not in _EFFECTS:
            continue
        key, value = item.get("key"), item.get("value") or ""
        if isinstance(key, str) and key and isinstance(value, str):
            found.append({"key": key, "value": value, "effect": item["effect"]})
    return found


def merged_taints(
    present: Iterable[Json], ours: Iterable[str], wanted: Iterable[Json]
) -> list[Json]:
    """Return the node's taints: those of others stay, `ours` (keys) are replaced by `wanted`."""
    mine = {*ours, TAINT["key"]}
    kept = [taint for taint in present if taint["key"] not in mine]
    taken = {(taint["key"], taint["effect"]) for taint in kept}
    made = [TAINT, *wanted]
    new = {(taint["key"], taint["effect"]): taint for taint in made}
    return [*kept, *(taint for pair, taint in new.items() if pair not in taken)]


def conditions(present: Iterable[Json], problem: str | None, now: datetime) -> list[Json]:
    """Return the node's conditions; `problem` is why the site can't be reached, if it can't."""
    reachable = problem is None
    words = problem or "the site answers"
    made = [
        ("Ready", reachable, "KubeletReady" if reachable else "SiteUnreachable", words),
        (
            "InterlinkConnectivity",
            reachable,
            "InterlinkPingSucceeded" if reachable else "InterlinkPingFailed",
            words,
        ),
        ("MemoryPressure", False, "NotMeasured", "the batch system sees to memory"),
        ("DiskPressure", False, "NotMeasured", "the site sees to its disks"),
        ("PIDPressure", False, "NotMeasured", "the site sees to its processes"),
        ("NetworkUnavailable", False, "NoPodNetwork", "pods use the site's own network"),
    ]
    old = {condition["type"]: condition for condition in present}
    found = []
    for kind, true, reason, message in made:
        status = "True" if true else "False"
        same = old.get(kind, {}).get("status") == status
        since = old[kind].get("lastTransitionTime") if same else None
        found.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": stamp(now),
                "lastTransitionTime": since or stamp(now),
            }
        )
    return found
