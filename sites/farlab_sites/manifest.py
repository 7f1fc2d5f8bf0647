"""The site's part of a pod, and secrets taken out of a pod.

Pure functions of the catalogue: what they return is the same for a server, a kernel or a
cluster, and whichever carrier takes the pod.
"""

from __future__ import annotations

import base64
import copy
import math
from collections.abc import Iterable, Iterator
from typing import Any

from farlab_sites.catalogue import Partition, Profile, Site, Size
from farlab_sites.lakes import environment_of

SitePart = dict[str, Any]
"""KubeSpawner's traits by name; mappings join what is there, other values replace it."""

GPU, QPU = "nvidia.com/gpu", "farlab/qpu"
SITE, PROFILE, RUNTIME = "farlab/site", "farlab/profile", "farlab/runtime"
WORKLOAD = "farlab/workload"
"""Label and annotation with the workload's uid: Kubernetes gives a pod another one."""
FLAGS = "slurm-job.vk.io/flags"
"""Annotation with the options of `sbatch`: interLink's own Slurm plugin reads the same one."""
IMAGE_ROOT, OPTIONS = "slurm-job.vk.io/image-root", "slurm-job.vk.io/singularity-options"
"""Annotations for interLink's own Slurm plugin; Farlab's finds both out by itself."""
VIRTUAL_TAINT = "virtual-node.interlink/no-schedule"

TOLERATIONS = (
    {"key": VIRTUAL_TAINT, "operator": "Exists"},
    # A virtual kubelet that is away says nothing about the jobs: they must outlive its absence.
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
)
"""What lets a pod onto a virtual node, and stay there."""

SECRET_NAMES = frozenset({"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "FARLAB_SECRET"})
"""Environment variables of a notebook server that `seal` must take out of its pod."""


def site_part(
    site: Site, profile: Profile, size: Size, partition: Partition | None, image: str
) -> SitePart:
    """Return everything that a choice adds to a pod, as overrides of KubeSpawner's traits."""
    parts = (
        profile_part(site, profile),
        size_part(size),
        partition_part(site, profile, partition),
        image_part(image),
    )
    merged: SitePart = {}
    for part in parts:
        for trait, value in part.items():
            merged[trait] = {**merged.get(trait, {}), **value} if isinstance(value, dict) else value
    return merged


def profile_part(site: Site, profile: Profile) -> SitePart:
    """Return what every choice of a profile adds: identity, environment, the virtual node."""
    part: SitePart = {
        "extra_annotations": {SITE: site.name, PROFILE: profile.name, RUNTIME: site.runtime},
        "environment": {
            **site.environment,
            "FARLAB_SITE": site.name,
            "FARLAB_SITE_TITLE": site.title,
            "FARLAB_SITE_KIND": site.kind,
            "FARLAB_PROFILE": profile.name,
            **environment_of(site.datalake, site.lakes),
        },
        "extra_pod_config": {"restartPolicy": "Never"},
        "node_selector": {},
        "tolerations": [],
    }
    if node := site.virtual_node:
        part["node_selector"] = {"kubernetes.io/hostname": node}
        part["tolerations"] = [dict(toleration) for toleration in TOLERATIONS]
        if site.runtime == "apptainer":
            part["extra_annotations"][IMAGE_ROOT] = "docker://"
    return part


def size_part(size: Size) -> SitePart:
    """Return what a size adds. Limits are always set: without them a job gets 1 CPU and 1 MB."""
    return {
        "cpu_limit": size.cpu,
        "cpu_guarantee": size.cpu,
        "mem_limit": size.memory,
        "mem_guarantee": size.memory,
    }


def partition_part(site: Site, profile: Profile, partition: Partition | None) -> SitePart:
    """Return what a partition adds: accelerators, walltime, the batch system's flags."""
    seconds = walltime(site, profile, partition)
    limits = {}
    if partition and partition.gpus:
        limits[GPU] = str(partition.gpus)
    if partition and partition.qpus:
        limits[QPU] = str(partition.qpus)
    flags = slurm_flags(partition, seconds, profile.project or site.project)
    notes = {FLAGS: flags} if flags else {}
    if site.virtual_node and site.runtime == "apptainer" and partition and partition.gpus:
        notes[OPTIONS] = "--nv"
    return {
        "extra_resource_limits": limits,
        "extra_annotations": notes,
        "extra_pod_config": {"activeDeadlineSeconds": seconds} if seconds else {},
    }


def image_part(image: str) -> SitePart:
    """Return what an image adds."""
    return {"image": image}


def walltime(site: Site, profile: Profile, partition: Partition | None) -> int | None:
    """Return the longest run in seconds: the partition's, else the profile's, else the site's."""
    return (partition and partition.walltime) or profile.walltime or site.walltime


def idle_time(site: Site, profile: Profile) -> int | None:
    """Return how long in seconds a kernel may do nothing: as the profile says, else the site."""
    return profile.idle or site.idle


def slurm_flags(
    partition: Partition | None, seconds: int | None, project: str | None = None
) -> str:
    """Return the options of `sbatch` for what is asked for; empty where that is nothing."""
    flags = [f"--account={project}"] if project else []
    if partition and partition.partition:
        flags.append(f"--partition={partition.partition}")
    if partition and (gres := _gres(partition)):
        flags.append(f"--gres={gres}")
    if seconds:
        flags.append(f"--time={math.ceil(seconds / 60)}")
    return " ".join(flags)


def _gres(partition: Partition) -> str:
    """Return a partition's accelerators as Slurm names them: gpu:a100:2,qpu:1."""
    kind = f"gpu:{partition.gpu_type}" if partition.gpu_type else "gpu"
    counts = {kind: partition.gpus, "qpu": partition.qpus}
    return ",".join(f"{name}:{count}" for name, count in counts.items() if count)


def seal(
    pod: dict[str, Any], secret_names: Iterable[str] = SECRET_NAMES
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a copy of a v1.Pod without these variables' values, and the v1.Secret with them.

    Each value is replaced by a reference to the Secret. Raise ValueError if one of the values
    is found anywhere else in the pod, as in an argument: it would be there for all to read.
    """
    sealed, names = copy.deepcopy(pod), frozenset(secret_names)
    meta = sealed["metadata"]
    name, data = f"{meta['name']}-env", dict[str, str]()
    for container in _containers(sealed):
        for variable in container.get("env") or []:
            if variable["name"] in names and variable.get("value"):
                key = _free_key(variable["name"], variable["value"], data)
                data[key] = variable.pop("value")
                variable["valueFrom"] = {"secretKeyRef": {"name": name, "key": key}}
    for path, text in _texts(sealed, "pod"):
        if any(len(value) >= 8 and value in text for value in data.values()):
            raise ValueError(f"a secret is also at {path}: take it out there")
    if not data:
        return sealed, []
    return sealed, [_secret(name, meta.get("namespace"), data)]


def _containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the pod's init containers and containers."""
    yield from pod["spec"].get("initContainers") or []
    yield from pod["spec"].get("containers") or []


def _free_key(name: str, value: str, data: dict[str, str]) -> str:
    """Return the variable's name, with a number where another container has another value."""
    key, number = name, 1
    while data.get(key, value) != value:
        number += 1
        key = f"{name}.{number}"
    return key


def _secret(name: str, namespace: str | None, data: dict[str, str]) -> dict[str, Any]:
    """Return a v1.Secret."""
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": meta,
        "data": encoded,
    }


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every text inside a JSON value, keys included, with the way to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield path, str(key)
            yield from _texts(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")
