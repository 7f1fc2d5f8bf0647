"""Jobs of mapped local accounts: neither user reaches what is the other's."""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from farlab_real.local_accounts import local_accounts
from farlab_real.plugin_pods import (
    Client,
    Json,
    eventually,
    make_pod,
    make_secret,
    processes_with,
    running,
)
from farlab_real.service_account import running_as


@pytest.fixture(scope="module")
def names() -> Iterator[list[str]]:
    """Three accounts: two users and one for the plugin."""
    with local_accounts(3) as made:
        yield made


@contextlib.asynccontextmanager
async def as_root(home: Path, names: list[str]) -> AsyncIterator[Client]:
    """Run the plugin as root."""
    async with running(home, accounts={"allow": names[:2]}) as client:
        yield client


def through_sudo(home: Path, names: list[str]) -> AbstractAsyncContextManager[Client]:
    """Run the plugin as an ordinary account that may act as the other two."""
    return running_as(names[2], names[:2], home)


@pytest.mark.parametrize("way", [as_root, through_sudo])
async def test_two_users_at_one_site(home: Path, names: list[str], way: object) -> None:
    async with way(home, names) as plugin:  # type: ignore[operator]
        ref = {"secretKeyRef": {"name": "s", "key": "k"}}

        def pod_of(name: str, script: str) -> Json:
            env = [{"name": "TOKEN", "valueFrom": ref}]
            return make_pod(script, env=env, annotations={"farlab/account": name})

        secrets = [make_secret("s", k="hush")]
        victim = pod_of(names[0], "id -un; echo $HOME; pwd; sleep 600")
        await plugin.create(victim, secrets=secrets)

        async def speaks() -> bool:
            return (await plugin.logs(victim)).count("\n") == 3

        await eventually(speaks, "the first pod runs")
        user = pwd.getpwnam(names[0])
        assert (await plugin.logs(victim)).split() == [names[0], user.pw_dir, user.pw_dir]
        job = home / "spool" / "jobs" / victim["metadata"]["uid"]
        status = job.stat()
        assert (status.st_uid, status.st_mode & 0o777) == (user.pw_uid, 0o700)
        pids = processes_with(victim["metadata"]["uid"])
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {user.pw_uid}

        spy_script = f"""
            for pid in {" ".join(map(str, pids))}; do cat /proc/$pid/environ; kill $pid; done
            cat {job}/env/main.json {job}/logs/main.log {home}/spool/farlab.sqlite3
            ls {job} {home}/spool/jobs {home}/spool/requests
            cd $(dirname $FARLAB_VOLUME_E)/../logs && rm main.log
            ln -s {job}/logs/main.log main.log
        """
        spy = pod_of(names[1], spy_script)
        spy["spec"]["volumes"] = [{"name": "e", "emptyDir": {}}]
        spy["spec"]["containers"][0]["volumeMounts"] = [{"name": "e", "mountPath": "/e"}]
        await plugin.create(spy, secrets=secrets)
        await plugin.wait_for(spy, "terminated")
        assert await plugin.logs(spy) == ""  # a link to the other's log
        assert "running" in await plugin.state(victim)
        found = home / "spool" / "jobs" / spy["metadata"]["uid"] / "logs"
        assert [path.name for path in found.glob("main.log")] == ["main.log"]

        for pod in (victim, spy):
            assert await plugin.delete(pod) == "deleted"
            assert processes_with(pod["metadata"]["uid"]) == []
        assert list((home / "spool" / "jobs").iterdir()) == []


async def test_an_account_that_is_not_allowed(home: Path, names: list[str]) -> None:
    async with as_root(home, names[1:]) as plugin:
        pod = make_pod(annotations={"farlab/account": names[0]})
        status, text = await plugin.try_create(pod)
        assert status == 403
        assert "may not be used at this site" in text
        assert await plugin.status(pod) == []
