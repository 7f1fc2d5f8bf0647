"""A choice of the catalogue as a workload with a kernel in it: pure functions of both."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

from farlab_sites.manifest import idle_time, seal
from farlab_sites.pods import make_pod
from farlab_sites.profiles import Choice
from farlab_sites.units import slug

from .models import NewWorkload

KERNEL = "kernel"
KEEPER_PORT = 9000
SECRETS = frozenset({"FARLAB_SECRET", "FARLAB_KERNEL_KEY"})

_CELL = "/var/run/farlab/cell"

# The agent fills in the port that it found free; -P keeps files of the job's folder from being
# taken for modules. A kernel gets no token, so there is nothing that it could call the hub with.
_AGENT = ("farlab-agent", "--port", str(KEEPER_PORT), "--")
_KEEPER = ("python", "-P", "-m", "farlab_kernels.keeper", "--port", f"{{port:{KEEPER_PORT}}}")


def new_secret() -> str:
    """Return a secret that nobody can guess."""
    return secrets.token_urlsafe(32)


def kernel_workload(
    chosen: Choice,
    *,
    uid: str,
    owner: str,
    groups: list[str],
    name: str,
    relay_url: str,
    secret: str,
    key: str,
    first: tuple[str, str] | None = None,
) -> NewWorkload:
    """Return the workload that keeps a kernel at the chosen site.

    `secret` is the agent's, `key` the kernel's; `relay_url` is what the agent dials where the site
    has no way of its own. `first` is a cell to begin with: its code, and its inputs in base64.
    """
    env = {
        "FARLAB_RELAY_URL": chosen.site.relay.url or relay_url,
        "FARLAB_WORKLOAD": uid,
        "FARLAB_SECRET": secret,
        "FARLAB_KERNEL_KEY": key,
    }
    idle = idle_time(chosen.site, chosen.profile)
    if idle is not None:
        env["FARLAB_IDLE"] = str(idle)
    pod = make_pod(
        chosen.part,
        name=f"kernel-{uid}",
        namespace="farlab",
        uid=uid,
        container=KERNEL,
        args=[*_AGENT, *_KEEPER],
        env=env,
        annotations={"farlab/owner": owner},
    )
    sealed, sealed_secrets = seal(pod, SECRETS)
    if first is not None:
        sealed_secrets.append(_mount_cell(sealed, *first))
    return NewWorkload(
        uid=uid,
        owner=owner,
        groups=groups,
        kind=KERNEL,
        site=chosen.site.name,
        profile=chosen.profile.name,
        pod=sealed,
        secrets=sealed_secrets,
        ports=[KEEPER_PORT],
        secret_sha256=hashlib.sha256(secret.encode()).hexdigest(),
        name=name,
        options=options(chosen),
        key=key,
    )


def _mount_cell(pod: dict[str, Any], code: str, inputs: str) -> dict[str, Any]:
    """Let a pod's kernel begin with a cell; return the v1.Secret that has it, for a file of each.

    A user's code and data are nobody else's to read, and may be longer than a variable can be.
    """
    metadata = {**pod["metadata"], "name": f"{pod['metadata']['name']}-cell"}
    (container,) = pod["spec"]["containers"]
    container["env"].append({"name": "FARLAB_FIRST_CELL", "value": _CELL})
    container["volumeMounts"] = [{"name": "cell", "mountPath": _CELL, "readOnly": True}]
    volume = {"secretName": metadata["name"], "defaultMode": 0o400}
    pod["spec"]["volumes"] = [{"name": "cell", "secret": volume}]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {name: metadata[name] for name in ("name", "namespace")},
        "data": {"code": base64.b64encode(code.encode()).decode(), "inputs": inputs},
    }


def options(chosen: Choice) -> dict[str, Any]:
    """Return what was chosen besides site and profile, as a request names it again."""
    partition = chosen.partition
    found = {
        "size": slug(chosen.size.title),
        "partition": slug(partition.title) if partition else "",
        "gpus": partition.gpus if partition else 0,
        "image": chosen.options.get("image", chosen.image),
    }
    return {name: value for name, value in found.items() if value}
