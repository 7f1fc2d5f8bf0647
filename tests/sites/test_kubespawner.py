"""The profile_list in a real KubeSpawner: the pod that a choice becomes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from farlab_sites.catalogue import Catalogue
from farlab_sites.manifest import SECRET_NAMES, seal
from farlab_sites.profiles import UNLISTED, choice, profile_list
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.config import kube_config
from kubespawner import KubeSpawner

Pod = dict[str, Any]

INERT = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "none", "user": {}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "current-context": "none",
}

CHOICES = [
    {"profile": "ukri--lab"},
    {"profile": "ukri--lab", "partition": "1-gpu-nvidia-a100", "size": "8-cpu-16-gb"},
    {"profile": "ukri--lab", UNLISTED: "quay.io/jupyter/r-notebook:2026-10-05"},
    {"profile": "vega--gpu", "partition": "gpu-4-x-a100", "image": "itwinai"},
    {"profile": "vega--cpu", "partition": "largemem-1-tb-nodes"},
    {"profile": "psnc--lab", "partition": "standard-no-gpu"},
    {"profile": "juelich--lab"},
    {"profile": "kbfi--lab", "size": "4-cpu-8-gb"},
    {"profile": "qmio--qiskit", "partition": "quantum-processor-32-qubits"},
]


@pytest.fixture
def spawner(
    example: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., KubeSpawner]:
    """Return a KubeSpawner without any Kubernetes, with the catalogue's profiles."""
    config = tmp_path / "kubeconfig"
    config.write_text(json.dumps(INERT))
    # The library reads KUBECONFIG once, when it is imported.
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(config))

    def spawner(catalogue: Catalogue = example) -> KubeSpawner:
        made = KubeSpawner(_mock=True, cmd=["jupyterhub-singleuser"])
        made.profile_list = profile_list(catalogue.sites)
        made.api_token = "t0ken-of-this-server"
        return made

    return spawner


@pytest.fixture
async def pod_of() -> Callable[[KubeSpawner, dict[str, str]], Awaitable[Pod]]:
    """Return the pod manifest, as JSON, that a spawner makes for a user's options."""

    async def pod_of(spawner: KubeSpawner, options: dict[str, str]) -> Pod:
        spawner.user_options = options
        await spawner.load_user_options()
        async with ApiClient() as client:
            pod: Pod = client.sanitize_for_serialization(await spawner.get_pod_manifest())
        return pod

    return pod_of


def _environment(pod: Pod) -> dict[str, str]:
    (container,) = pod["spec"]["containers"]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


async def test_a_choice_becomes_the_whole_pod(
    example: Catalogue, spawner: Callable[..., KubeSpawner], pod_of: Any
) -> None:
    options = choice(example, {"profile": "vega--gpu", "partition": "gpu-2-x-a100"}).options
    pod = await pod_of(spawner(), options)
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "quay.io/jupyter/minimal-notebook:2026-10-05"
    limits = {"cpu": 8, "memory": 64 * 2**30, "nvidia.com/gpu": "2"}
    assert container["resources"]["limits"] == limits
    assert container["resources"]["requests"] == {"cpu": 8, "memory": 64 * 2**30}
    assert pod["spec"]["activeDeadlineSeconds"] == 8 * 3600
    assert pod["spec"]["restartPolicy"] == "Never"
    annotations = pod["metadata"]["annotations"]
    assert annotations["farlab/site"] == "vega"
    assert annotations["farlab/profile"] == "gpu"
    assert annotations["farlab/runtime"] == "apptainer"
    flags = "--partition=gpu --gres=gpu:a100:2 --time=480"
    assert annotations["slurm-job.vk.io/flags"] == flags
    environment = _environment(pod)
    assert environment["OMP_NUM_THREADS"] == "8"
    assert environment["FARLAB_SITE_TITLE"] == "Offload to Vega HPC"
    assert environment["FARLAB_SITE_KIND"] == "hpc"
    assert environment["FARLAB_PROFILE"] == "gpu"


@pytest.mark.parametrize("options", CHOICES, ids=str)
async def test_kubespawner_makes_what_the_site_part_says(
    example: Catalogue, spawner: Callable[..., KubeSpawner], pod_of: Any, options: dict[str, str]
) -> None:
    chosen = choice(example, options)
    pod, part = await pod_of(spawner(), chosen.options), chosen.part
    (container,) = pod["spec"]["containers"]
    resources = container["resources"]["limits"]
    assert resources.pop("cpu") == part["cpu_limit"]
    assert resources.pop("memory") == part["mem_limit"]
    assert resources == part["extra_resource_limits"]
    assert container["image"] == part["image"] == chosen.image
    assert part["extra_annotations"].items() <= pod["metadata"]["annotations"].items()
    assert part["environment"].items() <= _environment(pod).items()
    deadline = part["extra_pod_config"].get("activeDeadlineSeconds")
    assert pod["spec"].get("activeDeadlineSeconds") == deadline


async def test_nothing_of_an_earlier_choice_is_left(
    example: Catalogue, spawner: Callable[..., KubeSpawner], pod_of: Any, load: Any, small: str
) -> None:
    kept = Catalogue(sites=(*example.sites, *load(small).sites))
    used = spawner(kept)
    await pod_of(used, choice(example, CHOICES[3]).options)
    await pod_of(used, choice(example, CHOICES[8]).options)
    pod = await pod_of(used, choice(kept, {"profile": "here--lab"}).options)
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": 1, "memory": 2**30}
    assert "activeDeadlineSeconds" not in pod["spec"]
    assert "slurm-job.vk.io/flags" not in pod["metadata"]["annotations"]


async def test_a_virtual_node_is_selected(
    spawner: Callable[..., KubeSpawner], pod_of: Any, load: Any, small: str
) -> None:
    direct = '{direct: {url: "http://127.0.0.1:4000"}}'
    both = small + small.removeprefix("sites:\n").replace("here", "node", 1).replace(
        direct, "{kubernetes: {node: vega-vk}}"
    )
    catalogue = load(both)
    used = spawner(catalogue)
    pod = await pod_of(used, choice(catalogue, {"profile": "node--lab"}).options)
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "vega-vk"}
    toleration = {"key": "virtual-node.interlink/no-schedule", "operator": "Exists"}
    assert toleration in pod["spec"]["tolerations"]
    pod = await pod_of(used, choice(catalogue, {"profile": "here--lab"}).options)
    assert "nodeSelector" not in pod["spec"]
    assert toleration not in pod["spec"].get("tolerations", [])


async def test_braces_are_only_braces(
    spawner: Callable[..., KubeSpawner], pod_of: Any, load: Any, small: str
) -> None:
    text = small.replace("Right here", '"{Right} {username}"')
    catalogue = load(text + '    environment: {A: "{}{{x}} {username}", B: "a-"}\n')
    pod = await pod_of(spawner(catalogue), choice(catalogue, {"profile": "here--lab"}).options)
    environment = _environment(pod)
    assert environment["A"] == "{}{{x}} {username}"
    assert environment["B"] == "a-"
    assert environment["FARLAB_SITE_TITLE"] == "{Right} {username}"


async def test_no_secret_is_left_in_a_sealed_pod(
    example: Catalogue, spawner: Callable[..., KubeSpawner], pod_of: Any
) -> None:
    made = spawner()
    made.environment = {"FARLAB_SECRET": "s3cret-of-the-agent"}
    pod = await pod_of(made, choice(example, {"profile": "ukri--lab"}).options)
    pod["metadata"]["namespace"] = "default"
    assert made.api_token in json.dumps(pod)
    sealed, secrets = seal(pod, SECRET_NAMES)
    for value in (made.api_token, "s3cret-of-the-agent"):
        assert value not in json.dumps(sealed)
    (secret,) = secrets
    assert set(secret["data"]) == SECRET_NAMES
