"""A hub whose users log in at Keycloak, with sites on this machine and tokens for two services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farlab_real.hub import RunningHub
from farlab_real.keycloak import RunningKeycloak
from farlab_real.oidc_hub import LAKE, REFUSED, VO, oidc_hub
from farlab_real.plugin import RunningPlugin
from farlab_real.world import machine_sites

NOWHERE = "http://127.0.0.1:1"
QUICK = 'c.OAuthenticator.http_request_kwargs["request_timeout"] = 3\n'
"""What does not answer is given up sooner than on a hub."""


def catalogue(plugin: RunningPlugin) -> dict[str, Any]:
    sites = machine_sites(plugin)
    sites["sites"][1]["groups"] = [VO]
    rucio = {"url": NOWHERE, "identity": {"oidc": LAKE}}
    return {**sites, "lakes": [{"name": "lake", "title": "Lake", "rucio": rucio}]}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlugin]:
    """The plugin of the machine's sites."""
    with RunningPlugin(tmp_path_factory.mktemp("plugin"), {"local": {}}) as plugin:
        yield plugin


@pytest.fixture(scope="session")
def hub(
    keycloak: RunningKeycloak, site: RunningPlugin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningHub]:
    """A hub that lets everyone in whom Keycloak knows, and exchanges tokens."""
    folder: Path = tmp_path_factory.mktemp("hub")
    named = {"name": "refused", **REFUSED}
    login = {"exchange": True, "tokens": [named]}
    with oidc_hub(folder, keycloak, catalogue(site), login=login, more=QUICK) as running:
        yield running
