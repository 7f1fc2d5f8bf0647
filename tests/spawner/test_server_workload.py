"""The life of a server, with a hub service that is a fake."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from farlab_spawner import server_workload
from farlab_spawner.endings import Ending
from farlab_spawner.errors import SpawnRefused
from farlab_spawner.server_workload import ServerWorkload
from farlab_spawner.service import HubService

UID = "0b6cd6a5-b40c-4b7f-9f9f-8a3a0b9d1f00"
REQUEST = {"uid": UID}
LIMIT = 60.0


@pytest.fixture
def server(service: HubService, log: logging.Logger) -> ServerWorkload:
    server = ServerWorkload(service, log)
    server.prepare(UID, "Vega HPC")
    return server


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so, for as long as a slow machine may need."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def started(fake: Any, server: ServerWorkload, limit: float = LIMIT) -> asyncio.Task[str]:
    """Begin a start, and return once the hub service has the workload."""
    task = asyncio.create_task(server.start(REQUEST, limit, lambda _: None))
    await until(lambda: UID in fake.workloads)
    return task


async def test_start_follows_the_job_until_it_is_ready(
    fake_service: Any, server: ServerWorkload
) -> None:
    addresses: list[str] = []
    task = asyncio.create_task(server.start(REQUEST, LIMIT, addresses.append))
    await until(lambda: UID in fake_service.workloads)
    fake_service.event(UID, "submitted", job_id="4711")
    fake_service.event(UID, "queued", "Resources", "place 3 of 12 in partition gpu")
    fake_service.event(UID, "starting", "The job runs on n1", node="n1", log_tail="hello")
    fake_service.event(UID, "ready")
    assert await task == "http://127.0.0.1:41234"
    assert addresses == ["http://127.0.0.1:41234"]
    steps = [(step.stage, step.detail) async for step in server.feed.read()]
    assert ("submitted", "job 4711") in steps
    assert ("queued", "place 3 of 12 in partition gpu") in steps
    assert steps[-1][0] == "ready"
    assert server.ready
    assert await server.poll() is None


async def test_readers_of_the_progress_get_everything_whenever_they_come(
    fake_service: Any, server: ServerWorkload
) -> None:
    async def read() -> list[str]:
        return [step.stage async for step in server.feed.read()]

    early = asyncio.create_task(read())
    task = await started(fake_service, server)
    fake_service.event(UID, "queued", "Priority")
    middle = asyncio.create_task(read())
    fake_service.event(UID, "ready")
    await task
    assert await early == await middle == await read()
    assert (await read())[-2:] == ["queued", "ready"]


async def test_failed_job_is_an_error_with_the_sites_words_and_the_log(
    fake_service: Any, server: ServerWorkload
) -> None:
    task = await started(fake_service, server)
    fake_service.event(
        UID,
        "failed",
        "Rejected",
        "sbatch: error: invalid partition specified: gpux",
        log_tail="\n".join(f"line {n}" for n in range(100)),
    )
    with pytest.raises(SpawnRefused) as refused:
        await task
    error = refused.value
    assert "invalid partition specified: gpux" in str(error)
    assert "invalid partition specified: gpux" in error.message_html
    assert "line 99" in error.message_html
    assert "line 10" not in error.message_html
    assert error.reason == "rejected"
    assert server.ending is not None
    assert not server.ending.started
    assert await server.poll() == 1


async def test_refusal_of_the_service_is_said_at_once(
    fake_service: Any, server: ServerWorkload
) -> None:
    fake_service.refuse = (403, {"code": "not-linked", "message": "No account.", "fix": "Link it."})
    with pytest.raises(SpawnRefused) as refused:
        await server.start(REQUEST, LIMIT, lambda _: None)
    assert (refused.value.status_code, refused.value.reason) == (403, "not-linked")
    assert "No account. Link it." in str(refused.value)
    assert "Start it again" not in refused.value.message_html


async def test_service_that_is_away_for_a_moment_is_waited_for(
    fake_service: Any, server: ServerWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_workload, "RETRY_S", 0.01)
    fake_service.refuse = (502, "bad gateway")
    task = asyncio.create_task(server.start(REQUEST, LIMIT, lambda _: None))
    await until(lambda: any("Waiting for the hub" in s.text for s in server.feed.steps))
    fake_service.refuse = None
    await until(lambda: UID in fake_service.workloads)
    fake_service.refuse = (502, "bad gateway")
    await until(lambda: fake_service.calls[-1].startswith("GET"))
    fake_service.refuse = None
    fake_service.event(UID, "ready")
    await task
    assert fake_service.calls.count("POST workloads") >= 2
    assert len(fake_service.workloads) == 1


async def test_service_that_stays_away(
    fake_service: Any, server: ServerWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_workload, "RETRY_S", 0.01)
    monkeypatch.setattr(server_workload, "PATIENCE_S", 0.1)
    fake_service.refuse = (502, "bad gateway")
    with pytest.raises(SpawnRefused, match="does not answer") as refused:
        await server.start(REQUEST, LIMIT, lambda _: None)
    assert refused.value.reason == "service-unreachable"


async def test_time_limit_says_what_was_seen_last(
    fake_service: Any, server: ServerWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, limits = asyncio.timeout, dict[float, asyncio.Timeout]()

    def timeout(seconds: float) -> asyncio.Timeout:
        limits[seconds] = real(None)
        return limits[seconds]

    monkeypatch.setattr(asyncio, "timeout", timeout)
    task = asyncio.create_task(server.start(REQUEST, 3600, lambda _: None))
    await until(lambda: UID in fake_service.workloads)
    fake_service.event(UID, "queued", "Resources", "place 7 of 9")
    await until(lambda: server.feed.steps[-1].detail == "place 7 of 9")
    limits[3600].reschedule(0)  # the time is over
    with pytest.raises(SpawnRefused, match="place 7 of 9") as refused:
        await task
    assert refused.value.reason == "timeout"
    # JupyterHub does not stop what has ended for it.
    await until(lambda: fake_service.workloads[UID]["state"] == "cancelled")


async def test_stop_during_the_start_removes_the_workload(
    fake_service: Any, server: ServerWorkload
) -> None:
    task = await started(fake_service, server)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await server.poll() is None
    await server.stop()
    assert fake_service.workloads[UID]["state"] == "cancelled"


async def test_stop_while_the_request_is_on_its_way(
    fake_service: Any, server: ServerWorkload
) -> None:
    fake_service.delay = 0.3
    task = asyncio.create_task(server.start(REQUEST, LIMIT, lambda _: None))
    await until(lambda: "POST workloads" in fake_service.calls)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.stop()
    assert fake_service.workloads[UID]["state"] == "cancelled"


async def test_stop_goes_on_when_the_service_is_away(
    fake_service: Any, server: ServerWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_workload, "RETRY_S", 0.01)
    task = await started(fake_service, server)
    fake_service.event(UID, "ready")
    await task
    fake_service.refuse = (502, "bad gateway")
    await server.stop()
    server.forget()
    fake_service.refuse = None
    await until(lambda: fake_service.workloads[UID]["state"] == "cancelled")


async def test_poll_takes_an_unreachable_service_for_a_running_server(
    fake_service: Any, server: ServerWorkload
) -> None:
    fake_service.refuse = (502, "bad gateway")
    assert await server.poll() is None


@pytest.mark.parametrize(
    ("state", "reason", "code", "expected"),
    [
        ("failed", "OOMKilled", 137, 137),
        ("failed", "NodeFailure", None, 1),
        ("finished", "Completed", 0, 0),
        ("cancelled", "Cancelled", None, 1),
    ],
)
async def test_poll_notices_an_end(
    fake_service: Any, server: ServerWorkload, state: str, reason: str, code: Any, expected: int
) -> None:
    task = await started(fake_service, server)
    fake_service.event(UID, "ready")
    await task
    fake_service.event(UID, state, reason, "words of the site", exit_code=code, job_id="12")
    assert await server.poll() == expected
    assert server.ending is not None
    assert server.ending.started
    assert (server.ending.reason, server.ending.message) == (reason, "words of the site")


async def test_workload_that_nobody_knows_any_more(server: ServerWorkload) -> None:
    assert await server.poll() == 1
    assert server.ending is not None
    assert server.ending.reason == "lost"


async def test_state_survives_the_hub(
    fake_service: Any, server: ServerWorkload, service: HubService, log: logging.Logger
) -> None:
    task = await started(fake_service, server)
    fake_service.event(UID, "ready")
    await task
    later = ServerWorkload(service, log)
    later.restore(server.saved())
    assert await later.poll() is None
    assert later.address == server.address
    fake_service.event(UID, "failed", "NodeFailure", "the node went down")
    await later.poll()
    later.forget()
    last = ServerWorkload(service, log)
    last.restore(later.saved())
    assert last.ending == later.ending
    assert await last.poll() == 0


async def test_start_goes_on_after_a_restart(
    fake_service: Any, server: ServerWorkload, service: HubService, log: logging.Logger
) -> None:
    task = await started(fake_service, server)
    task.cancel()
    later = ServerWorkload(service, log)
    later.restore(server.saved())
    going_on = asyncio.create_task(later.resume(LIMIT))
    await until(lambda: later.feed.steps)
    fake_service.event(UID, "ready")
    assert await going_on == "http://127.0.0.1:41234"


@pytest.mark.parametrize(
    "state",
    [{}, {"ending": "x"}, {"ending": {"reason": "x"}}, {"ending": {"new": 1}}, {"uid": None}],
)
async def test_state_of_another_version_is_no_error(
    service: HubService, log: logging.Logger, state: dict[str, Any]
) -> None:
    server = ServerWorkload(service, log)
    server.restore(state)
    assert server.uid == ""


async def test_new_start_forgets_the_last_end(server: ServerWorkload) -> None:
    server.ending = Ending("OOMKilled", "")
    server.prepare("2", "Vega HPC")
    assert server.ending is None


async def test_what_an_earlier_life_left_is_cancelled(
    fake_service: Any, server: ServerWorkload
) -> None:
    for uid, owner, name in (("1", "ada", ""), ("2", "ada", "named"), ("3", "bob", "")):
        workload = {"uid": uid, "kind": "server", "owner": owner, "server_name": name}
        fake_service.workloads[uid] = workload | {"events": []}
        fake_service.event(uid, "ready")
    await server.clear_out("ada", "")
    await until(lambda: fake_service.workloads["1"]["state"] == "cancelled")
    assert [fake_service.workloads[uid]["state"] for uid in ("2", "3")] == ["ready", "ready"]
