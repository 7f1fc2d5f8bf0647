"""Deleting in every state, and batch systems that are slow, down, or say no."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from farlab_real.plugin_pods import (
    Client,
    Json,
    eventually,
    make_pod,
    make_secret,
    processes_with,
    running,
    settings,
)
from farlab_sites.plugin.accounts import AccountPolicy
from farlab_sites.plugin.driver import BatchSystemDown, Driver, Job, JobState, SubmitError
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.pods import Pods


class FakeBatchSystem(Driver):
    """Does nothing but what a test tells it: `open` lets submissions through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.submitting = asyncio.Event()
        self.down = False
        self.lost_answers = 0
        self.refusal = ""
        self.jobs: dict[str, JobState] = {}
        self.submissions: list[str] = []
        self.queries = 0

    async def submit(self, job: Job) -> str:
        self.submitting.set()
        await self.open.wait()
        if self.refusal:
            raise SubmitError(self.refusal)
        self._check()
        self.submissions.append(job.uid)
        self.jobs[job.uid] = JobState("Waiting", "Priority", "Others come first.")
        if self.lost_answers:
            self.lost_answers -= 1
            raise BatchSystemDown("the answer was lost")
        return f"job-{job.uid}"

    async def find(self, uid: str) -> str | None:
        self._check()
        return f"job-{uid}" if uid in self.jobs else None

    async def states(self, jobs: Sequence[Job]) -> dict[str, JobState]:
        self._check()
        self.queries += 1
        return {job.uid: self.jobs.get(job.uid, JobState("Terminated")) for job in jobs}

    async def cancel(self, job: Job) -> None:
        self._check()
        if job.uid in self.jobs:
            self.jobs[job.uid] = JobState("Terminated", "Cancelled")

    async def facts(self) -> dict[str, Any]:
        self._check()
        return {"status": "ok"}

    def _check(self) -> None:
        if self.down:
            raise BatchSystemDown("the batch system does not answer; try again later")


def left(home: Path) -> list[str]:
    """Return what is left of pods in the plugin's folder."""
    spool = home / "spool"
    return [path.name for part in ("jobs", "requests") for path in (spool / part).iterdir()]


async def deleted(plugin: Client, pod: Json, home: Path) -> None:
    """Delete a pod and check that nothing is left, and that it can be done again."""
    assert await plugin.delete(pod) == "deleted"
    assert await plugin.status(pod) == []
    assert processes_with(pod["metadata"]["uid"]) == []
    assert left(home) == []
    assert await plugin.delete(pod) == "deleted"


async def test_while_it_waits(home: Path) -> None:
    async with running(home, driver={"local": {"cpus": 1}}) as plugin:
        first, pod = make_pod("sleep 600"), make_pod("sleep 600")
        await plugin.create(first)
        await plugin.create(pod)
        await plugin.wait_for(pod, "waiting")
        await plugin.delete(pod)
        assert await plugin.status(pod) == []
        await deleted(plugin, first, home)


async def test_right_after_the_creation(plugin: Client, home: Path) -> None:
    for _ in range(5):
        pod = make_pod("sleep 600")
        await plugin.create(pod)
        await deleted(plugin, pod, home)


async def test_while_it_runs_and_does_not_want_to_end(plugin: Client, home: Path) -> None:
    pod = make_pod("trap '' TERM; echo up; while true; do sleep 1; done",
                   spec={"terminationGracePeriodSeconds": 1})  # fmt: skip
    await plugin.create(pod)
    await plugin.wait_for(pod, "running")
    await deleted(plugin, pod, home)


async def test_after_it_ended(plugin: Client, home: Path) -> None:
    pod = make_pod("true")
    await plugin.create(pod)
    await plugin.wait_for(pod, "terminated")
    await deleted(plugin, pod, home)


async def test_with_everything_it_made(plugin: Client, home: Path) -> None:
    """Folders without permissions and links to elsewhere: the links' targets stay."""
    (home / "precious").write_text("x")
    script = f"cd $FARLAB_VOLUME_E; mkdir -p a/b; ln -s {home} a/b/link; chmod 0 a/b a"
    mounts = [{"name": "e", "mountPath": "/e"}]
    pod = make_pod(script, volumeMounts=mounts, spec={"volumes": [{"name": "e", "emptyDir": {}}]})
    await plugin.create(pod)
    await plugin.wait_for(pod, "terminated")
    await deleted(plugin, pod, home)
    assert (home / "precious").read_text() == "x"


async def test_many_deletes_at_once(plugin: Client, home: Path) -> None:
    pod = make_pod("sleep 600")
    await plugin.create(pod)
    await plugin.wait_for(pod, "running")
    answers = await asyncio.gather(*(plugin.delete(pod) for _ in range(5)))
    assert set(answers) == {"deleted"}
    assert left(home) == []


@pytest.fixture
def batch() -> FakeBatchSystem:
    return FakeBatchSystem()


async def test_while_it_is_submitted(home: Path, batch: FakeBatchSystem) -> None:
    batch.open.clear()
    async with running(home, fake=batch) as plugin:
        pod = make_pod()
        creation = asyncio.create_task(plugin.try_create(pod))
        await batch.submitting.wait()
        [answer] = await plugin.status(pod)
        waiting = answer["containers"][0]["state"]["waiting"]
        assert waiting["message"] == "The job is being handed to the batch system."
        deletion = asyncio.create_task(plugin.delete(pod))
        await asyncio.sleep(0)
        batch.open.set()
        await creation
        assert await deletion == "deleted"
        assert await plugin.status(pod) == []
        assert left(home) == []
        states = await batch.states([])
        assert states == {}
        assert {state.phase for state in batch.jobs.values()} <= {"Terminated"}


async def test_while_the_batch_system_is_down(home: Path, batch: FakeBatchSystem) -> None:
    async with running(home, fake=batch) as plugin:
        pod = make_pod()
        await plugin.create(pod)
        batch.down = True
        status, text = await plugin.call("GET", "/status", [pod])
        assert (status, text) == (503, "the batch system does not answer; try again later")
        assert (await plugin.call("GET", "/status", []))[0] == 503
        deletion = asyncio.create_task(plugin.delete(pod))
        status, text = 0, ""

        async def ordered() -> bool:
            nonlocal status, text
            status, text = await plugin.try_create(pod)
            return status == 409

        await eventually(ordered, "the plugin takes the order to delete")
        batch.down = False
        assert await deletion == "deleted"
        assert left(home) == []


async def test_a_refusal_is_told_in_the_batch_systems_words(
    home: Path, batch: FakeBatchSystem
) -> None:
    batch.refusal = "invalid partition specified: choose one of cpu, gpu"
    async with running(home, fake=batch) as plugin:
        pod = make_pod()
        assert await plugin.try_create(pod) == (422, batch.refusal)
        assert await plugin.status(pod) == []
        assert left(home) == []
        batch.refusal = ""
        await plugin.create(pod)


async def test_a_lost_answer_leads_to_no_second_job(home: Path, batch: FakeBatchSystem) -> None:
    batch.lost_answers = 1
    async with running(home, fake=batch) as plugin:
        pod = make_pod()
        assert await plugin.try_create(pod) == (503, "the answer was lost")
        [answer] = await plugin.status(pod)
        waiting = answer["containers"][0]["state"]["waiting"]
        assert "send it again" in waiting["message"]
        assert await plugin.create(pod) == f"job-{pod['metadata']['uid']}"
        assert batch.submissions == [pod["metadata"]["uid"]]


async def test_a_lost_answer_and_then_a_delete(home: Path, batch: FakeBatchSystem) -> None:
    batch.lost_answers = 1
    async with running(home, fake=batch) as plugin:
        pod = make_pod()
        await plugin.try_create(pod, secrets=[make_secret("s", k="x")])
        assert await plugin.delete(pod) == "deleted"
        assert left(home) == []
        assert batch.jobs[pod["metadata"]["uid"]].phase == "Terminated"


async def test_one_query_for_all_pods(home: Path, batch: FakeBatchSystem) -> None:
    async with running(home, fake=batch) as plugin:
        pods = [make_pod() for _ in range(30)]
        for pod in pods:
            await plugin.create(pod)
        before = batch.queries
        assert len(await plugin.status(*pods)) == 30
        assert batch.queries == before + 1


async def test_what_ended_is_never_asked_for_again(home: Path, batch: FakeBatchSystem) -> None:
    async with running(home, fake=batch) as plugin:
        pod = make_pod()
        await plugin.create(pod)
        batch.jobs[pod["metadata"]["uid"]] = JobState(
            "Terminated", "NodeFailure", "The node n7 failed.", "n7", exit_code=0
        )
        ended = await plugin.wait_for(pod, "terminated")
        assert (ended["reason"], ended["message"]) == ("NodeFailure", "The node n7 failed.")
        assert ended["exitCode"] == 137
        batch.down = True
        assert (await plugin.state(pod))["terminated"] == ended
        batch.down = False


async def test_after_a_restart_a_batch_system_that_was_down_is_asked_again(
    home: Path, batch: FakeBatchSystem
) -> None:
    """What was cut off is submitted; what somebody was told of is only looked for."""
    batch.open.clear()
    cut_off, lost, refused = make_pod(), make_pod(), make_pod()
    config = settings(home)
    before = Pods(config, batch, AccountPolicy())
    await before.start()
    creation = asyncio.create_task(before.create({"pod": cut_off}))
    await batch.submitting.wait()
    creation.cancel()
    batch.open.set()
    batch.lost_answers = 1
    with pytest.raises(Refusal, match="the answer was lost"):
        await before.create({"pod": lost})
    batch.down = True
    with pytest.raises(Refusal, match="does not answer"):
        await before.create({"pod": refused})
    await before.stop()
    async with running(home, fake=batch) as plugin:
        for pod in (cut_off, lost, refused):
            state = await plugin.state(pod)
            assert state["waiting"]["reason"] == "Submitting"
        batch.down = False

        async def both() -> bool:
            answers = await plugin.status(cut_off, lost)
            return all(answer["JID"] for answer in answers)

        assert await plugin.create(lost) == f"job-{lost['metadata']['uid']}"
        await eventually(both, "what was cut off is submitted")
        assert await plugin.create(refused) == f"job-{refused['metadata']['uid']}"
        uids = [pod["metadata"]["uid"] for pod in (lost, cut_off, refused)]
        assert sorted(batch.submissions) == sorted(uids)


async def test_a_refusal_after_a_restart_is_told_in_the_status(
    home: Path, batch: FakeBatchSystem
) -> None:
    batch.open.clear()
    pod = make_pod()
    before = Pods(settings(home), batch, AccountPolicy())
    await before.start()
    creation = asyncio.create_task(before.create({"pod": pod}))
    await batch.submitting.wait()
    creation.cancel()
    await before.stop()
    batch.open.set()
    batch.refusal = "the partition is closed"
    async with running(home, fake=batch) as plugin:
        ended = await plugin.wait_for(pod, "terminated")
        assert (ended["reason"], ended["message"]) == ("StartError", batch.refusal)
        assert await plugin.try_create(pod) == (422, batch.refusal)
        assert await plugin.delete(pod) == "deleted"
        assert left(home) == []
