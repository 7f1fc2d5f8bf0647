"""What nodes of Kubernetes tell of a site, in the words of a plugin's own facts."""

from __future__ import annotations

import json
from collections.abc import Sequence

from farlab_sites.interlink import Json
from farlab_sites.plugin.quantities import parse_quantity

PING = "interlink.virtual-kubelet.io/ping-response"
"""Annotation of a virtual node with its plugin's last answer; interLink's own writes it too."""

_PLAIN = frozenset({"cpu", "memory", "pods", "ephemeral-storage"})


def trouble_of(node: Json) -> str:
    """Return why a node takes nothing now, in words; empty when it does."""
    name = node["metadata"]["name"]
    for condition in (node.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            why = condition.get("message") or condition.get("reason") or "no reason given"
            return f"its node {name} is not ready: {why}"
    return ""


def facts_of(nodes: Sequence[Json]) -> Json:
    """Return the facts of a virtual node's plugin, or else what the nodes have."""
    if len(nodes) == 1 and (said := _ping_of(nodes[0])):
        return said
    ready = [node for node in nodes if not trouble_of(node)]
    totals: dict[str, float] = {}
    for node in ready:
        for name, quantity in ((node.get("status") or {}).get("allocatable") or {}).items():
            totals[name] = totals.get(name, 0) + _amount(str(quantity))
    resources: Json = {name: f"{totals[name]:g}" for name in ("cpu", "pods") if name in totals}
    if "memory" in totals:
        resources["memory"] = str(int(totals["memory"]))
    resources["accelerators"] = [
        {"resourceType": name, "available": int(amount)}
        for name, amount in sorted(totals.items())
        if name not in _PLAIN and not name.startswith("hugepages-")
    ]
    return {"status": "ok", "resources": resources, "nodes": len(ready)}


def _ping_of(node: Json) -> Json:
    text = (node["metadata"].get("annotations") or {}).get(PING) or ""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _amount(quantity: str) -> float:
    """Return a quantity of Kubernetes as a number; 0 for what is none."""
    try:
        return float(parse_quantity(quantity))
    except ValueError:
        return 0.0
