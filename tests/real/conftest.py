"""The real parts that the end-to-end tests share: one Slurm, one plugin a site, one hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farlab_real.hub import REPOSITORY, RunningHub
from farlab_real.plugin import RunningPlugin
from farlab_real.slurm import SlurmCluster

SIZES = [{"title": "1 CPU, 1 GB", "cpu": 1, "memory": "1Gi"}]
IMAGES = [{"title": "Python 3", "image": sys.prefix}]


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmCluster]:
    """A Slurm with two GPU nodes of eight GPUs each."""
    with SlurmCluster(nodes=2, gpus=8) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def hpc(slurm: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlugin]:
    """The plugin of the HPC site."""
    folder = tmp_path_factory.mktemp("hpc")
    with RunningPlugin(folder, {"slurm": {"conf": str(slurm.conf)}}) as plugin:
        yield plugin


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlugin]:
    """The plugin of the cloud site."""
    with RunningPlugin(tmp_path_factory.mktemp("cloud"), {"local": {"cpus": 64}}) as plugin:
        yield plugin


@pytest.fixture(scope="session")
def catalogue(hpc: RunningPlugin, cloud: RunningPlugin) -> dict[str, Any]:
    """A cloud and an HPC machine."""
    partitions = [
        {"title": "cpu", "partition": "cpu", "walltime": "1:00:00"},
        {
            "title": "gpu, 2 x A100",
            "partition": "gpu",
            "gpus": 2,
            "gpu_type": "a100",
            "walltime": "1:00:00",
        },
    ]
    lab = {"name": "lab", "title": "JupyterLab", "sizes": SIZES, "images": IMAGES}
    return {
        "sites": [
            {
                "name": "cloud",
                "title": "UKRI Cloud",
                "kind": "cloud",
                "carrier": cloud.carrier,
                "profiles": [lab],
            },
            {
                "name": "vega",
                "title": "Vega HPC",
                "kind": "hpc",
                "carrier": hpc.carrier,
                "profiles": [lab | {"partitions": partitions}],
            },
        ]
    }


@pytest.fixture(scope="session")
def hub(
    catalogue: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningHub]:
    """A JupyterHub of the newest version, with both sites."""
    with RunningHub(tmp_path_factory.mktemp("hub"), catalogue) as running:
        yield running


@pytest.fixture(scope="session")
def hub5_python() -> Path:
    """The Python of the environment with JupyterHub 5.5, where most hubs are."""
    python = REPOSITORY / ".venv-hub5/bin/python"
    assert python.exists(), "run `make test`: it makes .venv-hub5"
    return python
