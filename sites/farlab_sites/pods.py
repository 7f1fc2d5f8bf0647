"""A pod without KubeSpawner: the site's part as a v1.Pod, for workloads that are no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from farlab_sites.manifest import SitePart


def make_pod(
    part: SitePart,
    *,
    name: str,
    namespace: str,
    uid: str,
    container: str,
    args: Sequence[str],
    env: Mapping[str, str],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    """Return the v1.Pod of a choice (`Choice.part`) that runs `args` in one container.

    The choice's environment and annotations do not replace those that are given here.
    """
    variables = {**part["environment"], **env}
    spec = {
        **part["extra_pod_config"],
        "containers": [
            {
                "name": container,
                "image": part["image"],
                "args": list(args),
                "env": [{"name": key, "value": value} for key, value in variables.items()],
                "resources": _resources(part),
            }
        ],
    }
    if part["node_selector"]:
        spec |= {"nodeSelector": part["node_selector"], "tolerations": part["tolerations"]}
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "annotations": {**part["extra_annotations"], **annotations},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _resources(part: SitePart) -> dict[str, dict[str, str]]:
    """Return requests and limits as Kubernetes writes quantities."""
    limits = {"cpu": f"{part['cpu_limit']:g}", "memory": str(part["mem_limit"])}
    requests = {"cpu": f"{part['cpu_guarantee']:g}", "memory": str(part["mem_guarantee"])}
    return {"requests": requests, "limits": limits | part["extra_resource_limits"]}
