"""Answers that no real ALISE can be made to give: a fake one that is slow, odd, or lies."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from farlab_hub.errors import CannotCheckError
from farlab_hub.identity.alise import AliseClient
from farlab_hub.identity.person import Person
from farlab_sites.identity import Alise

ME = Person("marie", (), "https://login.example.org/realms/x", "me")
EXTERNAL = {"sub": "me", "iss": ME.issuer, "last_seen": 1, "display_name": "Marie"}
GOOD = {"internal": {"username": "itw001", "last_seen": 2}, "external": [EXTERNAL]}
NOT_MAPPED = {"detail": [{"msg": "no such user", "type": "not-mapped"}]}
SUPPORTED = {
    "supported_issuers": {
        "internal": [{"name": "vega-kc", "iss": "https://sso"}],
        "external": [{"name": "hub", "iss": ME.issuer}],
    }
}


class FakeAlise:
    """Answers whatever a test wants, or nothing."""

    def __init__(self) -> None:
        self.answer: tuple[int, Any] = (200, GOOD)
        self.supported: tuple[int, Any] = (200, SUPPORTED)
        self.headers: dict[str, str] = {}
        self.hold = asyncio.Event()
        self.hold.set()
        self.asked: list[str] = []

    async def mapping(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        await self.hold.wait()
        return self._response(*self.answer)

    async def issuers(self, request: web.Request) -> web.Response:
        return self._response(*self.supported)

    def _response(self, status: int, content: Any) -> web.Response:
        text = content if isinstance(content, str) else json.dumps(content)
        return web.Response(
            text=text, status=status, headers=self.headers, content_type="application/json"
        )


@pytest.fixture
async def fake() -> AsyncIterator[tuple[FakeAlise, str]]:
    alise = FakeAlise()
    app = web.Application()
    path = "/sub/api/v1/target/vega-kc/mapping/issuer/{issuer}/user/{user}"
    app.router.add_get(path, alise.mapping)
    app.router.add_get("/sub/api/v1/alise/supported_issuers", alise.issuers)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield alise, f"http://127.0.0.1:{runner.addresses[0][1]}/sub/"
    alise.hold.set()
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[AliseClient]:
    made = AliseClient()
    yield made
    await made.close()


@pytest.fixture
def alise(fake: tuple[FakeAlise, str], tmp_path: Path) -> Alise:
    (tmp_path / "key").write_text("the-secret-key\n")
    return Alise(url=fake[1], site="vega-kc", key_file=tmp_path / "key")


async def test_the_question_is_as_alise_wants_it(fake, client, alise):
    found = await client.linkage(alise, ME)
    assert found is not None
    assert (found.account, found.last_seen) == ("itw001", 2.0)
    [path] = fake[0].asked
    digest = hashlib.sha1(ME.issuer.encode()).hexdigest()
    assert f"/issuer/{digest}/user/" in path
    assert path.endswith("/user/me?apikey=the-secret-key")


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, {"error": "Could not find user infos"}),
        (200, {"error": ""}),
        (200, {**GOOD, "error": "x"}),
        (200, {}),
        (200, []),
        (200, None),
        (200, "<html>"),
        (200, ""),
        (200, "[" * 100_000),
        (200, json.dumps(GOOD)[:-1]),
        (200, {**GOOD, "external": []}),
        (200, {**GOOD, "external": None}),
        (200, {**GOOD, "external": [{**EXTERNAL, "sub": "you"}]}),
        (200, {**GOOD, "external": [{**EXTERNAL, "iss": "https://evil.org"}]}),
        (200, {**GOOD, "internal": None}),
        (200, {**GOOD, "internal": {"username": None}}),
        (200, {**GOOD, "internal": {"username": ""}}),
        (200, {**GOOD, "internal": {"username": ["itw001"]}}),
        (200, json.dumps(GOOD) + " " * 2**21),
        (201, GOOD),
        (204, ""),
        (401, GOOD),
        (401, {}),
        (401, {"detail": "not-mapped"}),
        (401, {"detail": []}),
        (401, {"detail": [{"type": "invalid"}]}),
        (401, {"detail": [{"type": ["not-mapped"]}]}),
        (403, NOT_MAPPED),
        (404, NOT_MAPPED),
        (404, {"detail": "Not Found"}),
        (500, "Internal Server Error"),
        (503, NOT_MAPPED),
        (302, NOT_MAPPED),
    ],
)
async def test_anything_odd_is_doubt(fake, client, alise, status, content):
    fake[0].answer = (status, content)
    if status == 302:
        fake[0].headers = {"Location": "https://elsewhere.example.org/"}
    with pytest.raises(CannotCheckError) as refused:
        await client.linkage(alise, ME)
    assert "secret" not in f"{refused.value.message}{refused.value.fix}"


async def test_only_alises_own_words_mean_that_nobody_is_linked(fake, client, alise):
    fake[0].answer = (401, NOT_MAPPED)
    assert await client.linkage(alise, ME) is None
    for odd in ({}, {"supported_issuers": []}, {"supported_issuers": {"external": None}}, "x"):
        fake[0].supported = (200, odd)
        with pytest.raises(CannotCheckError):
            await client.linkage(alise, ME)


async def test_a_slow_alise_is_not_waited_for(fake, alise):
    hasty = AliseClient(time_limit=0.2)
    fake[0].hold.clear()
    try:
        with pytest.raises(CannotCheckError, match="does not answer in time"):
            await hasty.linkage(alise, ME)
    finally:
        await hasty.close()


async def test_a_certificate_of_nobody_is_not_trusted(client, alise, keycloak, tmp_path):
    untrusted = alise.model_copy(update={"url": keycloak.url})
    with pytest.raises(CannotCheckError, match="certificate"):
        await client.linkage(untrusted, ME)
    trusted = untrusted.model_copy(update={"ca": keycloak.authority.ca})
    with pytest.raises(CannotCheckError, match="status 404"):
        await client.linkage(trusted, ME)
    missing = untrusted.model_copy(update={"ca": tmp_path / "none.pem"})
    with pytest.raises(CannotCheckError):
        await client.linkage(missing, ME)
