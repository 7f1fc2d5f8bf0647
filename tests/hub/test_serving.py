"""How the API is served: who asks whether it is up, and answers that end in the middle."""

from __future__ import annotations

import logging

import aiohttp
import pytest
from farlab_hub.errors import CannotCheckError


async def test_whether_it_is_up_is_said_to_everybody(place, running):
    home = running.api.base.removesuffix("api/")
    async with place.session.get(home) as answer:
        assert answer.status == 200
        assert (await answer.json())["api"].endswith("/api/")
    async with place.session.get(f"{home}elsewhere") as answer:
        assert answer.status == 401


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(
    place, running, monkeypatch, caplog
):
    uid = await place.submitted()
    read = running.service.workloads.read
    told = 0

    async def failing(*arguments, **options):
        nonlocal told
        told += 1
        if told > 3:
            raise CannotCheckError("the database is gone")
        return await read(*arguments, **options)

    monkeypatch.setattr(running.service.workloads, "read", failing)
    headers = {"Authorization": "Bearer spawner"}
    url = f"{running.api.base}workloads/{uid}/events"
    with caplog.at_level(logging.INFO):
        async with place.session.get(url, headers=headers) as answer:
            assert answer.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
    assert "the database is gone" in caplog.text
    assert "after headers written" not in caplog.text
