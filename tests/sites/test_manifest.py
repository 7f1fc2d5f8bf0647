"""The site's part of a pod, and secrets taken out of pods."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from farlab_sites.catalogue import Catalogue, Partition
from farlab_sites.manifest import seal, site_part, slurm_flags
from farlab_sites.profiles import choice

Pod = dict[str, Any]


def test_a_site_part_is_data(example: Catalogue) -> None:
    options = {"profile": "qmio--qiskit", "partition": "quantum-processor-32-qubits"}
    assert choice(example, options).part == {
        "cpu_limit": 4,
        "cpu_guarantee": 4,
        "mem_limit": 16 * 2**30,
        "mem_guarantee": 16 * 2**30,
        "image": "/opt/cesga/qiskit/2",
        "extra_resource_limits": {"farlab/qpu": "1"},
        "node_selector": {},
        "tolerations": [],
        "extra_annotations": {
            "farlab/site": "qmio",
            "farlab/profile": "qiskit",
            "farlab/runtime": "none",
            "slurm-job.vk.io/flags": "--partition=qpu --gres=qpu:1 --time=30",
        },
        "environment": {
            "FARLAB_SITE": "qmio",
            "FARLAB_SITE_TITLE": "CESGA QMIO",
            "FARLAB_SITE_KIND": "quantum",
            "FARLAB_PROFILE": "qiskit",
        },
        "extra_pod_config": {"restartPolicy": "Never", "activeDeadlineSeconds": 1800},
    }


def test_the_innermost_walltime_counts(load: Any, small: str) -> None:
    sized = "        partitions: [{title: a}, {title: b, walltime: 10}]\n"

    def deadline(text: str, partition: str) -> int | None:
        options = {"profile": "here--lab", "partition": partition}
        part = choice(load(text), options).part
        seconds: int | None = part["extra_pod_config"].get("activeDeadlineSeconds")
        return seconds

    assert deadline(small + sized, "a") is None
    assert deadline(small + sized, "b") == 600
    site = small + sized + "    walltime: 30\n"
    assert deadline(site, "a") == 1800
    profile = small + sized + "        walltime: 20\n    walltime: 30\n"
    assert deadline(profile, "a") == 1200
    assert deadline(profile, "b") == 600


@pytest.mark.parametrize(
    ("partition", "seconds", "flags"),
    [
        (None, None, ""),
        (None, 61, "--time=2"),
        (Partition(title="a"), None, ""),
        (Partition(title="a", partition="gpu"), 3600, "--partition=gpu --time=60"),
        (Partition(title="a", gpus=2), None, "--gres=gpu:2"),
        (
            Partition(title="a", gpus=1, gpu_type="a100", qpus=1),
            None,
            "--gres=gpu:a100:1,qpu:1",
        ),
    ],
)
def test_flags_are_those_of_sbatch(
    partition: Partition | None, seconds: int | None, flags: str
) -> None:
    assert slurm_flags(partition, seconds) == flags


def test_jobs_are_charged_to_the_profiles_project_or_the_sites(load: Any, small: str) -> None:
    def flags(text: str) -> str | None:
        part = choice(load(text), {"profile": "here--lab"}).part
        found: str | None = part["extra_annotations"].get("slurm-job.vk.io/flags")
        return found

    assert flags(small) is None
    assert flags(small + "    project: itw-2026\n    walltime: 30\n") == (
        "--account=itw-2026 --time=30"
    )
    assert flags(small + "        project: mine\n    project: itw-2026\n") == "--account=mine"


def test_the_catalogue_is_not_changed_by_its_parts(example: Catalogue) -> None:
    site = example.site("vega")
    profile = site.profile("gpu")
    before = copy.deepcopy(site)
    part = site_part(site, profile, profile.sizes[0], profile.partitions[0], "x")
    part["environment"]["X"] = "y"
    part["extra_annotations"].clear()
    assert site == before


@pytest.fixture
def pod() -> Pod:
    """A pod with two containers and an init container that share one secret."""
    token = {"name": "FARLAB_SECRET", "value": "s3cret-text"}
    return {
        "metadata": {"name": "server", "namespace": "hub"},
        "spec": {
            "initContainers": [{"name": "init", "env": [dict(token)]}],
            "containers": [
                {"name": "notebook", "env": [dict(token), {"name": "A", "value": "b"}]},
                {"name": "side", "env": [{"name": "FARLAB_SECRET", "value": "another-one"}]},
                {"name": "none"},
            ],
        },
    }


def test_secrets_leave_the_pod_and_nothing_else_does(pod: Pod) -> None:
    before = copy.deepcopy(pod)
    sealed, (secret,) = seal(pod, {"FARLAB_SECRET"})
    assert pod == before
    text = json.dumps(sealed)
    assert "s3cret-text" not in text
    assert "another-one" not in text
    notebook = sealed["spec"]["containers"][0]["env"]
    reference = {"name": "server-env", "key": "FARLAB_SECRET"}
    assert notebook[0] == {"name": "FARLAB_SECRET", "valueFrom": {"secretKeyRef": reference}}
    assert notebook[1] == {"name": "A", "value": "b"}
    assert secret["kind"] == "Secret"
    assert secret["metadata"] == {"name": "server-env", "namespace": "hub"}
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    assert data == {"FARLAB_SECRET": "s3cret-text", "FARLAB_SECRET.2": "another-one"}


def test_a_pod_without_secrets_stays_as_it_is(pod: Pod) -> None:
    assert seal(pod, {"OTHER"}) == (pod, [])


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ({"args": ["--token", "x-s3cret-text"]}, r"containers\[0\].args\[1\]"),
        ({"env": [{"name": "B", "value": "s3cret-text"}]}, r"containers\[0\].env\[0\].value"),
    ],
)
def test_a_secret_that_is_elsewhere_too_is_refused(pod: Pod, where: Pod, path: str) -> None:
    pod["spec"]["containers"][0] |= where
    with pytest.raises(ValueError, match=path) as caught:
        seal(pod, {"FARLAB_SECRET"})
    assert "s3cret-text" not in str(caught.value)
