"""What tests of several folders share: one Kubernetes control plane a run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from farlab_real.control_plane import Cluster, cluster


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without nodes, or the cluster that KUBECONFIG names."""
    with cluster(tmp_path_factory.mktemp("kubernetes")) as running:
        yield running


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[str]:
    """A new namespace in which pods can be created."""
    with control_plane.namespace(f"farlab-{secrets.token_hex(4)}") as name:
        yield name
