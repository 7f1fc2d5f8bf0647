"""The real program, killed at any moment: it comes back with every pod and starts none twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from farlab_real.plugin_pods import (
    Client,
    Json,
    configuration,
    eventually,
    make_pod,
    make_secret,
    processes_with,
)
from farlab_real.processes import Process


@pytest.fixture
def program(home: Path) -> Iterator[Process]:
    """`farlab plugin`, not started."""
    (home / "plugin.yaml").write_text(configuration(home))
    farlab = Path(sys.executable).with_name("farlab")
    process = Process([str(farlab), "plugin", "--config", f"{home}/plugin.yaml"], home / "log")
    yield process
    process.stop()


@contextlib.asynccontextmanager
async def started(program: Process, home: Path) -> AsyncIterator[Client]:
    """Start the program and return a client once it answers."""
    program.start()
    client = Client(f"unix://{home}/plugin.sock")

    async def answers() -> bool:
        assert program.running, program.read_log()
        try:
            return (await client.call("GET", "/status", []))[0] == 200
        except aiohttp.ClientError:
            return False

    await eventually(answers, "the plugin answers")
    try:
        yield client
    finally:
        await client.session.close()


def counting_pod(home: Path) -> Json:
    """Return a pod that leaves one line in a file each time it is started, and stays."""
    pod = make_pod(env=[{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}])
    script = f"echo started >> {count_file(home, pod)}; exec sleep 600"
    pod["spec"]["containers"][0]["command"] = ["/bin/sh", "-c", script]
    return pod


def count_file(home: Path, pod: Json) -> Path:
    """Return the file in which a pod counts its starts."""
    return home / f"count-{pod['metadata']['uid']}"


def counts(home: Path, pods: list[Json]) -> list[int]:
    """Return how often each pod was started."""
    paths = [count_file(home, pod) for pod in pods]
    return [path.read_text().count("started") if path.exists() else 0 for path in paths]


async def create_quietly(client: Client, pod: Json) -> str | None:
    """Create a pod with a plugin that may die meanwhile; return the job's id if it answered."""
    try:
        status, text = await client.try_create(pod, secrets=[make_secret("s", k="hush")])
    except (aiohttp.ClientError, OSError):
        return None
    assert status == 200, text
    return str(json.loads(text)["PodJID"])


@pytest.mark.parametrize("rounds", [8])
async def test_killed_while_pods_are_created(program: Process, home: Path, rounds: int) -> None:
    """Kill it a little later each time: before, in and after each step of many creations."""
    pods = [counting_pod(home) for _ in range(20)]
    answered: dict[int, str] = {}
    for turn in range(rounds):
        async with started(program, home) as client:
            tries = [asyncio.create_task(create_quietly(client, pod)) for pod in pods]
            await asyncio.sleep(0.02 + 0.03 * turn)
            program.kill()
            for number, job_id in enumerate(await asyncio.gather(*tries)):
                if job_id is not None:
                    assert answered.setdefault(number, job_id) == job_id
    async with started(program, home) as client:
        ids = [await create_quietly(client, pod) for pod in pods]
        assert [answered.get(n, job_id) for n, job_id in enumerate(ids)] == ids
        for pod in pods:
            await client.wait_for(pod, "running")
        await eventually(lambda: all_started(home, pods), "every pod has started")
        assert counts(home, pods) == [1] * len(pods)
        assert list((home / "spool" / "requests").iterdir()) == []
        await asyncio.gather(*(client.delete(pod) for pod in pods))
        assert await client.status(*pods) == []
    assert list((home / "spool" / "jobs").iterdir()) == []
    assert [pid for pod in pods for pid in processes_with(pod["metadata"]["uid"])] == []


async def all_started(home: Path, pods: list[Json]) -> bool:
    """Tell whether each pod was started at least once."""
    return all(counts(home, pods))


async def test_a_creation_that_was_cut_off_is_brought_to_its_end(
    program: Process, home: Path
) -> None:
    """Nobody asks again: what was accepted runs all the same, once."""
    pods = [counting_pod(home) for _ in range(10)]
    async with started(program, home) as client:
        tries = [asyncio.create_task(create_quietly(client, pod)) for pod in pods]
        jobs = home / "spool" / "jobs"

        async def accepted() -> bool:
            return any(jobs.iterdir())

        await eventually(accepted, "a pod is accepted")
        program.kill()
        answers = await asyncio.gather(*tries)
    async with started(program, home) as client:
        known = await client.status(*pods)
        uids = {answer["UID"] for answer in known}
        taken = [pod for pod in pods if pod["metadata"]["uid"] in uids]
        assert len(taken) >= sum(answer is not None for answer in answers)
        for pod in taken:
            await client.wait_for(pod, "running")
        await eventually(lambda: all_started(home, taken), "they have started")
        assert max(counts(home, pods)) == 1
        for pod in taken:
            await client.delete(pod)
    assert list((home / "spool" / "jobs").iterdir()) == []


async def test_jobs_outlive_the_plugin(program: Process, home: Path) -> None:
    """What happens to jobs while nobody watches is known afterwards."""
    long = make_pod('echo one; while [ ! -e "$GO" ]; do sleep 0.1; done; echo two; sleep 600')
    long["spec"]["containers"][0]["env"] = [{"name": "GO", "value": f"{home}/go"}]
    short = make_pod(f"while [ ! -e {home}/go ]; do sleep 0.1; done; exit 5")
    timed = make_pod("sleep 600", spec={"activeDeadlineSeconds": 1})
    async with started(program, home) as client:
        ids = [await client.create(pod) for pod in (long, short, timed)]
        for pod in (long, short):
            await client.wait_for(pod, "running")
        program.kill()
    (home / "go").touch()
    uid = short["metadata"]["uid"]

    async def gone() -> bool:
        return processes_with(uid) == []

    await eventually(gone, "the short pod has ended")
    async with started(program, home) as client:
        assert (await client.wait_for(short, "terminated"))["exitCode"] == 5
        ended = await client.wait_for(timed, "terminated")
        assert ended["reason"] == "DeadlineExceeded"
        assert "running" in await client.state(long)
        assert await client.logs(long) == "one\ntwo\n"
        assert [await client.create(pod) for pod in (long, short, timed)] == ids
        await asyncio.gather(*(client.delete(pod) for pod in (long, short, timed)))
    assert processes_with(long["metadata"]["uid"]) == []


async def test_killed_while_pods_are_deleted(program: Process, home: Path) -> None:
    """A deletion that was ordered goes on by itself after a restart."""
    # They note the order to end but do not follow, so that ending them takes their grace time.
    script = "trap 'echo told >> {}/told' TERM; while true; do sleep 0.1; done"
    grace = {"terminationGracePeriodSeconds": 2}
    pods = [make_pod(script.format(home), spec=grace) for _ in range(3)]
    async with started(program, home) as client:
        for pod in pods:
            await client.create(pod)
        for pod in pods:
            await client.wait_for(pod, "running")
        orders = [asyncio.create_task(client.delete(pod)) for pod in pods]

        async def told() -> bool:
            file = home / "told"
            return file.exists() and file.read_text().count("told") == len(pods)

        await eventually(told, "every pod is told to end")
        program.kill()
        await asyncio.gather(*orders, return_exceptions=True)
    async with started(program, home) as client:

        async def forgotten() -> bool:
            return await client.status(*pods) == []

        await eventually(forgotten, "the pods are deleted")
    assert list((home / "spool" / "jobs").iterdir()) == []
    assert [pid for pod in pods for pid in processes_with(pod["metadata"]["uid"])] == []


async def test_a_second_plugin_keeps_out(program: Process, home: Path) -> None:
    async with started(program, home):
        second = Process(program.argv, home / "second.log")
        second.start()

        async def ended() -> bool:
            return not second.running

        await eventually(ended, "the second plugin gives up")
        assert "in use by another plugin" in second.read_log()
        assert "Traceback" not in second.read_log()
