"""The client of the hub service: time limits, nonsense, one question for all polls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from farlab_spawner import service as client
from farlab_spawner.service import (
    HubService,
    ServiceError,
    ServiceUnreachableError,
    hub_service,
)


async def test_refusal_has_the_services_own_words(fake_service: Any, service: HubService) -> None:
    fake_service.refuse = (403, {"code": "not-linked", "message": "No account.", "fix": "Ask."})
    with pytest.raises(ServiceError) as refused:
        await service.create({"uid": "1"})
    error = refused.value
    assert (error.status, error.code, str(error)) == (403, "not-linked", "No account. Ask.")
    assert not isinstance(error, ServiceUnreachableError)


@pytest.mark.parametrize(
    "answer",
    [
        (200, "<html>"),
        (500, "Internal Server Error"),
        (200, []),
        (200, "3"),
        (502, {"error": "x"}),
        (302, {}),
        (404, "not here"),
    ],
)
async def test_nonsense_is_as_good_as_no_answer(
    fake_service: Any, service: HubService, answer: tuple[int, Any]
) -> None:
    fake_service.refuse = answer
    with pytest.raises(ServiceUnreachableError):
        await service.workload("1")


async def test_nobody_there(service: HubService, fake_service: Any) -> None:
    nobody = HubService("http://127.0.0.1:1/x/", str(fake_service.token_file))
    with pytest.raises(ServiceUnreachableError) as error:
        await nobody.live()
    assert "Try again" in str(error.value)


async def test_missing_token(fake_service: Any) -> None:
    with pytest.raises(ServiceUnreachableError, match="token file"):
        await HubService(fake_service.url, "/nowhere/token").live()


async def test_slow_service_has_a_limit(
    fake_service: Any, service: HubService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FORM_FACTS_S", 0.2)
    fake_service.delay = 30
    with pytest.raises(ServiceUnreachableError, match="no answer in"):
        await service.sites("ada", [])


async def test_unknown_workload_is_none(service: HubService) -> None:
    assert await service.workload("nope") is None
    assert await service.cancel("nope") is None


async def test_all_polls_of_a_moment_are_one_question(
    fake_service: Any, service: HubService
) -> None:
    fake_service.workloads["1"] = {"uid": "1", "state": "ready", "events": []}
    answers = await asyncio.gather(*(service.live() for _ in range(200)))
    assert all("1" in answer for answer in answers)
    assert fake_service.calls == ["GET workloads"]


async def test_poll_that_is_cancelled_does_not_hurt_the_others(
    fake_service: Any, service: HubService
) -> None:
    fake_service.delay = 0.2
    first, second = (asyncio.create_task(service.live()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == {}


def test_client_is_shared() -> None:
    assert hub_service("http://x/", "t") is hub_service("http://x/", "t")
