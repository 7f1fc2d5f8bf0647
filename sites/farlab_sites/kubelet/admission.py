"""Which pods a virtual node can't take at all, and why."""

from __future__ import annotations

from dataclasses import dataclass

from farlab_sites.kubelet.api import Json

TAINT = {
    "key": "virtual-node.interlink/no-schedule",
    "value": "true",
    "effect": "NoSchedule",
}
CARRIED = ("configMap", "secret", "projected", "downwardAPI", "emptyDir")


@dataclass(frozen=True)
class Refused:
    """Why a pod fails at once: a word for machines and a sentence for people."""

    reason: str
    message: str


def refusal(manifest: Json) -> Refused | None:
    """Return why the pod can't run on a virtual node; None when it can."""
    spec = manifest["spec"]
    if not any(_tolerates(toleration) for toleration in spec.get("tolerations") or ()):
        return Refused(
            "UntoleratedTaint",
            f"the pod does not tolerate the taint {TAINT['key']}={TAINT['value']}:"
            f"{TAINT['effect']} of a virtual node: add that toleration, or leave out nodeName",
        )
    for volume in spec.get("volumes") or ():
        if not any(kind in volume for kind in CARRIED):
            kind = next((key for key in volume if key != "name"), "unknown")
            return Refused(
                "UnsupportedVolume",
                f"volume {volume['name']} is a {kind}, which a virtual node can't carry to its"
                f" site: use one of {', '.join(CARRIED)}",
            )
    return None


def _tolerates(toleration: Json) -> bool:
    """Tell whether a toleration matches the taint, by the rules of Kubernetes."""
    if toleration.get("effect") not in (None, "", TAINT["effect"]):
        return False
    exists = toleration.get("operator") == "Exists"
    if not toleration.get("key"):
        return exists
    if toleration["key"] != TAINT["key"]:
        return False
    return exists or toleration.get("value", "") == TAINT["value"]
