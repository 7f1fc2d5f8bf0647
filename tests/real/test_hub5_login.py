"""Logins and fresh tokens on JupyterHub 5.5, which most hubs have."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from farlab_real.keycloak import RunningKeycloak
from farlab_real.oidc_hub import LAKE, VO, OidcUser, oidc_hub
from farlab_real.processes import wait_until

pytestmark = pytest.mark.timeout(600)  # servers start first

SITE = {
    "name": "cloud",
    "title": "Cloud",
    "kind": "cloud",
    "carrier": {"direct": {"url": "http://127.0.0.1:1"}},
    "profiles": [
        {
            "name": "lab",
            "title": "Lab",
            "sizes": [{"title": "1", "cpu": 1, "memory": "1Gi"}],
            "images": [{"title": "x", "image": "/x"}],
        }
    ],
}


def test_login_and_fresh_tokens(
    keycloak: RunningKeycloak, hub5_python: Path, tmp_path: Path
) -> None:
    token = {"name": "lake", **LAKE}
    login = {"exchange": True, "tokens": [token]}
    keycloak.hub.set_lifetimes(access=4)
    try:
        with (
            oidc_hub(tmp_path, keycloak, {"sites": [SITE]}, login=login, python=hub5_python) as hub,
            OidcUser(hub, keycloak, "marie") as marie,
        ):
            marie.login()
            assert hub.api("GET", "users/marie").json()["groups"] == [VO]
            first = marie.farlab("POST", "token", LAKE).json()
            wait_until(lambda: time.time() > first["expires_at"], "the token's end")
            second = marie.farlab("POST", "token", LAKE).json()
            assert second["expires_at"] > first["expires_at"]
    finally:
        keycloak.hub.set_lifetimes(access=60)
