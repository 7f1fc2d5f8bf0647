"""From KubeSpawner's pod manifest to what the hub service is asked to start."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from farlab_sites.manifest import seal
from farlab_sites.profiles import Choice

PORT = 8888
AGENT = ["farlab-agent", "--port", str(PORT), "--call", "hub", "--call", "farlab", "--"]
LISTEN = f"http://127.0.0.1:{{port:{PORT}}}"  # the agent fills in the port it found free
CALL = "http://127.0.0.1:{call:hub}"
CALL_FARLAB = "http://127.0.0.1:{call:farlab}"


@dataclass(frozen=True)
class Job:
    """A notebook server that is to be started somewhere.

    `relay_url` is what its agent dials where the site has no way of its own, `api_url` the hub
    service's API as the hub itself reaches it.
    """

    uid: str
    secret: str
    chosen: Choice
    relay_url: str
    api_url: str

    @property
    def has_agent(self) -> bool:
        """Whether it needs one: on ordinary nodes of the cluster the hub reaches it without."""
        return not self.chosen.site.is_ordinary

    def args(self, args: list[str]) -> list[str]:
        """Return the arguments of its container, which KubeSpawner has made."""
        return AGENT + args if self.has_agent else args

    def env(self, env: dict[str, str]) -> dict[str, str]:
        """Return the variables that are set over those that KubeSpawner has made."""
        if not self.has_agent:
            return {"FARLAB_API_URL": self.api_url, "FARLAB_WORKLOAD": self.uid}
        return job_addresses(env) | {
            "FARLAB_API_URL": CALL_FARLAB + urlsplit(self.api_url).path,
            "FARLAB_RELAY_URL": self.chosen.site.relay.url or self.relay_url,
            "FARLAB_WORKLOAD": self.uid,
            "FARLAB_SECRET": self.secret,
        }


@dataclass(frozen=True)
class Owner:
    """Whose server it is, and which of theirs."""

    name: str
    groups: list[str]
    server_name: str
    namespace: str


def workload_request(job: Job, owner: Owner, pod: dict[str, Any]) -> dict[str, Any]:
    """Return the body of POST /api/workloads for a server whose plugin is given the pod."""
    container = pod["spec"]["containers"][0]
    env = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    container["args"] = job.args(container.get("args", []))
    _set_env(container, job.env(env))
    sealed, secrets = seal(pod)
    return announcement(job, owner, sealed) | {"secrets": secrets, "configmaps": []}


def announcement(job: Job, owner: Owner, pod: dict[str, Any]) -> dict[str, Any]:
    """Return the body of POST /api/workloads for a server whose pod is made by KubeSpawner."""
    pod["metadata"] |= {"uid": job.uid, "namespace": owner.namespace}
    return {
        "uid": job.uid,
        "owner": owner.name,
        "groups": owner.groups,
        "server_name": owner.server_name,
        "kind": "server",
        "site": job.chosen.site.name,
        "profile": job.chosen.profile.name,
        "pod": pod,
        "ports": [PORT],
        "secret_sha256": hashlib.sha256(job.secret.encode()).hexdigest(),
    }


def outline(pod: dict[str, Any]) -> dict[str, Any]:
    """Return what the service must know of a pod made elsewhere: nothing that is secret."""
    spec, kinds = pod["spec"], ("containers", "initContainers")
    kept = {
        kind: [{"name": one["name"], "image": one.get("image", "")} for one in spec.get(kind) or []]
        for kind in kinds
    }
    limit = {key: spec[key] for key in ("activeDeadlineSeconds",) if key in spec}
    names = {key: pod["metadata"][key] for key in ("name", "annotations")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": names, "spec": kept | limit}


def job_addresses(env: dict[str, str]) -> dict[str, str]:
    """Return the hub's variables with the addresses that work inside the job.

    The server listens on a port that the agent chooses, and reaches the hub through the agent.
    """
    return {
        "JUPYTERHUB_SERVICE_URL": LISTEN + urlsplit(env["JUPYTERHUB_SERVICE_URL"]).path,
        "JUPYTERHUB_API_URL": CALL + urlsplit(env["JUPYTERHUB_API_URL"]).path,
        "JUPYTERHUB_ACTIVITY_URL": CALL + urlsplit(env["JUPYTERHUB_ACTIVITY_URL"]).path,
    }


def _set_env(container: dict[str, Any], values: dict[str, str]) -> None:
    """Set variables of a container, in place of those of the same name."""
    kept = [entry for entry in container["env"] if entry["name"] not in values]
    container["env"] = kept + [{"name": name, "value": value} for name, value in values.items()]
