"""Every verb of every handler, with no token, a bad one, one without the scope, the right one."""

from __future__ import annotations

import asyncio

import pytest
from farlab_hub.handlers import ROUTES, UID, ApiHandler

NOWHERE = "123e4567-e89b-42d3-a456-426614174000"
CALLS = [
    (verb, path.replace(UID, NOWHERE).replace("api/", "").replace(".*", "nothing/here"))
    for path, _ in ROUTES
    for verb in ("GET", "POST", "DELETE")
]


def test_the_table_holds_every_handler():
    assert {handler for _, handler in ROUTES} == set(ApiHandler.__subclasses__())
    for handler in ApiHandler.__subclasses__():  # the check is in one place that nobody replaces
        assert handler.prepare is ApiHandler.prepare


@pytest.mark.parametrize(("verb", "path"), CALLS)
async def test_only_the_right_token_gets_through(place, running, verb, path):
    answers = {
        token: await running.api.call(verb, path, token=token, data=b"{}")
        for token in ("", "guess", "alice", "other", "spawner")
    }
    assert [answers[token][0] for token in ("", "guess", "alice", "other")] == [401, 401, 403, 403]
    codes = [answers[token][1]["code"] for token in ("", "guess", "alice", "other")]
    assert codes == ["no-token", "bad-token", "forbidden", "forbidden"]
    assert "custom:farlab:spawn" in answers["alice"][1]["message"]
    assert answers["spawner"][0] in (200, 400, 404, 405)


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "HEAD", "OPTIONS"])
async def test_no_other_verb_is_there(place, running, verb):
    url = f"{running.api.base}workloads"
    async with place.session.request(verb, url) as answer:
        assert answer.status == 405


async def test_a_token_counts_only_in_the_header(place, running):
    for name in ("token", "access_token"):
        status, _ = await running.api.call("GET", f"workloads?{name}=spawner", token="")
        assert status == 401
    headers = {"Cookie": "jupyterhub-services=spawner; token=spawner"}
    async with place.session.get(running.api.base + "workloads", headers=headers) as answer:
        assert answer.status == 401


async def test_the_hub_is_asked_once_for_a_token(place, running):
    for _ in range(5):
        await running.api.get("workloads")
        await running.api.call("GET", "workloads", token="guess")
    assert place.hub.asked == {"spawner": 1, "guess": 1}


async def test_a_hub_that_does_not_answer_lets_nobody_in(place, running):
    place.hub.broken = True
    status, answer = await running.api.call("GET", "workloads")
    assert (status, answer["code"]) == (503, "cannot-check")
    place.hub.broken = False
    await running.api.get("workloads")


async def test_many_unknown_callers_do_not_stop_the_right_one(place, running):
    calls = [running.api.call("GET", "workloads", token=f"guess{n}") for n in range(50)]
    answers = await asyncio.gather(*calls, running.api.call("GET", "workloads"))
    assert [status for status, _ in answers] == [401] * 50 + [200]
