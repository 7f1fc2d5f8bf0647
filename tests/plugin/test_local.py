"""The driver `local`: processes, their queue, their limits, and how they end."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import psutil
from farlab_real.plugin_pods import (
    Client,
    Json,
    eventually,
    make_pod,
    processes_with,
    running,
)


def gpu_pod(count: int, script: str = 'echo "[$CUDA_VISIBLE_DEVICES]"; sleep 600') -> Json:
    """Return a pod that shows the GPUs it has."""
    return make_pod(script, resources={"limits": {"nvidia.com/gpu": str(count)}})


async def test_gpus_are_handed_out_once_and_waiting_pods_have_a_place(home: Path) -> None:
    async with running(home, driver={"local": {"cpus": 8, "gpus": 4}}) as plugin:
        pods = [gpu_pod(count) for count in (2, 0, 2, 1, 3)]
        for pod in pods:
            await plugin.create(pod)
        for pod in pods[:3]:
            await plugin.wait_for(pod, "running")

        async def devices(pod: Json) -> str:
            async def there() -> bool:
                return bool(await plugin.logs(pod))

            await eventually(there, "the pod says what it has")
            return (await plugin.logs(pod)).strip()

        assert await asyncio.gather(*map(devices, pods[:3])) == ["[0,1]", "[]", "[2,3]"]
        waiting = [(await plugin.state(pod))["waiting"] for pod in pods[3:]]
        assert waiting[0]["reason"] == "Resources"
        assert waiting[0]["message"] == (
            "Waiting for 1 GPU (free: 0 of 4): place 1 of 2 in the queue."
        )
        assert "place 2 of 2" in waiting[1]["message"]
        await plugin.delete(pods[0])
        await plugin.wait_for(pods[3], "running")
        assert await devices(pods[3]) == "[0]"
        # Three GPUs are not free: one is taken, so the last one waits.
        assert "waiting" in await plugin.state(pods[4])
        await plugin.delete(pods[2])
        await plugin.wait_for(pods[4], "running")
        assert await devices(pods[4]) == "[1,2,3]"


async def test_nobody_overtakes_in_the_queue(home: Path) -> None:
    async with running(home, driver={"local": {"cpus": 2}}) as plugin:
        one, two, small = (
            make_pod("sleep 600", resources={"limits": {"cpu": cpus}}) for cpus in ("1", "2", "1")
        )
        for pod in (one, two, small):
            await plugin.create(pod)
        await plugin.wait_for(one, "running")
        first, second = [(await plugin.state(pod))["waiting"]["message"] for pod in (two, small)]
        assert first == "Waiting for 2 CPU (free: 1 of 2): place 1 of 2 in the queue."
        assert second == "Waiting for those that came before: place 2 of 2 in the queue."
        await plugin.delete(two)
        await plugin.wait_for(small, "running")


async def test_the_walltime_ends_a_pod(plugin: Client) -> None:
    pod = make_pod("sleep 600", spec={"activeDeadlineSeconds": 1})
    await plugin.create(pod)
    ended = await plugin.wait_for(pod, "terminated")
    assert ended["reason"] == "DeadlineExceeded"
    assert ended["message"] == "The walltime of 0:00:01 was over."
    assert ended["exitCode"] == 143


async def test_a_pod_over_its_memory_limit_is_ended(plugin: Client) -> None:
    code = "x = bytearray(300 << 20); print(len(x), flush=True); import time; time.sleep(600)"
    pod = make_pod(command=[sys.executable, "-c", code], resources={"limits": {"memory": "100Mi"}})
    await plugin.create(pod)
    ended = await plugin.wait_for(pod, "terminated")
    assert ended["reason"] == "OOMKilled"
    assert "its limit is 100 MiB" in ended["message"]
    assert ended["exitCode"] in (137, 143)


async def test_a_pod_killed_by_a_signal_says_so(plugin: Client) -> None:
    pod = make_pod("kill -KILL $$$$")  # Kubernetes makes $$ of it
    await plugin.create(pod)
    ended = await plugin.wait_for(pod, "terminated")
    assert (ended["exitCode"], ended["message"]) == (137, "Ended by signal 9 (SIGKILL).")


async def test_a_program_that_is_not_there(plugin: Client) -> None:
    pod = make_pod(command=["no-such-program"], image="/opt/none")
    await plugin.create(pod)
    ended = await plugin.wait_for(pod, "terminated")
    assert ended["reason"] == "StartError"
    assert "cannot start no-such-program on" in ended["message"]
    assert "looked in /opt/none/bin:" in ended["message"]


async def test_a_folder_that_is_not_there(plugin: Client) -> None:
    pod = make_pod("true", workingDir="/no/such/folder")
    await plugin.create(pod)
    ended = await plugin.wait_for(pod, "terminated")
    assert "cannot start in the folder /no/such/folder" in ended["message"]


async def test_init_containers_run_one_by_one_and_then_all_containers(plugin: Client) -> None:
    share = [{"name": "share", "mountPath": "/share"}]

    def part(name: str, script: str) -> Json:
        return {"name": name, "command": ["/bin/sh", "-c", script], "volumeMounts": share}

    # Each of the two main containers waits for the other: only side by side can both end.
    meet = "touch /share/{}; while [ ! -e /share/{} ]; do sleep 0.05; done; cat /share/log"
    spec = {
        "initContainers": [
            part("first", "sleep 0.3; echo 1 >> /share/log"),
            part("second", "echo 2 >> /share/log"),
        ],
        "containers": [part("one", meet.format("a", "b")), part("two", meet.format("b", "a"))],
        "volumes": [{"name": "share", "emptyDir": {}}],
    }
    pod = make_pod(spec=spec)
    await plugin.create(pod)
    for name in ("one", "two"):
        assert (await plugin.wait_for(pod, "terminated", name))["exitCode"] == 0
        assert await plugin.logs(pod, name) == "1\n2\n"
    [answer] = await plugin.status(pod)
    assert [c["name"] for c in answer["initContainers"]] == ["first", "second"]
    assert all(c["state"]["terminated"]["exitCode"] == 0 for c in answer["initContainers"])


async def test_containers_wait_for_a_running_init_container(plugin: Client, home: Path) -> None:
    wait = f"while [ ! -e {home}/go ]; do sleep 0.05; done"
    init = {"name": "init", "command": ["/bin/sh", "-c", wait]}
    pod = make_pod("sleep 600", spec={"initContainers": [init]})
    await plugin.create(pod)
    await plugin.wait_for(pod, "running", "init")
    assert (await plugin.state(pod))["waiting"]["reason"] == "PodInitializing"
    (home / "go").touch()
    await plugin.wait_for(pod, "running")


async def test_a_failed_init_container_fails_the_pod(plugin: Client) -> None:
    init = {"name": "init", "command": ["/bin/sh", "-c", "echo sorry; exit 4"]}
    pod = make_pod("echo never", spec={"initContainers": [init]})
    await plugin.create(pod)
    ended = await plugin.wait_for(pod, "terminated")
    assert ended["exitCode"] == 1
    assert ended["message"] == "not started: init container init failed: see its log"
    assert (await plugin.state(pod, "init"))["terminated"]["exitCode"] == 4
    assert await plugin.logs(pod, "init") == "sorry\n"


async def test_one_container_ends_and_the_other_goes_on(plugin: Client) -> None:
    side = {"name": "side", "command": ["/bin/sh", "-c", "exit 2"]}
    pod = make_pod("sleep 600")
    pod["spec"]["containers"].append(side)
    await plugin.create(pod)
    assert (await plugin.wait_for(pod, "terminated", "side"))["exitCode"] == 2
    assert "running" in await plugin.state(pod)


async def test_nothing_of_a_pod_is_left_running(plugin: Client) -> None:
    """What a pod has put into other sessions ends with it, with and without a delete."""
    stray = "setsid sh -c 'sleep 600 & exec sleep 600' & (trap '' TERM; sleep 600) & sleep 0.3"
    ending, deleted = make_pod(stray), make_pod(f"{stray}; sleep 600")
    await plugin.create(ending)
    await plugin.wait_for(ending, "terminated")
    assert processes_with(ending["metadata"]["uid"]) == []
    await plugin.create(deleted)
    uid = deleted["metadata"]["uid"]

    async def spread() -> bool:
        return len(processes_with(uid)) >= 5

    await eventually(spread, "the pod has started its strays")
    await plugin.delete(deleted)
    assert processes_with(uid) == []


async def test_a_runner_that_is_killed_takes_its_containers_along(
    plugin: Client, home: Path
) -> None:
    pod = make_pod("trap '' TERM; echo up; while true; do sleep 1; done")
    await plugin.create(pod)
    uid = pod["metadata"]["uid"]

    async def up() -> bool:
        return await plugin.logs(pod) == "up\n"

    await eventually(up, "the pod runs")
    # The one that claimed the pod: the command that started it may still be there.
    claim = json.loads((home / "spool" / "jobs" / uid / "started").read_text())
    runner = psutil.Process(claim["pid"])
    assert uid in " ".join(runner.cmdline())
    runner.kill()
    ended = await plugin.wait_for(pod, "terminated")
    assert (ended["reason"], ended["exitCode"]) == ("Error", 137)
    assert ended["message"] == "The job was killed from outside."
    assert processes_with(uid) == []


async def test_twenty_pods_at_once(plugin: Client, home: Path) -> None:
    pods = [make_pod(f"echo {number}; sleep 600", name=f"pod-{number}") for number in range(20)]
    ids = await asyncio.gather(*(plugin.create(pod) for pod in pods))
    assert len(set(ids)) == 20
    for pod in pods:
        await plugin.wait_for(pod, "running")
    answers = await plugin.status(*pods)
    assert [answer["name"] for answer in answers] == [pod["metadata"]["name"] for pod in pods]
    await asyncio.gather(*(plugin.delete(pod) for pod in pods))
    assert await plugin.status(*pods) == []
    assert list((home / "spool" / "jobs").iterdir()) == []
    assert [pid for pod in pods for pid in processes_with(pod["metadata"]["uid"])] == []


async def test_what_the_account_writes_into_the_report_does_no_harm(
    plugin: Client, home: Path
) -> None:
    reports = ["[" * 50_000, '{"containers": {"main": {"state": "terminated", "exit_code": "x"}}}',
               '{"containers": {"main": {"state": "terminated", "exit_code": 1e999,'
               ' "started_at": 1e300, "finished_at": "x", "reason": [], "message": {}}}}',
               '{"containers": [1]}', "null"]  # fmt: skip
    side = {"name": "side", "command": ["/bin/sleep", "600"]}
    pod = make_pod("sleep 600")
    pod["spec"]["containers"].append(side)
    await plugin.create(pod)
    await plugin.wait_for(pod, "running")
    path = home / "spool" / "jobs" / pod["metadata"]["uid"] / "status.json"
    for report in reports:
        path.write_text(report)
        [answer] = await plugin.status(pod)
        assert len(answer["containers"]) == 2
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert len(await plugin.status(pod)) == 1
