"""What tests of several folders share: one Kubernetes control plane a run, one login."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from farlab_real.alise import RunningAlise
from farlab_real.control_plane import Cluster, cluster
from farlab_real.keycloak import RunningKeycloak


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without nodes, or the cluster that KUBECONFIG names."""
    with cluster(tmp_path_factory.mktemp("kubernetes")) as running:
        yield running


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKeycloak]:
    """A Keycloak; tests add users of their own to it, and put lifetimes back that they change."""
    with RunningKeycloak(tmp_path_factory.mktemp("keycloak")) as running:
        yield running


@pytest.fixture(scope="session")
def alise(
    keycloak: RunningKeycloak, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningAlise]:
    """An ALISE that links users of Keycloak's realm `hub` to accounts of its realm `site`."""
    with RunningAlise(tmp_path_factory.mktemp("alise"), keycloak) as running:
        yield running


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[str]:
    """A new namespace in which pods can be created."""
    with control_plane.namespace(f"farlab-{secrets.token_hex(4)}") as name:
        yield name
