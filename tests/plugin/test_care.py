"""Probes, hooks, restarts and grace times, by the pod runner inside the job."""

from __future__ import annotations

import pytest
from farlab_real.plugin_pods import Client, Json, eventually, make_configmap, make_pod

RESTARTS = {"farlab/restarts": "true"}
SHARED: Json = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
WORK: Json = {"volumes": [{"name": "work", "emptyDir": {}}]}


async def container(plugin: Client, pod: Json, name: str = "main") -> Json:
    """Return the whole status of a container."""
    (entry,) = await plugin.status(pod)
    every = [*entry["initContainers"], *entry["containers"]]
    return next(one for one in every if one["name"] == name)


async def until(plugin: Client, pod: Json, what: str, **wanted: object) -> Json:
    """Wait until a container's status has these values; return it."""
    found: Json = {}

    async def there() -> bool:
        nonlocal found
        found = await container(plugin, pod)
        return all(found[key] == value for key, value in wanted.items())

    await eventually(there, what)
    return found


def exec_probe(*command: str, **more: int) -> Json:
    """Return a probe that runs a command every second."""
    return {"exec": {"command": [*command]}, "periodSeconds": 1, **more}


async def test_ready_is_what_the_probe_says(plugin: Client) -> None:
    probe = exec_probe("test", "-s", "/work/up")
    pod = make_pod(
        "until test -s /work/go; do sleep 0.1; done; echo up > /work/up; sleep 600",
        readinessProbe=probe, lifecycle={"preStop": {"sleep": {"seconds": 0}}},
        spec=WORK, **SHARED,
    )  # fmt: skip
    helper = {"name": "helper", "command": ["/bin/sh", "-c", "sleep 2; echo x > /work/go"]}
    pod["spec"]["containers"].append(helper | SHARED)
    await plugin.create(pod)
    await until(plugin, pod, "running and not ready", ready=False, started=True)
    await until(plugin, pod, "ready", ready=True)
    await plugin.delete(pod)


@pytest.mark.parametrize("kind", ["livenessProbe", "startupProbe"])
async def test_a_probe_that_gives_up_ends_the_container(plugin: Client, kind: str) -> None:
    pod = make_pod("sleep 600", **{kind: exec_probe("false", failureThreshold=2)})
    await plugin.create(pod)
    ended = await plugin.wait_for(pod, "terminated")
    word = kind.removesuffix("Probe")
    assert ended["message"] == f"The {word} probe failed 2 times in a row."
    assert (ended["exitCode"], ended["reason"]) == (143, "Error")


async def test_a_probe_that_hangs_has_failed(plugin: Client) -> None:
    probe = exec_probe("sleep", "600", failureThreshold=1, timeoutSeconds=1)
    pod = make_pod("sleep 600", livenessProbe=probe)
    await plugin.create(pod)
    assert "liveness" in (await plugin.wait_for(pod, "terminated"))["message"]


async def test_pods_run_once_where_nobody_shows_restarts(plugin: Client) -> None:
    """interLink's kubelet passes restartPolicy over, and so its pods end as they do there."""
    pod = make_pod("exit 3", spec={"restartPolicy": "Always"})
    await plugin.create(pod)
    assert (await plugin.wait_for(pod, "terminated"))["exitCode"] == 3
    assert (await container(plugin, pod))["restartCount"] == 0


async def test_a_container_runs_again_and_its_log_begins_anew(plugin: Client) -> None:
    script = "if test -s /work/run; then echo second; else echo first | tee /work/run; exit 6; fi"
    spec = {"restartPolicy": "OnFailure", **WORK}
    pod = make_pod(script, annotations=RESTARTS, spec=spec, **SHARED)
    await plugin.create(pod)
    assert (await plugin.wait_for(pod, "terminated"))["exitCode"] == 0
    status = await container(plugin, pod)
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 6
    assert await plugin.logs(pod) == "second\n"
    assert await plugin.logs(pod, Previous=True) == "first\n"


async def test_a_crashing_container_waits_and_can_be_deleted(plugin: Client) -> None:
    pod = make_pod("exit 1", annotations=RESTARTS, spec={"restartPolicy": "Always"})
    await plugin.create(pod)
    await until(plugin, pod, "the second try", restartCount=1)
    waiting = await plugin.wait_for(pod, "waiting")
    assert waiting["reason"] == "CrashLoopBackOff"
    assert waiting["message"] == "back-off 10s restarting failed container=main"
    await plugin.delete(pod)
    assert await plugin.status(pod) == []


async def test_the_hooks_run_at_the_start_and_before_the_end(plugin: Client) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["/bin/sh", "-c", "echo begun >> /work/log"]}},
        "preStop": {"exec": {"command": ["/bin/sh", "-c", "echo ending >> /work/log"]}},
    }
    script = "trap 'cat /work/log; exit 0' TERM; while :; do sleep 0.1; done"
    probe = exec_probe("test", "!", "-s", "/work/log", failureThreshold=2)
    pod = make_pod(script, lifecycle=hooks, livenessProbe=probe, spec=WORK, **SHARED)
    await plugin.create(pod)
    await plugin.wait_for(pod, "terminated")
    # A shell also tells of its own children that the signal ends.
    assert (await plugin.logs(pod)).endswith("begun\nending\n")


async def test_a_post_start_hook_that_fails_ends_the_container(plugin: Client) -> None:
    pod = make_pod("sleep 600", lifecycle={"postStart": {"exec": {"command": ["false"]}}})
    await plugin.create(pod)
    ended = await plugin.wait_for(pod, "terminated")
    assert ended["message"] == "The postStart hook failed with exit code 1."


async def test_a_sidecar_ends_after_the_others(plugin: Client) -> None:
    sidecar = {
        "name": "beside",
        "restartPolicy": "Always",
        "command": ["/bin/sh", "-c", "cat /c/word > /work/up; exec sleep 600"],
        "startupProbe": exec_probe("test", "-s", "/work/up", failureThreshold=60),
        "volumeMounts": [*SHARED["volumeMounts"], {"name": "c", "mountPath": "/c"}],
    }
    volumes = [*WORK["volumes"], {"name": "c", "configMap": {"name": "c"}}]
    pod = make_pod("cat /work/up", spec={"initContainers": [sidecar], "volumes": volumes}, **SHARED)
    await plugin.create(pod, configMaps=[make_configmap("c", word="up")])
    assert (await plugin.wait_for(pod, "terminated"))["exitCode"] == 0
    assert await plugin.logs(pod) == "up"
    ended = await plugin.wait_for(pod, "terminated", "beside")
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")


async def test_a_deletion_may_leave_less_time_than_the_pod_says(plugin: Client) -> None:
    script = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
    pod = make_pod(script, spec={"terminationGracePeriodSeconds": 600})
    await plugin.create(pod)

    async def deaf() -> bool:
        return await plugin.logs(pod) == "deaf\n"

    await eventually(deaf, "it ignores SIGTERM")
    pod["metadata"]["deletionGracePeriodSeconds"] = 0
    assert "being deleted" not in await plugin.delete(pod)  # the pod's own time would be a minute
    assert await plugin.status(pod) == []


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"readinessProbe": {"grpc": {"port": 1}}}, "exec, httpGet, tcpSocket and sleep"),
        ({"livenessProbe": {"exec": {}}}, "names no command"),
        ({"livenessProbe": {"httpGet": {"port": "web"}}}, "port 'web' is neither"),
        ({"startupProbe": {"tcpSocket": {"port": 70000}}}, "port 70000 is neither"),
        ({"livenessProbe": {"exec": {"command": ["x"]}, "periodSeconds": -1}}, "periodSeconds"),
        ({"lifecycle": {"preStop": {}}}, "lifecycle: this site knows"),
        ({"securityContext": {"privileged": True}}, "remove securityContext.privileged"),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(A)"}]},
            "use subPath",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused(plugin: Client, part: Json, words: str) -> None:
    code, text = await plugin.try_create(make_pod(**part))
    assert (code, words in text) == (400, True), text
