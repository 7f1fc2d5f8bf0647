"""Every verb of every address, as everybody: who gets in, and what is whose."""

from __future__ import annotations

import asyncio

import pytest
from farlab_hub.api import ROUTES, UnknownHandler
from farlab_hub.handlers import ApiHandler

NOWHERE = "123e4567-e89b-42d3-a456-426614174000"
PARTS = {"{port}": "9000", "{site}": "cloud"}


def filled(path: str) -> str:
    """Return an address with all its parts but the uid."""
    for part, value in PARTS.items():
        path = path.replace(part, value)
    return path


PATHS = [filled(route.path) for route in ROUTES] + ["nothing/here"]
CALLS = [(verb, path) for path in PATHS for verb in ("GET", "POST", "DELETE")]

# What each caller is answered about alice's kernel, which waits in a queue. "stranger" is another
# user; what is no verb of an address is 405 for all who may enter.
ALLOWED = {
    ("GET", "sites"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 400},
    ("GET", "workloads"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 200},
    ("POST", "workloads"): {"owner": 400, "stranger": 400, "admin": 400, "spawner": 400},
    ("GET", "workloads/{uid}"): {"owner": 200, "stranger": 403, "admin": 200, "spawner": 200},
    ("DELETE", "workloads/{uid}"): {"owner": 200, "stranger": 403, "admin": 200, "spawner": 200},
    ("GET", "workloads/{uid}/events"): {
        "owner": 200, "stranger": 403, "admin": 200, "spawner": 200,
    },
    ("GET", "workloads/{uid}/logs"): {"owner": 200, "stranger": 403, "admin": 200, "spawner": 200},
    ("GET", "workloads/{uid}/ports/9000"): {
        "owner": 503, "stranger": 403, "admin": 403, "spawner": 403,
    },
    ("GET", "identity"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 403},
    ("POST", "identity/cloud/check"): {
        "owner": 200, "stranger": 200, "admin": 200, "spawner": 403,
    },
    # No site here is one of ALISE's, and no catalogue names a token.
    ("POST", "identity/cloud/key"): {"owner": 403, "stranger": 403, "admin": 404, "spawner": 403},
    ("POST", "token"): {"owner": 403, "stranger": 403, "admin": 403, "spawner": 403},
    # Whose usage: tests/accounting/test_usage_api.py asks for it in every way.
    ("GET", "usage"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 403},
    ("GET", "usage/now"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 403},
    ("GET", "usage/records"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 403},
    ("GET", "usage/export"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 403},
    ("GET", "usage/budgets"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 403},
    ("GET", "usage/estimate"): {"owner": 400, "stranger": 400, "admin": 400, "spawner": 400},
    ("GET", "usage/readable"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 200},
    ("GET", "usage/records/{uid}/apel"): {
        "owner": 200, "stranger": 403, "admin": 200, "spawner": 403,
    },
    ("GET", "usage/overview"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 403},
    ("GET", "usage/health"): {"owner": 403, "stranger": 403, "admin": 200, "spawner": 403},
    ("GET", "metrics"): {"owner": 403, "stranger": 403, "admin": 200, "spawner": 403},
    ("GET", "openapi.json"): {"owner": 200, "stranger": 200, "admin": 200, "spawner": 200},
}  # fmt: skip
EVERYBODY = {"owner": "alice", "stranger": "bob", "admin": "admin", "spawner": "spawner"}


def test_the_table_holds_every_handler():
    handlers = {route.handler for route in ROUTES}
    assert handlers | {UnknownHandler} == set(ApiHandler.__subclasses__())
    for handler in ApiHandler.__subclasses__():  # the check is in one place that nobody replaces
        assert handler.prepare is ApiHandler.prepare
    known = {(verb, filled(route.path)) for route in ROUTES for verb in route.handler.operations()}
    assert known == set(ALLOWED)


@pytest.mark.parametrize(("verb", "path"), CALLS)
async def test_who_does_not_belong_here_gets_nowhere(running, verb, path):
    path = path.format(uid=NOWHERE)
    answers = {
        token: await running.api.call(verb, path, token=token, data=b"{}")
        for token in ("", "guess", "outsider", "other")
    }
    assert [answer[0] for answer in answers.values()] == [401, 401, 403, 403]
    codes = [answer[1]["code"] for answer in answers.values()]
    assert codes == ["no-token", "bad-token", "forbidden", "forbidden"]
    assert "access:services!service=farlab" in answers["outsider"][1]["message"]
    assert "custom:farlab:spawn" in answers["other"][1]["message"]


async def kernel_of_alice(running) -> str:
    body = {"kind": "kernel", "site": "cloud"}
    status, kernel = await running.api.call("POST", "workloads", token="alice", json=body)
    assert status == 201, kernel
    await running.api.state(kernel["uid"], "queued")
    return str(kernel["uid"])


async def status_of(place, running, verb: str, path: str, token: str) -> int:
    """Return an answer's status without reading its body, which may go on for ever."""
    headers = {"Authorization": f"Bearer {token}"}
    if "/ports/" in path:
        headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "a2V5"}
        headers["Sec-WebSocket-Version"] = "13"
    url = running.api.base + path
    async with place.session.request(verb, url, headers=headers, data=b"{}") as answer:
        answer.close()
        return answer.status


@pytest.mark.parametrize("role", EVERYBODY)
async def test_what_everybody_may_do(place, running, role):
    token, expected, answers = EVERYBODY[role], {}, {}
    uid = await kernel_of_alice(running)
    calls = sorted(CALLS, key=lambda call: call[0] == "DELETE")  # it ends with the workload
    for verb, path in calls:
        missing = 404 if path == "nothing/here" else 405
        expected[verb, path] = ALLOWED.get((verb, path), {}).get(role, missing)
        answers[verb, path] = await status_of(place, running, verb, path.format(uid=uid), token)
    assert answers == expected


async def test_only_the_owner_is_given_the_key(running):
    uid = await kernel_of_alice(running)
    answers = {
        role: (await running.api.call("GET", f"workloads/{uid}", token=token))[1]
        for role, token in EVERYBODY.items()
    }
    keys = {role: answer.get("key", "") for role, answer in answers.items()}
    assert len(keys.pop("owner")) > 32
    assert keys == {"stranger": "", "admin": "", "spawner": ""}
    listed = await running.api.call("GET", "workloads", token="alice")
    assert "key" not in listed[1][0]


async def test_everyone_sees_what_is_theirs(running):
    uid = await kernel_of_alice(running)

    async def listed(token: str, query: str = "") -> tuple[int, list[str]]:
        status, answer = await running.api.call("GET", f"workloads{query}", token=token)
        return status, [one["uid"] for one in answer] if status == 200 else answer["code"]

    assert await listed("alice") == (200, [uid])
    assert await listed("alice", "?owner=alice") == (200, [uid])
    assert await listed("bob") == (200, [])
    assert await listed("bob", "?owner=alice") == (403, "forbidden")
    assert await listed("bob", "?owner=*") == (403, "forbidden")
    assert await listed("admin") == (200, [])
    assert await listed("admin", "?owner=*") == (200, [uid])
    assert await listed("spawner") == (200, [uid])


async def test_nobody_acts_for_another(place, running):
    server = place.announcement(owner="alice")
    for token in ("alice", "bob", "admin"):
        status, answer = await running.api.call("POST", "workloads", token=token, json=server)
        assert (status, answer["code"]) == (403, "forbidden")
    kernel = {"kind": "kernel", "site": "cloud", "owner": "alice"}
    assert (await running.api.call("POST", "workloads", token="bob", json=kernel))[0] == 400
    del kernel["owner"]  # the spawner's token is nobody's: it has no kernels
    assert (await running.api.call("POST", "workloads", token="spawner", json=kernel))[0] == 403


async def test_groups_come_from_the_hub_alone(running):
    async def names(token: str, query: str = "") -> list[str]:
        _, sites = await running.api.call("GET", f"sites{query}", token=token)
        return [site["name"] for site in sites]

    assert await names("alice") == ["vega", "cloud", "cluster"]
    assert await names("bob") == await names("bob", "?group=itw") == ["cloud", "cluster"]
    assert (await running.api.call("GET", "sites?user=alice", token="bob"))[0] == 403
    kernel = {"kind": "kernel", "site": "vega"}
    status, answer = await running.api.call("POST", "workloads", token="bob", json=kernel)
    assert (status, answer["code"]) == (404, "no-such-site")


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
