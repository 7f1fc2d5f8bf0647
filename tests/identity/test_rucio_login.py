"""A real Rucio that takes Keycloak's tokens, from a server on the hub: nobody logs in to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farlab_real.hub import RunningHub
from farlab_real.keycloak import RunningKeycloak
from farlab_real.oidc_hub import LAKE, OidcUser, oidc_hub
from farlab_real.plugin import RunningPlugin
from farlab_real.postgres import RunningPostgres
from farlab_real.processes import wait_until
from farlab_real.rucio_server import RunningRucio
from farlab_real.world import machine_sites

pytestmark = pytest.mark.timeout(600)  # servers start first

FILES = {f"day-{day:02}.csv": b"day,value\n" for day in range(9)}


@pytest.fixture(scope="module")
def rucio(
    keycloak: RunningKeycloak, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningRucio]:
    """A Rucio where marie has an account by her login, and carl has none."""
    folder = tmp_path_factory.mktemp("rucio")
    with RunningPostgres() as postgres, RunningRucio(folder, postgres, login=keycloak) as running:
        admin = running.admin
        admin.add_user("marie", "a-password-that-nobody-types", "user.marie")
        admin.add_login("marie", keycloak.hub.issuer, keycloak.hub.subject("marie"))
        admin.add_scope("demo")
        admin.add_rse("VEGA", folder / "vega")
        admin.allow("root", "VEGA")
        admin.put("VEGA", folder / "vega", "demo", FILES)
        admin.add_dataset("demo", "days")
        admin.attach("demo", "days", [("demo", name) for name in FILES])
        yield running


@pytest.fixture(scope="module")
def lake_hub(
    rucio: RunningRucio,
    keycloak: RunningKeycloak,
    site: RunningPlugin,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningHub]:
    """A hub with that lake, whose tokens live for seconds."""
    known = {"url": rucio.url, "identity": {"oidc": LAKE}}
    lake = {"name": "lake", "title": "Lake", "rucio": known}
    catalogue = {**machine_sites(site), "lakes": [lake]}
    folder: Path = tmp_path_factory.mktemp("lake-hub")
    keycloak.hub.set_lifetimes(access=6)
    try:
        with oidc_hub(folder, keycloak, catalogue, login={"exchange": True}) as running:
            yield running
    finally:
        keycloak.hub.set_lifetimes(access=60)


def server_of(hub: RunningHub, keycloak: RunningKeycloak, name: str) -> OidcUser:
    user = OidcUser(hub, keycloak, name).login()
    user.spawn({"profile": "cloud--lab"})
    user.wait_until_ready()
    return user


def lake(user: OidcUser, what: str, **query: str) -> tuple[int, dict[str, Any]]:
    answer = user.get(f"farlab/datalake/lakes/lake/{what}", params=query)
    return answer.status_code, answer.json()


def test_pages_go_on_with_fresh_tokens(lake_hub: RunningHub, keycloak: RunningKeycloak) -> None:
    with server_of(lake_hub, keycloak, "marie") as marie:
        status, scopes = lake(marie, "entries")
        assert status == 200, scopes
        assert "demo" in [one["name"] for one in scopes["entries"]]
        seen, cursor = [], ""
        for _ in range(3):
            status, page = lake(marie, "entries", path="demo:days", limit="3", cursor=cursor)
            assert status == 200, page
            seen += [one["name"] for one in page["entries"]]
            cursor = page["next"] or ""
            ends = marie.farlab("POST", "token", LAKE).json()["expires_at"]
            wait_until(lambda until=ends: time.time() > until, "the token's end")
        assert sorted(seen) == sorted(FILES)
        # The server's environment holds no token of the provider.
        assert "eyJ" not in str(lake_hub.read_log())
        marie.stop()


def test_who_has_no_account_there_is_told(lake_hub: RunningHub, keycloak: RunningKeycloak) -> None:
    with server_of(lake_hub, keycloak, "carl") as carl:
        status, said = lake(carl, "entries")
        assert (status, said["code"]) == (409, "login"), said
        assert "Lake does not take your token" in said["message"]
        # What the browser may ask of the service is not a token.
        assert carl.get("farlab/api/identity").json()["user"] == "carl"
        refused = carl.post("farlab/api/token", LAKE)
        assert refused.status_code == 404
        # The login ends: the lake says so, and that the server goes on.
        keycloak.hub.disable("carl")
        try:
            ends = carl.farlab("POST", "token", LAKE).json().get("expires_at") or 0
            wait_until(lambda: time.time() > ends, "the token's end")
            status, said = lake(carl, "entries")
            assert (status, said["code"]) == (409, "expired"), said
            assert "login has ended" in said["message"]
            assert "Log in again" in said["fix"]
        finally:
            keycloak.hub.enable("carl")
        # The hub leads to the login, and then the same server has fresh tokens again.
        carl.login()
        status, said = lake(carl, "entries")
        assert (status, said["code"]) == (409, "login"), said
        carl.stop()
