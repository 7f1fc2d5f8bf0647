"""Command lines for a container: none (a plain process), podman, apptainer. Nothing but functions.

No value of a variable is ever an argument: a container engine takes values from its own environment
(podman `--env NAME`, apptainer `APPTAINERENV_NAME`), which only the account itself can read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from farlab_sites.plugin.config import Runtime, RuntimeCommands
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.volumes import Bind

NODE_FACTS = ("FARLAB_POD_UID", "FARLAB_NODE", "FARLAB_JOB_ID", "FARLAB_DEADLINE")
FORWARD = (
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "NVIDIA_VISIBLE_DEVICES",
    "SLURM_JOB_ID",
)
"""Variables of the batch system that a container must see."""

# Variables that would change podman itself: these go through a private file instead.
_PODMANS_OWN = {"PATH", "HOME", "USER", "TMPDIR", "SHELL", "TZ", "TERM"}
_PODMANS_PREFIXES = ("LD_", "XDG_", "CONTAINER", "PODMAN", "DOCKER", "STORAGE_", "REGISTRY_", "GO")


@dataclass(frozen=True)
class Wanted:
    """A container after everything in its manifest was resolved."""

    name: str
    pod_uid: str
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    cwd: str | None
    env: dict[str, str]
    folder: str
    gpus: int = 0
    binds: tuple[Bind, ...] = ()
    user: str | None = None
    may_escalate: bool = True


@dataclass(frozen=True)
class Launch:
    """What the pod runner starts: `launcher` and `argv`, with `env` added to its own."""

    argv: tuple[str, ...]
    env: dict[str, str]
    launcher: tuple[str, ...] = ()
    cwd: str | None = None
    path: str | None = None  # put first in PATH
    env_prefix: str = ""  # the name under which the engine takes a variable for the container
    cleanup: tuple[str, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)  # private files, by name

    def spec(self, name: str) -> dict[str, Any]:
        """Return the container's entry in pod.json: no value of a variable is in it."""
        return {
            "name": name,
            "launcher": list(self.launcher),
            "argv": list(self.argv),
            "cwd": self.cwd,
            "path": self.path,
            "env_prefix": self.env_prefix,
            "cleanup": list(self.cleanup),
        }


def launch(runtime: Runtime, wanted: Wanted, commands: RuntimeCommands) -> Launch:
    """Return how a container is started.

    Raises:
        Refusal: 400, the image does not fit the runtime.

    """
    if runtime == "podman":
        return podman(wanted, commands.podman)
    if runtime == "apptainer":
        return apptainer(wanted, commands.apptainer)
    return plain(wanted)


def run_beside(runtime: Runtime, wanted: Wanted, commands: RuntimeCommands) -> dict[str, Any]:
    """Return the action, as in pod.json, that runs a command in a container that runs already.

    apptainer can't enter one: the command gets a container like it, with the same files.
    """
    if runtime == "podman":
        return {"exec": [*commands.podman, "exec", _podmans_name(wanted), *wanted.command]}
    made = launch(runtime, wanted, commands)
    return {"exec": [*made.launcher, *made.argv]}


def arrival(runtime: Runtime, wanted: Wanted, commands: RuntimeCommands) -> list[str]:
    """Return what goes well once the container runs; empty where that is at once."""
    if runtime != "podman":
        return []
    watch = ("wait", "--condition=running", "--interval=250ms")
    return [*commands.podman, *watch, _podmans_name(wanted)]


def plain(wanted: Wanted) -> Launch:
    """Start the command itself; an image is the folder of an environment, whose bin/ comes first.

    Raises:
        Refusal: 400, no command, or an image that only a container engine could use.

    """
    argv = (*wanted.command, *wanted.args)
    if not argv:
        raise Refusal(
            400,
            f"container {wanted.name}: this site runs no images, so name a command or args",
        )
    image = PurePosixPath(wanted.image)
    if wanted.image and (not image.is_absolute() or ".." in image.parts or ":" in wanted.image):
        raise Refusal(
            400,
            f"container {wanted.name}: image {wanted.image!r}: this site runs no images; name the"
            " absolute path of an environment on it, such as /opt/farlab, or choose a runtime",
        )
    path = str(image / "bin") if wanted.image else None
    return Launch(argv, wanted.env, cwd=wanted.cwd, path=path)


def podman(wanted: Wanted, command: Sequence[str]) -> Launch:
    """Start a container with podman, in the host's network and with the limits of the job."""
    name = _podmans_name(wanted)
    own = {name: value for name, value in wanted.env.items() if _changes_podman(name)}
    env = {name: value for name, value in wanted.env.items() if name not in own}
    env_file = f"{wanted.folder}/env/{wanted.name}.list"
    launcher = [*command, "run", "--rm", "--replace", f"--name={name}"]
    launcher += ["--network=host", "--log-driver=none", "--pull=missing"]
    launcher += ["--ulimit", "{nofile}", "--ulimit", "{nproc}", "--env-file", env_file]
    launcher += _pairs("--env", [*env, *NODE_FACTS, *FORWARD])
    launcher += _pairs("--volume", [_mount(bind) for bind in wanted.binds])
    if wanted.cwd:
        launcher += ["--workdir", wanted.cwd]
    if wanted.user:
        launcher += ["--user", wanted.user]
    if not wanted.may_escalate:
        launcher += ["--security-opt", "no-new-privileges"]
    if wanted.command:
        launcher += ["--entrypoint", json.dumps(wanted.command)]
    return Launch(
        argv=("--", _image(wanted), *wanted.args),
        env=env,
        launcher=tuple(launcher),
        cwd=wanted.folder,
        cleanup=(*command, "rm", "--force", "--ignore", "--time=0", name),
        files={f"{wanted.name}.list": "".join(map(_line, own.items())).encode()},
    )


def _podmans_name(wanted: Wanted) -> str:
    return f"farlab-{wanted.pod_uid}-{wanted.name}"


def _changes_podman(name: str) -> bool:
    return name in _PODMANS_OWN or name.startswith(_PODMANS_PREFIXES)


def _line(item: tuple[str, str]) -> str:
    name, value = item
    if "\n" in value:
        raise Refusal(400, f"variable {name}: podman takes no line break in this one")
    return f"{name}={value}\n"


def apptainer(wanted: Wanted, command: Sequence[str]) -> Launch:
    """Start a container with apptainer: the account's home is there, its environment is not."""
    prefix = f"{PurePosixPath(command[0]).name.upper()}ENV_"
    verb = "exec" if wanted.command else "run"
    launcher = [*command, verb, "--cleanenv"]
    if wanted.gpus:
        launcher.append("--nv")
    launcher += _pairs("--bind", [_mount(bind) for bind in wanted.binds])
    if wanted.cwd:
        launcher += ["--pwd", wanted.cwd]
    image = _image(wanted)
    if not image.startswith("/") and "://" not in image:
        image = f"docker://{image}"
    # Apptainer decides where home is; it refuses to be told by a variable.
    env = {prefix + name: value for name, value in wanted.env.items() if name != "HOME"}
    return Launch(
        argv=(image, *wanted.command, *wanted.args),
        env=env,
        launcher=tuple(launcher),
        cwd=wanted.folder,
        env_prefix=prefix,
    )


def _image(wanted: Wanted) -> str:
    if not wanted.image or wanted.image.startswith("-"):
        raise Refusal(400, f"container {wanted.name}: image {wanted.image!r}: name an image")
    return wanted.image


def _mount(bind: Bind) -> str:
    return f"{bind.source}:{bind.target}:{'ro' if bind.read_only else 'rw'}"


def _pairs(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in dict.fromkeys(values) for word in (option, value)]
