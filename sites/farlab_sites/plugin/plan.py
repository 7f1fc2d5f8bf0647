"""From a pod to the files of its job: what is written before the batch system hears of it."""

from __future__ import annotations

import io
import json
import py_compile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from farlab_sites.plugin import job
from farlab_sites.plugin.care import care, is_watched, restart_policy
from farlab_sites.plugin.carried import Carried
from farlab_sites.plugin.config import Runtime, Settings
from farlab_sites.plugin.environ import environment, expand
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.podspec import Container, Pod
from farlab_sites.plugin.runtimes import FORWARD, Launch, Wanted, arrival, launch, run_beside
from farlab_sites.plugin.volumes import Volume, binds, rewriter, volumes

ANNOTATION = "farlab/runtime"
RUNNER = "runner.pyz"

Archive = dict[str, tuple[bytes, int]]


@dataclass(frozen=True)
class Plan:
    """Everything of a job that depends only on the request."""

    files: Archive  # path in the job's folder -> content and mode
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Start:
    """How one container is started, and how it is looked after then."""

    name: str
    launch: Launch
    care: dict[str, Any]

    def spec(self) -> dict[str, Any]:
        """Return the container's entry in pod.json: no value of a variable is in it."""
        return {**self.launch.spec(self.name), **self.care}


@cache
def runner_archive() -> bytes:
    """Return the pod runner as one file that Python runs.

    It holds compiled modules too: a job starts in a third of the time where the node's Python is
    of the same version as this one. Another version passes over them and reads the source.
    """
    package = Path(job.__file__).parent
    name = job.__name__.replace(".", "/")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, tempfile.TemporaryDirectory() as folder:
        for path in sorted(package.glob("*.py")):
            archive.writestr(f"{name}/{path.name}", path.read_bytes())
            compiled = py_compile.compile(
                str(path),
                cfile=f"{folder}/{path.name}c",
                dfile=f"{RUNNER}/{name}/{path.name}",
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
            archive.writestr(f"{name}/{path.name}c", Path(str(compiled)).read_bytes())
        for parent in Path(name).parents[:-1]:
            archive.writestr(f"{parent}/__init__.py", b"")
        archive.writestr("__main__.py", f"import sys\nfrom {job.__name__}.__main__ import main\n"
                         "sys.exit(main(sys.argv[1:]))\n")  # fmt: skip
    return buffer.getvalue()


def runner_command(python: Path, archive: Path) -> tuple[str, ...]:
    """Return how the pod runner is called.

    Nothing in a user's home can change it (`-I`), and it looks for no installed packages (`-S`).
    """
    return (str(python), "-I", "-S", str(archive))


def choose_runtime(pod: Pod, settings: Settings) -> Runtime:
    """Return the site's runtime, or the one that the pod's annotation asks for.

    Raises:
        Refusal: 400, the site does not allow that one.

    """
    wanted = pod.annotation(ANNOTATION)
    allowed: dict[str, Runtime] = {name: name for name in (settings.runtime, *settings.runtimes)}
    if wanted is None:
        return settings.runtime
    if wanted not in allowed:
        raise Refusal(
            400,
            f"annotation {ANNOTATION}: {wanted!r} is not allowed at this site"
            f" (allowed: {', '.join(allowed)}); its operator can add it to `runtimes`",
        )
    return allowed[wanted]


def plan(pod: Pod, carried: Carried, settings: Settings, folder: Path) -> Plan:
    """Return what to write into the job's folder.

    Raises:
        Refusal: 400, the pod cannot run here as it is.

    """
    made, warnings = volumes(pod, carried)
    runtime = choose_runtime(pod, settings)
    known = {volume.name: volume for volume in made}

    def start(container: Container) -> Start:
        env = environment(pod, container, carried)
        wanted = _wanted(pod, container, env, known, folder)

        def fitted(wanted: Wanted) -> Wanted:
            return _without_mounts(wanted, folder, known) if runtime == "none" else wanted

        def beside(command: tuple[str, ...]) -> dict[str, Any]:
            return run_beside(runtime, fitted(replace(wanted, command=command, args=())), commands)

        commands = settings.commands
        started = launch(runtime, fitted(wanted), commands)
        told = care(container, beside) | {"arrival": arrival(runtime, wanted, commands)}
        return Start(container.name, started, told)

    init = [start(container) for container in pod.spec.init]
    main = [start(container) for container in pod.spec.containers]
    files: Archive = {
        RUNNER: (runner_archive(), 0o600),
        "pod.json": (_description(pod, settings, _folders(pod, made), init, main), 0o600),
    }
    for one in (*init, *main):
        files.update(_private(one.name, one.launch))
    for volume in made:
        files.update(_files(volume))
    return Plan(files, tuple(warnings))


def _description(
    pod: Pod,
    settings: Settings,
    folders: dict[str, list[str]],
    init: list[Start],
    main: list[Start],
) -> bytes:
    """Return pod.json: what the pod runner starts, without any value of a variable."""
    local = settings.driver.local is not None
    content: dict[str, Any] = {
        "uid": pod.uid,
        "walltime": pod.spec.deadline,
        "grace": pod.grace(),
        # A batch system watches memory itself; on the plugin's own machine nobody else does.
        "memory": pod.memory() if local else 0,
        "forward": list(FORWARD),
        "volumes": folders,
        "restart": restart_policy(pod),
        "init": [one.spec() for one in init],
        "containers": [one.spec() for one in main],
    }
    return json.dumps(content).encode()


def _wanted(
    pod: Pod, container: Container, env: dict[str, str], known: dict[str, Volume], folder: Path
) -> Wanted:
    security = container.security or pod.spec.security
    return Wanted(
        name=container.name,
        pod_uid=pod.uid,
        image=container.image,
        command=tuple(expand(word, env) for word in container.command),
        args=tuple(expand(word, env) for word in container.args),
        cwd=container.working_dir,
        env=env,
        folder=str(folder),
        gpus=pod.gpus(),
        binds=tuple(binds(container, known, str(folder))),
        user=_user(security.user, security.group) if security else None,
        may_escalate=not (container.security and container.security.escalation is False),
    )


def _without_mounts(wanted: Wanted, folder: Path, known: Iterable[str]) -> Wanted:
    """Name the volumes' real places instead of mounting them."""
    place = rewriter(wanted.binds)
    env = {name: place(value) for name, value in wanted.env.items()}
    return replace(
        wanted,
        command=tuple(map(place, wanted.command)),
        args=tuple(map(place, wanted.args)),
        cwd=place(wanted.cwd) if wanted.cwd else None,
        env={**env, **_volume_variables(known, folder)},
        binds=(),
    )


def _volume_variables(known: Iterable[str], folder: Path) -> Mapping[str, str]:
    """Say where each volume is, for programs that nothing can be mounted for."""
    return {
        f"FARLAB_VOLUME_{name.upper().replace('-', '_')}": str(folder / "volumes" / name)
        for name in known
    }


def _user(user: int | None, group: int | None) -> str | None:
    if user is None:
        return None
    return str(user) if group is None else f"{user}:{group}"


def _private(name: str, started: Launch) -> Archive:
    files: Archive = {f"env/{name}.json": (json.dumps(started.env).encode(), 0o600)}
    files.update({f"env/{path}": (content, 0o600) for path, content in started.files.items()})
    return files


def _files(volume: Volume) -> Archive:
    return {f"volumes/{volume.name}/{path}": made for path, made in (volume.files or {}).items()}


def _folders(pod: Pod, made: list[Volume]) -> dict[str, list[str]]:
    """Return the volumes as folders: those with files, and those that containers write into."""
    empty = [volume.name for volume in made if volume.files is None]
    parts = [
        f"{mount.name}/{mount.sub_path}"
        for container in (*pod.spec.init, *pod.spec.containers)
        for mount in container.mounts
        if mount.sub_path and mount.name in empty
    ]
    filled = [volume.name for volume in made if volume.files is not None]
    return {"filled": filled, "empty": [*empty, *parts]}


def pruned(pod: Pod, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what of a manifest is kept: nothing in it is secret."""
    metadata = pod.metadata
    return {
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": manifest["metadata"]["uid"],
            "annotations": metadata.annotations,
        },
        "spec": {
            "containers": [{"name": c.name, "image": c.image} for c in pod.spec.containers],
            "initContainers": [{"name": c.name, "image": c.image} for c in pod.spec.init],
            "watched": is_watched(pod),
        },
    }
