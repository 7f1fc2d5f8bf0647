"""Renewals of a login in the hub's process: one at a time, and never over a newer login."""

from __future__ import annotations

import asyncio
import hashlib
import time
from io import BytesIO
from typing import Any

import pytest
from farlab_sites.login import Login
from farlab_spawner.authenticator import FarlabLogin, LoginEndedError, ProviderAwayError
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse

CLAIMS = {"sub": "1"}


def state(number: int, ends_in: float = -1.0, **more: Any) -> dict[str, Any]:
    """Return what a hub keeps of a login, with tokens of this number."""
    now = time.time()
    told = {"access_token": f"a{number}", "refresh_token": f"r{number}", "token_type": "Bearer"}
    ends = {"issued_at": now - 60, "expires_at": now + ends_in, "id_claims": CLAIMS}
    known = {"access_token": f"a{number}", "refresh_token": f"r{number}"}
    return {**known, "token_response": {**told, **ends}, "oauth_user": CLAIMS, **more}


class FakeUser:
    """A user of the hub with what it keeps."""

    name = "marie"
    _auth_refreshed: float | None = 1.0

    def __init__(self, kept: dict[str, Any] | None) -> None:
        self.kept = kept

    async def get_auth_state(self) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        return self.kept

    async def save_auth_state(self, new: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self.kept = new


class FakeProviderLogin(FarlabLogin):  # type: ignore[misc]
    """Its provider gives each refresh token's successor once, and calls `meanwhile` before."""

    async def get_token_info(self, handler: Any, params: Any) -> dict[str, Any]:
        token = params["refresh_token"]
        self.used.append(token)
        await asyncio.sleep(0)
        self.meanwhile()
        if self.refusal is not None:
            raise self.refusal
        assert self.used.count(token) == 1, f"{token} was used twice"
        new = state(int(token[1:]) + 1, 3600)["token_response"]
        del new["id_claims"]
        return dict(new)


@pytest.fixture
def login() -> FakeProviderLogin:
    made = FakeProviderLogin()
    made.enable_auth_state = True
    made.login_of_catalogue = Login(issuer="https://x.example.org", client_id="hub")
    made.used, made.refusal, made.meanwhile = [], None, lambda: None
    return made


def refusal(status: int, body: bytes) -> HTTPClientError:
    answer = HTTPResponse(HTTPRequest("https://x"), status, buffer=BytesIO(body))
    return HTTPClientError(status, "no", answer)


async def test_all_who_ask_at_once_share_one_renewal(login: FakeProviderLogin) -> None:
    user = FakeUser(state(1))
    given = await asyncio.gather(*(login.fresh(user, 60) for _ in range(20)))
    assert {one["access_token"] for one in given} == {"a2"}
    assert login.used == ["r1"]


async def test_a_late_writer_brings_no_old_token_back(login: FakeProviderLogin) -> None:
    old = state(1)
    user = FakeUser(old)
    await login.fresh(user, 60)
    user.kept = old
    assert (await login.fresh(user, 60))["access_token"] == "a2"
    assert login.used == ["r1"]


async def test_a_login_in_the_middle_of_a_renewal_stays(login: FakeProviderLogin) -> None:
    user = FakeUser(state(1))
    login.meanwhile = lambda: setattr(user, "kept", state(50, 3600))
    assert (await login.fresh(user, 60))["access_token"] == "a50"
    assert user.kept is not None
    assert user.kept["refresh_token"] == "r50"
    login.meanwhile = lambda: setattr(user, "kept", state(70, 3600))
    user.kept, login.refusal = state(60), refusal(400, b'{"error": "invalid_grant"}')
    with pytest.raises(LoginEndedError):
        await login.fresh(user, 60)
    assert (await login.fresh(user, 60))["access_token"] == "a70"


async def test_who_has_left_the_members_is_logged_in_no_more(login: FakeProviderLogin) -> None:
    groups = ["scientists"]

    async def model(kept: dict[str, Any]) -> dict[str, Any]:
        return {"name": "marie", "admin": None, "groups": groups, "auth_state": {**kept}}

    login.manage_groups, login.allowed_groups, login._model = True, {"scientists"}, model
    user = FakeUser(state(1, 3600))
    assert (await login.refresh_user(user))["groups"] == groups
    groups.clear()
    assert await login.refresh_user(user) is False
    with pytest.raises(LoginEndedError, match="none of the groups"):
        await login.fresh(user, 60)


async def test_an_ended_login_is_asked_for_once(login: FakeProviderLogin) -> None:
    user = FakeUser(state(1))
    login.refusal = refusal(400, b'{"error": "invalid_grant"}')
    for _ in range(3):
        with pytest.raises(LoginEndedError):
            await login.fresh(user, 60)
    assert login.used == ["r1"]
    assert user._auth_refreshed is None  # the hub looks at once, and leads to the login
    assert await login.refresh_user(user) is False


@pytest.mark.parametrize(
    "trouble",
    [
        refusal(503, b"busy"),
        refusal(401, b'{"error": "invalid_client"}'),
        HTTPClientError(599, "timeout"),
        ConnectionRefusedError("refused"),
    ],
    ids=str,
)
async def test_trouble_at_the_provider_ends_no_login(
    login: FakeProviderLogin, trouble: Exception
) -> None:
    user = FakeUser(state(1))
    login.refusal = trouble
    with pytest.raises(ProviderAwayError):
        await login.fresh(user, 60)
    assert await login.refresh_user(user) is True
    login.refusal, login.used = None, []
    assert (await login.fresh(user, 60))["access_token"] == "a2"


async def test_a_token_that_somebody_refused_is_renewed_before_its_end(
    login: FakeProviderLogin,
) -> None:
    user = FakeUser(state(1, 3600))
    assert (await login.fresh(user, 60))["access_token"] == "a1"
    mark = hashlib.sha256(b"a1").hexdigest()
    given = await asyncio.gather(*(login.fresh(user, 60, mark) for _ in range(3)))
    assert {one["access_token"] for one in given} == {"a2"}
    assert login.used == ["r1"]


async def test_without_tokens_the_user_must_log_in(login: FakeProviderLogin) -> None:
    for kept in (None, {}, {**state(1), "refresh_token": None}):
        with pytest.raises(LoginEndedError):
            await login.fresh(FakeUser(kept), 60)
    assert login.used == []
