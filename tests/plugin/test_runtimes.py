"""Command lines of container engines, and a real container with podman."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from farlab_real.plugin_pods import (
    Client,
    Json,
    command_lines,
    make_configmap,
    make_pod,
    make_secret,
    processes_with,
    running,
    settings,
)
from farlab_real.podman import IMAGE, Podman
from farlab_sites.plugin.config import RuntimeCommands
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.plan import choose_runtime
from farlab_sites.plugin.podspec import parse_pod
from farlab_sites.plugin.runtimes import Launch, Wanted, launch
from farlab_sites.plugin.volumes import Bind, rewriter


def wanted(**more: object) -> Wanted:
    """Return a container that uses everything."""
    values: Json = {
        "name": "main",
        "pod_uid": "uid",
        "image": "registry/image:1",
        "command": ("run",),
        "args": ("a", "--b"),
        "cwd": "/work",
        "env": {"TOKEN": "hush", "PATH": "/opt/bin", "HOME": "/home/jovyan"},
        "folder": "/jobs/uid",
        "gpus": 1,
        "binds": (Bind("v", "/jobs/uid/volumes/v", "/v", True), Bind("e", "/jobs/e", "/e", False)),
        "user": "1000:100",
        "may_escalate": False,
    }
    return Wanted(**{**values, **more})


def words(made: Launch) -> list[str]:
    """Return the whole command line."""
    return [*made.launcher, *made.argv]


def test_apptainer() -> None:
    made = launch("apptainer", wanted(), RuntimeCommands())
    assert words(made) == [
        "apptainer", "exec", "--cleanenv", "--nv",
        "--bind", "/jobs/uid/volumes/v:/v:ro", "--bind", "/jobs/e:/e:rw",
        "--pwd", "/work", "docker://registry/image:1", "run", "a", "--b",
    ]  # fmt: skip
    assert made.env == {"APPTAINERENV_TOKEN": "hush", "APPTAINERENV_PATH": "/opt/bin"}
    assert made.env_prefix == "APPTAINERENV_"


def test_apptainer_as_sites_call_it() -> None:
    commands = RuntimeCommands(apptainer=("/opt/bin/singularity", "--quiet"))
    made = launch("apptainer", wanted(command=(), gpus=0, image="/images/a.sif"), commands)
    assert words(made)[:4] == ["/opt/bin/singularity", "--quiet", "run", "--cleanenv"]
    assert "--nv" not in words(made)
    assert made.argv == ("/images/a.sif", "a", "--b")
    assert made.env_prefix == "SINGULARITYENV_"


@pytest.mark.parametrize("image", ["oras://r/i:1", "docker://i", "library://i", "/a.sif"])
def test_apptainer_takes_what_has_a_scheme_as_it_is(image: str) -> None:
    assert image in words(launch("apptainer", wanted(image=image), RuntimeCommands()))


def test_podman() -> None:
    made = launch("podman", wanted(), RuntimeCommands(podman=("podman", "--runtime", "runc")))
    line = " ".join(words(made))
    assert line.startswith("podman --runtime runc run --rm --replace --name=farlab-uid-main ")
    for part in (
        "--network=host", "--ulimit {nofile} --ulimit {nproc}", "--env TOKEN", "--env FARLAB_NODE",
        "--env CUDA_VISIBLE_DEVICES", "--env-file /jobs/uid/env/main.list", "--workdir /work",
        "--volume /jobs/uid/volumes/v:/v:ro", "--volume /jobs/e:/e:rw", "--user 1000:100",
        "--security-opt no-new-privileges", '--entrypoint ["run"]',
    ):  # fmt: skip
        assert part in line
    assert made.argv == ("--", "registry/image:1", "a", "--b")
    # What would change podman itself goes through a file.
    assert made.env == {"TOKEN": "hush"}
    assert made.files == {"main.list": b"PATH=/opt/bin\nHOME=/home/jovyan\n"}


@pytest.mark.parametrize("runtime", ["podman", "apptainer"])
def test_no_value_is_ever_an_argument(runtime: str) -> None:
    made = launch(runtime, wanted(), RuntimeCommands())  # type: ignore[arg-type]
    assert "hush" not in " ".join(words(made))
    assert "hush" not in json.dumps(made.spec("main"))


@pytest.mark.parametrize("image", ["", "--privileged", "-v"])
@pytest.mark.parametrize("runtime", ["podman", "apptainer"])
def test_an_image_is_no_option(runtime: str, image: str) -> None:
    with pytest.raises(Refusal, match="name an image"):
        launch(runtime, wanted(image=image), RuntimeCommands())  # type: ignore[arg-type]


def test_without_a_runtime_an_image_is_a_folder() -> None:
    made = launch("none", wanted(image="/opt/env"), RuntimeCommands())
    assert (words(made), made.path, made.cwd) == (["run", "a", "--b"], "/opt/env/bin", "/work")


def test_a_pod_chooses_only_what_the_site_allows(home: Path) -> None:
    config = settings(home, runtime="apptainer", runtimes=["podman"])
    for wish, runtime in ((None, "apptainer"), ("apptainer", "apptainer"), ("podman", "podman")):
        annotations = {"farlab/runtime": wish} if wish else {}
        pod = parse_pod(make_pod(annotations=annotations))
        assert choose_runtime(pod, config) == runtime
    with pytest.raises(Refusal, match="'none' is not allowed at this site"):
        choose_runtime(parse_pod(make_pod(annotations={"farlab/runtime": "none"})), config)


def test_mount_paths_in_texts_become_real_paths() -> None:
    place = rewriter([Bind("a", "/j/a", "/etc/app", True), Bind("b", "/j/b", "/etc/app/in", True)])
    for text, expected in {
        "/etc/app": "/j/a",
        "/etc/app/": "/j/a/",
        "/etc/app/in/x": "/j/b/x",
        "--f=/etc/app/k:/etc/app/in": "--f=/j/a/k:/j/b",
        "/etc/apple /etc/app.d /x/etc/app": "/etc/apple /etc/app.d /x/etc/app",
        "cat '/etc/app'; ls \"/etc/app\"": "cat '/j/a'; ls \"/j/a\"",
    }.items():
        assert place(text) == expected


# A real container


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """How podman is called here, with an own store that holds one small image made offline."""
    missing = [name for name in ("podman", "runc", "busybox") if shutil.which(name) is None]
    assert not missing, "as root: apt-get install podman runc busybox-static"
    with Podman(tmp_path_factory.mktemp("podman")) as own:
        yield own.command


async def test_a_container_with_everything(home: Path, podman: list[str]) -> None:
    script = """
        cat /s/k; echo; cat /e/x 2>/dev/null; echo hello > /e/x; cat /e/x
        echo "$TOKEN"; echo "$PATH|$HOME|$FARLAB_JOB_ID|$CUDA_VISIBLE_DEVICES"; pwd; id -u
        (echo x > /s/k) 2>/dev/null || echo read-only; exit 7
    """
    volumes = [{"name": "s", "secret": {"secretName": "s"}}, {"name": "e", "emptyDir": {}}]
    pod = make_pod(
        script,
        image=IMAGE,
        workingDir="/tmp",
        env=[
            {"name": "TOKEN", "value": "first line\nsecond 'line'"},
            {"name": "PATH", "value": "/bin"},
            {"name": "HOME", "value": "/tmp"},
        ],
        resources={"limits": {"nvidia.com/gpu": "1"}},
        volumeMounts=[{"name": "s", "mountPath": "/s"}, {"name": "e", "mountPath": "/e"}],
        securityContext={"runAsUser": 1234, "allowPrivilegeEscalation": False},
        spec={"volumes": volumes},
    )
    local = {"local": {"cpus": 4, "gpus": 1}}
    async with running(home, driver=local, runtime="podman", commands={"podman": podman}) as plugin:
        job_id = await plugin.create(pod, secrets=[make_secret("s", k="content")])
        ended = await plugin.wait_for(pod, "terminated")
        lines = (await plugin.logs(pod)).splitlines()
        assert lines[:4] == ["content", "hello", "first line", "second 'line'"], lines
        assert lines[4:7] == [f"/bin|/tmp|{job_id}|0", "/tmp", "1234"]
        assert "read-only" in lines
        assert ended["exitCode"] == 7
        await plugin.delete(pod)


async def test_the_images_own_entrypoint(home: Path, podman: list[str]) -> None:
    async with running(home, runtime="podman", commands={"podman": podman}) as plugin:
        pod = make_pod(image=IMAGE, command=None, args=["--", "-x"])
        await plugin.create(pod)
        assert (await plugin.wait_for(pod, "terminated"))["exitCode"] == 0
        assert await plugin.logs(pod) == "from the image: -- -x\n"


async def test_an_image_that_cannot_be_had(home: Path, podman: list[str]) -> None:
    async with running(home, runtime="podman", commands={"podman": podman}) as plugin:
        pod = make_pod(image="localhost/none:1")
        await plugin.create(pod)
        assert (await plugin.wait_for(pod, "terminated"))["exitCode"] == 125
        assert "localhost/none:1" in await plugin.logs(pod)


async def test_a_container_is_deleted_while_it_runs(home: Path, podman: list[str]) -> None:
    """It ignores SIGTERM, so the engine's own processes have to be ended too."""
    async with running(home, runtime="podman", commands={"podman": podman}) as plugin:
        word = "hush-in-a-container"
        pod = make_pod(
            "trap '' TERM; echo up; while true; do sleep 1; done",
            image=IMAGE,
            env=[{"name": "TOKEN", "value": word}],
            spec={"terminationGracePeriodSeconds": 1},
        )
        await plugin.create(pod)
        await wait_for_output(plugin, pod)
        assert word not in command_lines()
        await plugin.delete(pod)
        assert processes_with(pod["metadata"]["uid"]) == []


async def test_two_containers_share_a_volume(home: Path, podman: list[str]) -> None:
    share = {"volumeMounts": [{"name": "e", "mountPath": "/e"}], "image": IMAGE}
    script = ["/bin/sh", "-c", "cat /c/d > /e/x"]
    mounts = [*share["volumeMounts"], {"name": "c", "mountPath": "/c"}]
    init = {**share, "name": "init", "command": script, "volumeMounts": mounts}
    volumes = [{"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}}]
    pod = make_pod("cat /e/x", **share, spec={"initContainers": [init], "volumes": volumes})
    async with running(home, runtime="podman", commands={"podman": podman}) as plugin:
        await plugin.create(pod, configMaps=[make_configmap("c", d="shared\n")])
        assert (await plugin.wait_for(pod, "terminated"))["exitCode"] == 0
        assert await plugin.logs(pod) == "shared\n"


async def wait_for_output(plugin: Client, pod: Json) -> None:
    """Wait until the pod has said something."""
    body = {"ContainerName": "main", "PodUID": pod["metadata"]["uid"], "Opts": {"Follow": True}}
    async with plugin.session.get(f"{plugin.base}/getLogs", data=json.dumps(body)) as response:
        assert await response.content.readany()
