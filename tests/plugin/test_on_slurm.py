"""The whole plugin in front of a real Slurm: from /create to a batch job and back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from farlab_real.local_accounts import local_accounts
from farlab_real.plugin_pods import (
    Client,
    Json,
    command_lines,
    configuration,
    eventually,
    make_pod,
    make_secret,
    processes_with,
    running,
)
from farlab_real.processes import Process
from farlab_real.slurm import SlurmCluster


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=2, gpus=4, cpu_nodes=2, kill_wait=2) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def on(slurm: SlurmCluster, home: Path, **more: object) -> AsyncIterator[Client]:
    """Run the plugin in front of this Slurm."""
    driver = {"slurm": {"conf": str(slurm.conf), "query_every": 0.3}}
    async with running(home, driver=driver, **more) as client:
        yield client


def gpu_pod(script: str, **more: object) -> Json:
    """Return a pod for two GPUs of the partition gpu."""
    annotations = {"slurm-job.vk.io/flags": "--partition=gpu --gres=gpu:a100:2 --time=5"}
    limits = {"cpu": "1", "memory": "64Mi", "nvidia.com/gpu": "2"}
    return make_pod(script, annotations=annotations, resources={"limits": limits}, **more)


def queue(slurm: SlurmCluster) -> str:
    """Return everything that Slurm tells anybody."""
    return slurm.run("scontrol", "show", "job", "-d", check=False) + slurm.run("squeue", "-a")


async def test_a_pod_is_a_batch_job(slurm: SlurmCluster, home: Path) -> None:
    word = f"hush-{uuid.uuid4()}"
    ref = {"secretKeyRef": {"name": "s", "key": "k"}}
    pod = gpu_pod(
        'echo "$CUDA_VISIBLE_DEVICES|$FARLAB_JOB_ID|$FARLAB_NODE|$HOME"; cat /v/k; sleep 600',
        env=[{"name": "TOKEN", "valueFrom": ref}],
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
        spec={"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
    )
    async with on(slurm, home) as plugin:
        job_id = await plugin.create(pod, secrets=[make_secret("s", k=word)])
        await plugin.wait_for(pod, "running")

        async def speaks() -> bool:
            return word in await plugin.logs(pod)

        await eventually(speaks, "the pod runs")
        devices, found, node, user_home = (await plugin.logs(pod)).splitlines()[0].split("|")
        assert (devices, found) == ("0,1", job_id)
        assert node
        assert user_home
        [answer] = await plugin.status(pod)
        assert answer["JID"] == job_id
        assert answer["node"]
        assert word not in queue(slurm)
        assert word not in slurm.run("scontrol", "write", "batch_script", job_id, "-", check=False)
        assert word not in command_lines()
        assert await plugin.delete(pod) == "deleted"
        assert pod["metadata"]["uid"] not in slurm.run("squeue", "--format=%j")
        assert processes_with(pod["metadata"]["uid"]) == []
        assert list((home / "spool" / "jobs").iterdir()) == []


async def test_how_a_pod_ended(slurm: SlurmCluster, home: Path) -> None:
    async with on(slurm, home) as plugin:
        good, bad = make_pod("echo fine"), make_pod("echo oh; exit 3")
        missing = make_pod(command=["no-such-program"])
        cancelled = make_pod("sleep 600")
        for pod in (good, bad, missing, cancelled):
            await plugin.create(pod)
        ends = [await plugin.wait_for(pod, "terminated") for pod in (good, bad, missing)]
        assert [end["exitCode"] for end in ends] == [0, 3, 127]
        assert [end["reason"] for end in ends] == ["Completed", "Error", "StartError"]
        assert "cannot start no-such-program" in ends[2]["message"]
        assert await plugin.logs(good) == "fine\n"
        await plugin.wait_for(cancelled, "running")
        [answer] = await plugin.status(cancelled)
        slurm.run("scancel", answer["JID"])
        end = await plugin.wait_for(cancelled, "terminated")
        assert end["reason"] == "Cancelled"
        assert end["exitCode"] != 0


async def test_a_refusal_is_in_slurms_own_words(slurm: SlurmCluster, home: Path) -> None:
    async with on(slurm, home) as plugin:
        pod = make_pod(annotations={"slurm-job.vk.io/flags": "--partition=nowhere"})
        status, text = await plugin.try_create(pod)
        assert status == 422
        assert "nvalid partition" in text
        assert await plugin.status(pod) == []
        assert list((home / "spool" / "jobs").iterdir()) == []


async def test_a_mapped_account_runs_the_job(slurm: SlurmCluster, home: Path) -> None:
    with local_accounts(1) as [name]:
        async with on(slurm, home, accounts={"allow": [name]}) as plugin:
            pod = make_pod("id -un; pwd", annotations={"farlab/account": name})
            await plugin.create(pod)
            assert (await plugin.wait_for(pod, "terminated"))["exitCode"] == 0
            assert (await plugin.logs(pod)).split() == [name, f"/home/{name}"]
            assert await plugin.delete(pod) == "deleted"


async def test_killed_while_jobs_are_submitted(slurm: SlurmCluster, home: Path) -> None:
    """Each pod is one job, however often the plugin dies meanwhile."""
    driver = {"slurm": {"conf": str(slurm.conf), "query_every": 0.3}}
    (home / "plugin.yaml").write_text(configuration(home, driver=driver))
    command = [sys.executable, "-m", "farlab_sites.plugin.main", "--config", f"{home}/plugin.yaml"]
    program = Process(command, home / "log")
    limits = {"limits": {"cpu": "1", "memory": "64Mi"}}
    script = f"echo started >> {home}/count-{{}}; sleep 600"
    pods = [make_pod(script.format(n), resources=limits) for n in range(6)]
    client = Client(f"unix://{home}/plugin.sock")

    async def answers() -> bool:
        assert program.running, program.read_log()
        try:
            return (await client.call("GET", "/status", [{"metadata": pods[0]["metadata"]}]))[0] > 0
        except aiohttp.ClientError:
            return False

    async def create(pod: Json) -> str | None:
        try:
            status, text = await client.try_create(pod)
        except (aiohttp.ClientError, OSError):
            return None
        assert status in (200, 503), text
        return str(json.loads(text)["PodJID"]) if status == 200 else None

    try:
        for turn in range(4):
            program.start()
            await eventually(answers, "the plugin answers")
            tries = [asyncio.create_task(create(pod)) for pod in pods]
            await asyncio.sleep(0.05 + 0.12 * turn)
            program.kill()
            await asyncio.gather(*tries)
        program.start()
        await eventually(answers, "the plugin answers")
        for pod in pods:
            await client.create(pod)

        async def all_run() -> bool:
            return all((home / f"count-{n}").exists() for n in range(len(pods)))

        await eventually(all_run, "every pod has started")
        for pod in pods:
            await client.wait_for(pod, "running")
        starts = [(home / f"count-{n}").read_text().count("started") for n in range(len(pods))]
        assert starts == [1] * len(pods)
        await asyncio.gather(*(client.delete(pod) for pod in pods))
        names = slurm.run("squeue", "--format=%j")
        assert [pod for pod in pods if pod["metadata"]["uid"] in names] == []
        assert list((home / "spool" / "jobs").iterdir()) == []
    finally:
        await client.session.close()
        program.stop()
        slurm.run("scancel", "--user=root", check=False)
