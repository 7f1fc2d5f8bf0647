"""Batch jobs of two mapped accounts on one Slurm: neither user, and no tool, sees a secret."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from farlab_real.local_accounts import local_accounts
from farlab_real.plugin_pods import (
    Client,
    Json,
    command_lines,
    eventually,
    make_pod,
    make_secret,
    processes_with,
    running,
)
from farlab_real.service_account import running_as
from farlab_real.slurm import SlurmCluster

SECRETS = [make_secret("s", k="hush")]


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=0, cpu_nodes=2, quantum_nodes=0, kill_wait=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def names() -> Iterator[list[str]]:
    """Three accounts: two users and one for the plugin."""
    with local_accounts(3) as made:
        yield made


@contextlib.asynccontextmanager
async def plugin(
    way: str, slurm: SlurmCluster, home: Path, names: list[str]
) -> AsyncIterator[Client]:
    """Run the plugin as root, or as an ordinary account that has sudo's leave."""
    driver = {"slurm": {"conf": str(slurm.conf), "query_every": 0.3}}
    async with contextlib.AsyncExitStack() as stack:
        if way == "root":
            allow = {"allow": names[:2]}
            client = running(home, driver=driver, accounts=allow)
        else:
            client = running_as(names[2], names[:2], home, driver=driver)
        yield await stack.enter_async_context(client)


def pod_of(name: str, script: str) -> Json:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    return make_pod(script, env=env, annotations={"farlab/account": name})


def as_user(name: str, slurm: SlurmCluster, script: str) -> str:
    """Return everything that a shell of the user's prints, errors included."""
    argv = ["runuser", "-u", name, "--", "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, env=slurm.env, check=False, cwd="/")
    return (done.stdout + done.stderr).decode(errors="replace")


def everything_anyone_may_ask(slurm: SlurmCluster, job_id: str) -> str:
    """Return Slurm's answers about the job, its script, every command line and Slurm's logs."""
    asked = [
        ("scontrol", "show", "job", "-dd", job_id),
        ("scontrol", "write", "batch_script", job_id, "-"),
        ("squeue", "--all", "--format=%all"),
        ("scontrol", "show", "step", job_id),
    ]
    answers = [slurm.run(*argv, check=False) for argv in asked]
    logs = [path.read_text(errors="replace") for path in slurm.logs.iterdir()]
    return "\n".join([*answers, *logs, command_lines()])


@pytest.mark.parametrize("way", ["root", "sudo"])
async def test_two_users_on_one_slurm(
    way: str, slurm: SlurmCluster, home: Path, names: list[str]
) -> None:
    word = f"hush-{uuid.uuid4()}"
    secrets = [make_secret("s", k=word)]
    async with plugin(way, slurm, home, names) as client:
        pod = pod_of(names[0], 'id -un; echo "$TOKEN"; sleep 600')
        uid = pod["metadata"]["uid"]
        job_id = await client.create(pod, secrets=secrets)

        async def speaks() -> bool:
            return word in await client.logs(pod)

        await eventually(speaks, "the pod runs")
        assert (await client.logs(pod)).split() == [names[0], word]
        assert f"UserId={names[0]}(" in slurm.run("scontrol", "show", "job", job_id)
        assert word not in everything_anyone_may_ask(slurm, job_id)

        job = home / "spool" / "jobs" / uid
        user = pwd.getpwnam(names[0])
        pids = processes_with(uid)
        ours = [pid for pid in pids if Path(f"/proc/{pid}").stat().st_uid == user.pw_uid]
        assert ours
        pry = f"""
            for pid in {" ".join(map(str, pids))}; do cat /proc/$pid/environ; done
            find {job} {home}/spool -type f -exec cat {{}} +
            cat {job}/logs/main.log {job}/job.log
            scontrol write batch_script {job_id} -; scontrol show job -dd {job_id}
            scancel {job_id}; kill {" ".join(map(str, ours))}
        """
        assert word not in as_user(names[1], slurm, pry)
        await client.wait_for(pod, "running")

        other = pod_of(names[1], "id -un")
        await client.create(other, secrets=secrets)
        await client.wait_for(other, "terminated")
        assert (await client.logs(other)).split() == [names[1]]
        for one in (pod, other):
            assert await client.delete(one) == "deleted"
            assert processes_with(one["metadata"]["uid"]) == []
        assert list((home / "spool" / "jobs").iterdir()) == []


async def test_the_plugin_may_act_as_nobody_else(
    slurm: SlurmCluster, home: Path, names: list[str]
) -> None:
    async with plugin("sudo", slurm, home, names) as client:
        for name in ("root", names[2], "daemon"):
            status, _ = await client.try_create(pod_of(name, "id"), secrets=SECRETS)
            assert status == 403
    argv = ["runuser", "-u", names[2], "--", "sudo", "-n", "-u", "root", "--", "id"]
    refused = subprocess.run(argv, capture_output=True, check=False, env=dict(os.environ))
    assert refused.returncode != 0


async def test_a_missing_line_in_sudoers_is_told(
    slurm: SlurmCluster, home: Path, names: list[str]
) -> None:
    driver = {"slurm": {"conf": str(slurm.conf)}}
    allow = {"allow": names[:2]}
    async with running_as(names[2], names[:1], home, driver=driver, accounts=allow) as client:
        status, answer = await client.try_create(pod_of(names[1], "id"), secrets=SECRETS)
    assert status != 200
    assert f"may not act as {names[1]}" in answer
    assert "sudoers" in answer
