"""interLink's plugin protocol, spoken by a real server in front of real processes."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import uuid
from pathlib import Path

import pytest
from farlab_real.plugin_pods import (
    Client,
    Json,
    command_lines,
    log_request,
    make_configmap,
    make_pod,
    make_secret,
    processes_with,
    running,
)


async def test_a_pod_runs_to_its_end(plugin: Client) -> None:
    pod = make_pod("echo out; echo err >&2; exit 3", image="/opt/some env")
    job_id = await plugin.create(pod)
    ended = await plugin.wait_for(pod, "terminated")
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert ended["message"] == "Ended with exit code 3."
    [answer] = await plugin.status(pod)
    assert answer["name"] == "pod"
    assert answer["namespace"] == "farlab"
    assert answer["UID"] == pod["metadata"]["uid"]
    assert answer["JID"] == job_id
    assert answer["node"]
    [container] = answer["containers"]
    assert container["image"] == "/opt/some env"
    assert container["ready"] is False
    assert await plugin.logs(pod) == "out\nerr\n"
    assert await plugin.delete(pod) == "deleted"
    assert await plugin.status(pod) == []


async def test_ping_tells_what_the_site_has(home: Path) -> None:
    async with running(home, driver={"local": {"cpus": 6, "gpus": 2}}) as plugin:
        pod = make_pod("sleep 600", resources={"limits": {"cpu": "1500m", "nvidia.com/gpu": "1"}})
        await plugin.create(pod)
        await plugin.wait_for(pod, "running")
        code, text = await plugin.call("GET", "/status", [])
    assert code == 200
    facts = json.loads(text)
    assert facts["status"] == "ok"
    assert facts["resources"]["cpu"] == "6"
    assert facts["resources"]["accelerators"] == [
        {"resourceType": "nvidia.com/gpu", "available": 2}
    ]
    [partition] = facts["partitions"]
    assert (partition["cpus_free"], partition["gpus_free"], partition["waiting"]) == (4, 1, 0)


async def test_an_unknown_pod_is_left_out(plugin: Client) -> None:
    known, unknown = make_pod("sleep 600"), make_pod()
    await plugin.create(known)
    answers = await plugin.status(unknown, known)
    assert [answer["UID"] for answer in answers] == [known["metadata"]["uid"]]
    assert await plugin.delete(unknown) == "deleted"
    code, text = await plugin.call("GET", "/getLogs", log_request(unknown))
    assert code == 404
    assert "was deleted, or never created" in text


async def test_the_same_pod_again_is_the_same_job(plugin: Client) -> None:
    pod = make_pod("echo once; sleep 600")
    ids = await asyncio.gather(*(plugin.create(pod) for _ in range(8)))
    assert len(set(ids)) == 1
    await plugin.wait_for(pod, "running")
    assert await plugin.create(pod) == ids[0]
    uid = pod["metadata"]["uid"]
    runners = [
        pid for pid in processes_with(uid) if "sleep" in Path(f"/proc/{pid}/comm").read_text()
    ]
    assert len(runners) == 1
    await plugin.delete(pod)
    assert processes_with(uid) == []


async def test_environment_command_and_arguments(plugin: Client) -> None:
    pod = make_pod(
        command=["/bin/sh", "-c"],
        args=["""echo "$A|$B|$C|$EMPTY|$D|$E|$F|$G|$H|$PWD"'|$(NOT_SET)|$$(A)|$(A)'"""],
        workingDir="/usr",
        env=[
            {"name": "A", "value": "a"},
            {"name": "B", "value": "$(A)b$(C)"},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "EMPTY"},
            {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "d"}}},
            {"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['x/y']"}}},
            {
                "name": "G",
                "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            },
        ],
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "c"}}],
        resources={"limits": {"memory": "2Gi"}},
        annotations={"x/y": "z"},
    )
    pod["spec"]["containers"][0]["env"].append({"name": "H", "value": "$(P_d)!"})
    await plugin.create(
        pod, secrets=[make_secret("s", k="täst")], configMaps=[make_configmap("c", d="dd")]
    )
    await plugin.wait_for(pod, "terminated")
    expected = "a|ab$(C)|täst||dd|farlab|z|2048|dd!|/usr|$(NOT_SET)|$(A)|a"
    assert (await plugin.logs(pod)).strip() == expected


async def test_a_process_has_what_a_login_has(plugin: Client) -> None:
    pod = make_pod('echo "$HOME|$USER|$PATH|$FARLAB_JOB_ID|$FARLAB_NODE|$FARLAB_DEADLINE"')
    pod["spec"]["containers"][0]["image"] = "/opt/farlab"
    pod["spec"]["activeDeadlineSeconds"] = 3600
    job_id = await plugin.create(pod)
    await plugin.wait_for(pod, "terminated")
    home, user, path, found, node, deadline = (await plugin.logs(pod)).strip().split("|")
    assert home.startswith("/")
    assert user
    assert path.startswith("/opt/farlab/bin:")
    assert found == job_id
    assert node
    assert int(deadline) > 1_700_000_000


async def test_volumes_are_files_in_the_jobs_folder(plugin: Client) -> None:
    mounts = [
        {"name": "secret", "mountPath": "/etc/app"},
        {"name": "config", "mountPath": "/etc/app/config"},
        {"name": "empty", "mountPath": "/scratch"},
        {"name": "both", "mountPath": "/both"},
        {"name": "ready", "mountPath": "/ready"},
        {"name": "down", "mountPath": "/down"},
        {"name": "claim", "mountPath": "/data"},
    ]
    sources = [{"secret": {"name": "s"}}, {"configMap": {"name": "c"}}]
    volumes = [
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 256}},
        {"name": "config", "configMap": {"name": "c", "items": [{"key": "d", "path": "in/d"}]}},
        {"name": "empty", "emptyDir": {}},
        {"name": "both", "projected": {"sources": sources}},
        {"name": "ready", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        {"name": "down", "downwardAPI": {"items": [
            {"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}}]}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "home"}},
        {"name": "unused", "secret": {"secretName": "not-sent"}},
    ]  # fmt: skip
    script = """
        cat /etc/app/k /etc/app/config/in/d /both/k /both/d /ready/token /down/uid; echo
        stat -c %a /etc/app/k; echo x > /scratch/x && cat "$FARLAB_VOLUME_EMPTY/x"
        echo "$WHERE" /etc/apple /data/x
    """
    env = [{"name": "WHERE", "value": "a:/scratch/y:/etc/app/k"}]
    pod = make_pod(script, volumeMounts=mounts, env=env, spec={"volumes": volumes})
    await plugin.create(
        pod,
        secrets=[make_secret("s", k="1")],
        configMaps=[make_configmap("c", d="2")],
        projectedvolumemaps=[make_configmap("ready", token="3")],
    )
    ended = await plugin.wait_for(pod, "terminated")
    lines = (await plugin.logs(pod)).splitlines()
    assert ended["exitCode"] == 0, lines
    uid = pod["metadata"]["uid"]
    assert lines[0] == f"12123{uid}"
    assert lines[1:3] == ["400", "x"]
    where, *others = lines[3].split()
    assert where.startswith("a:/")
    assert where.endswith(f"/jobs/{uid}/volumes/secret/k")
    assert others == ["/etc/apple", "/data/x"]


@pytest.mark.parametrize(
    ("change", "carried", "words"),
    [
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, {},
         "the Secret 's', which was not sent"),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
         {"secrets": [make_secret("s", other="x")]}, "the Secret 's' has no key 'k'"),
        ({"envFrom": [{"configMapRef": {"name": "c"}}]}, {}, "the ConfigMap 'c'"),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}, {},
         "fieldRef 'spec.x' is not known here"),
        ({"env": [{"name": "A=B", "value": "x"}]}, {}, "pod.spec.containers.0.env.0.name"),
        ({"env": [{"name": "A", "value": "x\0y"}]}, {}, "NUL"),
        ({"image": "python:3.12"}, {}, "this site runs no images"),
        ({"image": "/opt/../etc"}, {}, "this site runs no images"),
        ({"command": [], "args": []}, {}, "name a command or args"),
        ({"spec": {"containers": [{"name": "../x", "command": ["x"]}]}}, {}, "not a DNS label"),
        ({"spec": {"containers": []}}, {}, "pod.spec.containers"),
        ({"spec": {"initContainers": [{"name": "main", "command": ["x"]}]}}, {},
         "two containers are named 'main'"),
        ({"resources": {"limits": {"memory": "lots"}}}, {}, "'lots' is not a quantity"),
        ({"annotations": {"farlab/runtime": "podman"}}, {}, "is not allowed at this site"),
        ({"annotations": {"slurm-job.vk.io/flags": "--comment='x"}}, {}, "No closing quotation"),
        ({"annotations": {"farlab/account": "root"}}, {}, "root may not be used"),
        ({"annotations": {"farlab/account": "a;b"}}, {}, "not the name of a local account"),
        ({"uid": "../../etc"}, {}, "pod.metadata.uid: not a UUID"),
        ({"uid": "{123e4567-e89b-12d3-a456-426614174000}"}, {}, "not a UUID"),
        ({"resources": {"limits": {"cpu": "65"}}}, {}, "this machine has 64 for jobs"),
    ],
)  # fmt: skip
async def test_a_pod_that_cannot_run_is_refused_with_the_reason(
    plugin: Client, home: Path, change: Json, carried: dict[str, list[Json]], words: str
) -> None:
    pod = make_pod(**change)
    status, text = await plugin.try_create(pod, **carried)
    assert status in (400, 403, 422)
    assert words in text
    assert list((home / "spool" / "jobs").iterdir()) == []
    assert list((home / "spool" / "requests").iterdir()) == []


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ""])
async def test_no_volume_climbs_out_of_the_folder(plugin: Client, home: Path, path: str) -> None:
    item = {"key": "k", "path": path}
    volume = {"name": "v", "secret": {"secretName": "s", "items": [item]}}
    mount = {"name": "v", "mountPath": "/v"}
    pod = make_pod(volumeMounts=[mount], spec={"volumes": [volume]})
    status, text = await plugin.try_create(pod, secrets=[make_secret("s", k="x")])
    assert (status, "is not a path inside the volume" in text) == (400, True)
    assert not (home / "spool" / "x").exists()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/create", b"{"),
        ("POST", "/create", []),
        ("POST", "/create", {}),
        ("POST", "/create", {"pod": {"metadata": {}}}),
        ("POST", "/create", {"pod": make_pod(), "container": ["x"]}),
        ("POST", "/create", b"[" * 100_000),
        ("GET", "/status", {}),
        ("GET", "/status", b""),
        ("GET", "/status", [1]),
        ("GET", "/status", [{"metadata": {"uid": "x/../y"}}]),
        ("POST", "/delete", {"metadata": {"uid": "../.."}}),
        ("POST", "/delete", b"null"),
        ("GET", "/getLogs", {"PodUID": "x", "ContainerName": "main"}),
        ("GET", "/getLogs", {"PodUID": str(uuid.uuid4()), "ContainerName": "../main"}),
        ("GET", "/getLogs", []),
    ],
)
async def test_malformed_requests_are_answered_400(
    plugin: Client, method: str, path: str, body: object
) -> None:
    status, text = await plugin.call(method, path, body)
    assert status == 400, text
    assert "Traceback" not in text


async def test_a_body_that_is_too_large_is_refused(plugin: Client) -> None:
    status, _ = await plugin.call("POST", "/create", b" " * (33 << 20))
    assert status == 413


async def test_secrets_are_seen_nowhere_but_in_the_private_files(
    plugin: Client, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    word = f"hush-{uuid.uuid4()}"
    ref = {"secretKeyRef": {"name": "s", "key": "k"}}
    volume = {"name": "v", "secret": {"secretName": "s"}}
    pod = make_pod(
        "sleep 600",
        env=[{"name": "TOKEN", "valueFrom": ref}, {"name": "PLAIN", "value": word}],
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
        spec={"volumes": [volume]},
    )
    await plugin.create(pod, secrets=[make_secret("s", k=word)])
    await plugin.wait_for(pod, "running")
    assert word not in command_lines()
    assert word not in caplog.text
    coded = base64.b64encode(word.encode())
    holders = {
        path.relative_to(home / "spool").parts[0]
        for path in home.rglob("*")
        if path.is_file() and (word.encode() in path.read_bytes() or coded in path.read_bytes())
    }
    assert holders == {"jobs"}
    job = home / "spool" / "jobs" / pod["metadata"]["uid"]
    assert job.stat().st_mode & 0o777 == 0o700
    assert (job / "env" / "main.json").stat().st_mode & 0o777 == 0o600
    for name in ("pod.json", "job.log", "status.json", "runner.pyz"):
        assert word.encode() not in (job / name).read_bytes()
    await plugin.delete(pod)
    left = [
        path for path in home.rglob("*") if path.is_file() and word.encode() in path.read_bytes()
    ]
    assert left == []


async def test_calls_need_the_token_that_is_in_the_file_now(home: Path) -> None:
    token = home / "token"
    token.write_text("first\n")
    async with running(home, token_file=str(token), token="second") as plugin:
        for method, path in (
            ("POST", "/create"), ("POST", "/delete"), ("GET", "/status"), ("GET", "/getLogs"),
            ("GET", "/anything"),
        ):  # fmt: skip
            status, _ = await plugin.call(method, path, [])
            assert status == 401
        token.write_text("second\n")
        assert (await plugin.call("GET", "/status", []))[0] == 200
        token.write_text("")
        status, text = await plugin.call("GET", "/status", [])
        assert (status, "token file" in text) == (503, True)


async def test_it_listens_on_loopback_too(home: Path) -> None:
    async with running(home, listen="127.0.0.1:0") as plugin:
        assert plugin.base.startswith("http://127.0.0.1:")
        assert (await plugin.call("GET", "/status", []))[0] == 200


async def test_a_socket_that_a_dead_plugin_left_is_taken_over(home: Path) -> None:
    async with running(home):
        assert (home / "plugin.sock").stat().st_mode & 0o777 == 0o600
    assert not (home / "plugin.sock").exists()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home / "plugin.sock"))
    async with running(home) as plugin:
        assert (await plugin.call("GET", "/status", []))[0] == 200
