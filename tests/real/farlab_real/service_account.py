"""A plugin that runs as an ordinary account and acts as others through sudo."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import farlab_kernels
import farlab_relay
import farlab_sites

from farlab_real.local_accounts import sudo_leave
from farlab_real.plugin_pods import Client, configuration, eventually
from farlab_real.processes import Process


@contextlib.asynccontextmanager
async def running_as(
    service: str, leave: Sequence[str], home: Path, **more: Any
) -> AsyncIterator[Client]:
    """Run the plugin as `service`, which may act as the accounts in `leave` and as nobody else.

    `more` are further keys of plugin.yaml.
    """
    entry = pwd.getpwnam(service)
    more = {"accounts": {"allow": [*leave]}, **more}
    (home / "plugin.yaml").write_text(configuration(home, **more))
    os.chown(home, entry.pw_uid, entry.pw_gid)
    drop = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    python, env = lend_python(drop, home)
    plugin = [python, "-m", "farlab_sites.plugin.main", "--config", f"{home}/plugin.yaml"]
    process = Process([*drop, *plugin], home / "log", env={"PATH": os.environ["PATH"], **env})
    client = Client(f"unix://{home}/plugin.sock")

    async def answers() -> bool:
        assert process.running, process.read_log()
        return accepts(home / "plugin.sock")

    with sudo_leave(service, leave):
        process.start()
        try:
            await eventually(answers, "the plugin listens")
            yield client
        finally:
            await client.session.close()
            process.stop()


def accepts(path: Path) -> bool:
    """Tell whether somebody listens at a socket: its file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(str(path))
        except OSError:
            return False
    return True


def lend_python(drop: Sequence[str], home: Path) -> tuple[str, dict[str, str]]:
    """Return a Python with the plugin in it that the account can run, and its environment.

    Where this environment lies in a folder that is closed to other accounts, its libraries are
    linked into `home`.
    """
    try:
        tried = subprocess.run(
            [*drop, sys.executable, "-c", "import farlab_sites, aiohttp"],
            check=False,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        tried = None
    if tried and tried.returncode == 0:
        return sys.executable, {}
    libraries = home / "libraries"
    shutil.copytree(sysconfig.get_path("purelib"), libraries, copy_function=link_or_copy)
    for package in (farlab_relay, farlab_sites, farlab_kernels):
        folder = Path(str(package.__file__)).parent
        shutil.copytree(folder, libraries / folder.name, copy_function=link_or_copy)
    return "/usr/bin/python3", {"PYTHONPATH": str(libraries)}


def lend_environment(drop: Sequence[str], home: Path) -> Path:
    """Return an environment that accounts can run jobs from; see `lend_python`."""
    python, variables = lend_python(drop, home)
    if not variables:
        return Path(sys.prefix)
    programs = home / "environment" / "bin"
    programs.mkdir(parents=True)
    lent = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    for name, arguments in (("python", ""), ("farlab-agent", "-m farlab_relay.agent ")):
        program = programs / name
        program.write_text(f'#!/bin/sh\n{lent} exec {python} {arguments}"$@"\n')
        program.chmod(0o755)
    return programs.parent


def link_or_copy(source: str, target: str) -> None:
    """Link a file, or copy it where the target is on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
