"""Log in at a real Keycloak; stay logged in; get fresh tokens, and nobody else's."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
import pytest
from farlab_real.hub import RunningHub
from farlab_real.keycloak import RunningKeycloak
from farlab_real.keycloak_realms import MEMBER
from farlab_real.oidc_hub import LAKE, REFUSED, VO, OidcUser
from farlab_real.processes import Process, wait_until

pytestmark = pytest.mark.timeout(600)  # servers start first

OWN = {"audience": "", "scope": "openid"}


@pytest.fixture(scope="module")
def marie(hub: RunningHub, keycloak: RunningKeycloak) -> Iterator[OidcUser]:
    with logged_in(hub, keycloak, "marie") as user:
        yield user


@contextmanager
def logged_in(hub: RunningHub, keycloak: RunningKeycloak, name: str) -> Iterator[OidcUser]:
    with OidcUser(hub, keycloak, name) as user:
        yield user.login()


@contextmanager
def somebody(
    hub: RunningHub, keycloak: RunningKeycloak, name: str, **more: Any
) -> Iterator[OidcUser]:
    """Log in a new user, whom no other test needs."""
    keycloak.hub.add_user(name, **more)
    with logged_in(hub, keycloak, name) as user:
        yield user


@contextmanager
def realm_with(keycloak: RunningKeycloak, before: dict[str, Any], **changes: Any) -> Iterator[None]:
    keycloak.admin("PUT", "/hub", changes)
    try:
        yield
    finally:
        keycloak.admin("PUT", "/hub", before)


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return said


def token_of(user: OidcUser, pair: dict[str, str]) -> dict[str, Any]:
    answer = user.farlab("POST", "token", pair)
    assert answer.status_code == 200, answer.text
    given: dict[str, Any] = answer.json()
    return given


def refusal(user: OidcUser, pair: dict[str, str]) -> tuple[int, dict[str, str]]:
    answer = user.farlab("POST", "token", pair)
    assert answer.status_code >= 400, answer.text
    return answer.status_code, answer.json()


def wait_for_end(token: dict[str, Any]) -> None:
    end = claims(token["access_token"])["exp"]
    wait_until(lambda: time.time() > end, "the token's end")


def test_groups_come_from_entitlements(
    hub: RunningHub, keycloak: RunningKeycloak, marie: OidcUser
) -> None:
    def seen(user: OidcUser) -> list[str]:
        return [one["name"] for one in user.farlab("GET", "sites").json()]

    assert hub.api("GET", "users/marie").json()["groups"] == [VO]
    assert seen(marie) == ["cloud", "members", "down"]
    with logged_in(hub, keycloak, "carl") as carl:
        assert hub.api("GET", "users/carl").json()["groups"] == []
        assert seen(carl) == ["cloud", "down"]
        sites = {one["site"]: one for one in carl.farlab("GET", "identity").json()["sites"]}
        assert (sites["cloud"]["open"], sites["cloud"]["state"]) == (True, "not-needed")
        closed = sites["members"]
        assert (closed["open"], closed["state"]) == (False, "refused")
        assert closed["reason"] == f"Only members of {VO} may use Members"
        assert "join" in closed["fix"]


def test_a_wrong_password_lets_nobody_in(hub: RunningHub, keycloak: RunningKeycloak) -> None:
    with OidcUser(hub, keycloak, "marie") as user:
        answer = user.try_login("not-the-password")
        assert str(answer.url).startswith(keycloak.url)
        assert user.http.get("hub/api/user").status_code == 403


def test_the_identity_says_who_and_until_when(keycloak: RunningKeycloak, marie: OidcUser) -> None:
    token_of(marie, LAKE)
    whole = marie.farlab("GET", "identity").json()
    login = whole["login"]
    assert login["issuer"] == keycloak.hub.issuer
    assert login["subject"] == keycloak.hub.subject("marie")
    assert (login["state"], login["ends"], login["reason"]) == ("live", None, "")
    assert login["entitlements"] == [MEMBER]
    assert login["groups"] == [VO]
    lake, refused = whole["tokens"]
    assert (lake["name"], lake["audience"], lake["state"]) == ("lake", "rucio", "live")
    assert lake["ends"] > time.time()
    assert refused["name"] == "refused"


def test_a_token_is_for_what_was_asked(keycloak: RunningKeycloak, marie: OidcUser) -> None:
    given = token_of(marie, LAKE)
    said = claims(given["access_token"])
    assert set(given) == {"access_token", "expires_at", "issuer", "audience", "scope"}
    assert given["issuer"] == said["iss"] == keycloak.hub.issuer
    assert said["aud"] == "rucio"
    assert said["sub"] == keycloak.hub.subject("marie")
    assert abs(given["expires_at"] - said["exp"]) < 30


def test_only_what_the_catalogue_names_is_given(marie: OidcUser) -> None:
    for pair in (OWN, {**LAKE, "scope": "openid"}, {**LAKE, "audience": "dcache"}):
        status, said = refusal(marie, pair)
        assert (status, said["code"]) == (403, "not-in-catalogue")
    status, said = refusal(marie, REFUSED)
    assert (status, said["code"]) == (403, "refused-by-provider")
    assert "elsewhere" in said["message"]
    assert "operator" in said["fix"]
    states = {one["name"]: one for one in marie.farlab("GET", "identity").json()["tokens"]}
    assert states["refused"]["state"] == "refused"
    assert "elsewhere" in states["refused"]["reason"]
    status, said = refusal(marie, {**LAKE, "user": "carl"})
    assert (status, said["code"]) == (400, "bad-request")


def test_a_token_that_ends_is_replaced(hub: RunningHub, keycloak: RunningKeycloak) -> None:
    with (
        realm_with(keycloak, {"accessTokenLifespan": 60}, accessTokenLifespan=4),
        somebody(hub, keycloak, "nora") as nora,
    ):
        first = token_of(nora, LAKE)
        wait_for_end(first)
        second = token_of(nora, LAKE)
        assert second["access_token"] != first["access_token"]
        assert second["expires_at"] > first["expires_at"]


def test_refresh_tokens_that_count_once_end_no_login(
    hub: RunningHub, keycloak: RunningKeycloak
) -> None:
    """Servers ask while the hub's own pages look after the login, and the hub restarts."""
    once = {"accessTokenLifespan": 3, "revokeRefreshToken": True, "refreshTokenMaxReuse": 0}
    before = {"accessTokenLifespan": 60, "revokeRefreshToken": False}
    with realm_with(keycloak, before, **once), somebody(hub, keycloak, "otto") as otto:
        for _ in range(3):
            given = token_of(otto, LAKE)
            wait_for_end(given)
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                asked = [pool.submit(otto.farlab, "POST", "token", LAKE) for _ in range(4)]
                looked = [pool.submit(otto.farlab, "GET", "identity") for _ in range(2)]
            assert {one.result().status_code for one in (*asked, *looked)} == {200}
        hub.stop()
        hub.restart()
        wait_for_end(token_of(otto, LAKE))
        token_of(otto, LAKE)


def test_an_ended_login_says_so_and_comes_back(hub: RunningHub, keycloak: RunningKeycloak) -> None:
    with (
        realm_with(keycloak, {"accessTokenLifespan": 60}, accessTokenLifespan=4),
        somebody(hub, keycloak, "pia") as pia,
    ):
        first = token_of(pia, LAKE)
        state = hub.api("GET", "users/pia").json()["auth_state"]
        session = claims(state["access_token"])["sid"]
        keycloak.admin("DELETE", f"/hub/sessions/{session}?isOffline=true")
        wait_for_end(first)
        status, said = refusal(pia, LAKE)
        assert (status, said["code"]) == (409, "login-ended")
        assert "login has ended" in said["message"]
        assert "/hub/oauth_login" in said["fix"]
        whole = pia.farlab("GET", "identity").json()
        assert whole["login"]["state"] == "ended"
        assert {one["state"] for one in whole["tokens"] if one["name"] == "lake"} == {"ended"}
        # Logging in again is all that it takes.
        pia.login()
        assert claims(token_of(pia, LAKE)["access_token"])["aud"] == "rucio"
        assert pia.farlab("GET", "identity").json()["login"]["state"] == "live"


@contextmanager
def paused(process: Process) -> Iterator[None]:
    """Let a server answer nothing for a while."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        one.suspend()
    try:
        yield
    finally:
        for one in family:
            one.resume()


def test_a_provider_that_is_away_ends_nothing(hub: RunningHub, keycloak: RunningKeycloak) -> None:
    with (
        realm_with(keycloak, {"accessTokenLifespan": 60}, accessTokenLifespan=4),
        somebody(hub, keycloak, "rosa") as rosa,
    ):
        wait_for_end(token_of(rosa, LAKE))
        with paused(keycloak.process):
            status, said = refusal(rosa, LAKE)
            assert (status, said["code"]) == (503, "cannot-check")
            assert "log in again" in said["fix"]
            assert rosa.farlab("GET", "identity").json()["login"]["state"] == "live"
        assert claims(token_of(rosa, LAKE)["access_token"])["aud"] == "rucio"


def test_nobody_gets_anothers_login_or_token(
    hub: RunningHub, keycloak: RunningKeycloak, marie: OidcUser
) -> None:
    mine = token_of(marie, LAKE)["access_token"]
    with logged_in(hub, keycloak, "carl") as carl:
        theirs = token_of(carl, LAKE)["access_token"]
        assert claims(theirs)["sub"] != claims(mine)["sub"]
        said = carl.farlab("GET", "identity?user=marie").text
        assert keycloak.hub.subject("marie") not in said
        spawner = (hub.state / "farlab-spawner.token").read_text()
        for headers in (
            {},
            {"Authorization": f"Bearer {carl.api_token()}"},
            {"Authorization": f"Bearer {marie.api_token()}"},
            {"Authorization": f"Bearer {spawner}"},
            {"Authorization": f"Bearer {mine}"},
        ):
            for verb in ("GET", "POST"):
                url = f"{hub.url}hub/farlab/login/marie"
                answer = httpx.request(verb, url, headers=headers, json={}, timeout=60)
                assert answer.status_code == 403, answer.text
                assert "access_token" not in answer.text
        cookies = carl.http.get("hub/farlab/login/marie")
        assert cookies.status_code == 403


def test_tokens_of_the_provider_open_nothing_here(
    keycloak: RunningKeycloak, marie: OidcUser
) -> None:
    for token in (
        keycloak.hub.token("marie")["access_token"],
        keycloak.site.token("ada", client="hub")["access_token"],
        token_of(marie, LAKE)["access_token"],
    ):
        for verb, path in (("GET", "identity"), ("POST", "token"), ("GET", "sites")):
            answer = marie.farlab(verb, path, LAKE if verb == "POST" else None, token)
            assert (answer.status_code, answer.json()["code"]) == (401, "bad-token")


def test_no_secret_is_in_a_log_or_in_clear(
    hub: RunningHub, keycloak: RunningKeycloak, marie: OidcUser
) -> None:
    given = token_of(marie, LAKE)["access_token"]
    state = hub.api("GET", "users/marie").json()["auth_state"]
    secrets = [given, state["access_token"], state["refresh_token"], state["id_token"]]
    log = hub.read_log()
    assert not any(secret in log for secret in secrets)
    kept = b"".join(
        file.read_bytes()
        for file in hub.folder.rglob("*")
        if file.is_file() and file.stat().st_size
    )
    assert not any(secret.encode() in kept for secret in secrets)
    key = hub.state / "auth-state.key"
    assert key.stat().st_mode & 0o777 == 0o600
