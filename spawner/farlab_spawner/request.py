"""From KubeSpawner's pod manifest to what the hub service is asked to start."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from farlab_sites.manifest import seal
from farlab_sites.profiles import Choice

if TYPE_CHECKING:
    from .spawner import FarlabSpawner

PORT = 8888
AGENT = ["farlab-agent", "--port", str(PORT), "--call", "hub", "--call", "farlab", "--"]
LISTEN = f"http://127.0.0.1:{{port:{PORT}}}"  # the agent fills in the port it found free
CALL = "http://127.0.0.1:{call:hub}"
CALL_FARLAB = "http://127.0.0.1:{call:farlab}"


def workload_request(
    spawner: FarlabSpawner, chosen: Choice, uid: str, secret: str, pod: dict[str, Any]
) -> dict[str, Any]:
    """Return the body of POST /api/workloads for a notebook server."""
    pod["metadata"] |= {"uid": uid, "namespace": spawner.namespace}
    container = pod["spec"]["containers"][0]
    container["args"] = AGENT + container.get("args", [])
    _set_env(
        container,
        job_addresses(_env(container))
        | {
            "FARLAB_API_URL": CALL_FARLAB + urlsplit(spawner.service.url).path,
            "FARLAB_RELAY_URL": chosen.site.relay.url or spawner.relay_url,
            "FARLAB_WORKLOAD": uid,
            "FARLAB_SECRET": secret,
        },
    )
    sealed, secrets = seal(pod)
    return {
        "uid": uid,
        "owner": spawner.user.name,
        "groups": spawner.groups,
        "server_name": spawner.name,
        "kind": "server",
        "site": chosen.site.name,
        "profile": chosen.profile.name,
        "pod": sealed,
        "secrets": secrets,
        "configmaps": [],
        "ports": [PORT],
        "secret_sha256": hashlib.sha256(secret.encode()).hexdigest(),
    }


def job_addresses(env: dict[str, str]) -> dict[str, str]:
    """Return the hub's variables with the addresses that work inside the job.

    The server listens on a port that the agent chooses, and reaches the hub through the agent.
    """
    return {
        "JUPYTERHUB_SERVICE_URL": LISTEN + urlsplit(env["JUPYTERHUB_SERVICE_URL"]).path,
        "JUPYTERHUB_API_URL": CALL + urlsplit(env["JUPYTERHUB_API_URL"]).path,
        "JUPYTERHUB_ACTIVITY_URL": CALL + urlsplit(env["JUPYTERHUB_ACTIVITY_URL"]).path,
    }


def _env(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def _set_env(container: dict[str, Any], values: dict[str, str]) -> None:
    """Set variables of a container, in place of those of the same name."""
    kept = [entry for entry in container["env"] if entry["name"] not in values]
    container["env"] = kept + [{"name": name, "value": value} for name, value in values.items()]
