"""Pods for a plugin's tests, and a client that speaks its protocol as interLink does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from farlab_sites.plugin.accounts import AccountPolicy
from farlab_sites.plugin.config import Settings, parse
from farlab_sites.plugin.driver import Driver
from farlab_sites.plugin.main import make_driver
from farlab_sites.plugin.pods import Pods
from farlab_sites.plugin.server import application, close, listen

WAIT = 60.0  # seconds; long, for a slow machine
Json = dict[str, Any]


def make_pod(script: str = "true", **more: Any) -> Json:
    """Return a pod with one container `main` that runs a shell script.

    `more` are further keys of the container; `spec`, `annotations` and `uid` are the pod's.
    """
    spec = more.pop("spec", {})
    metadata = {
        "name": more.pop("name", "pod"),
        "namespace": "farlab",
        "uid": more.pop("uid", str(uuid.uuid4())),
        "annotations": more.pop("annotations", {}),
    }
    container = {"name": "main", "command": ["/bin/sh", "-c", script], **more}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 5, **spec},
    }


def make_secret(name: str, **values: str) -> Json:
    """Return a v1.Secret."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"metadata": {"name": name}, "data": data}


def make_configmap(name: str, **values: str) -> Json:
    """Return a v1.ConfigMap."""
    return {"metadata": {"name": name}, "data": values}


class Client:
    """Calls a plugin at its socket or address."""

    def __init__(self, address: str, token: str | None = None) -> None:
        unix = address.startswith("unix://")
        connector = aiohttp.UnixConnector(address.removeprefix("unix://")) if unix else None
        headers = {"Authorization": f"Bearer {token}"} if token else None
        timeout = aiohttp.ClientTimeout(total=WAIT * 2)
        self.session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout)
        self.base = "http://plugin" if unix else address

    async def call(self, method: str, path: str, body: object) -> tuple[int, str]:
        """Return the status and the text of an answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.request(method, self.base + path, data=data) as response:
            return response.status, (await response.read()).decode(errors="replace")

    async def create(self, pod: Json, **carried: list[Json]) -> str:
        """Create a pod and return its job's id; fail when it is refused."""
        status, text = await self.try_create(pod, **carried)
        assert status == 200, text
        answer = json.loads(text)
        assert answer["PodUID"] == pod["metadata"]["uid"]
        return str(answer["PodJID"])

    async def try_create(self, pod: Json, **carried: list[Json]) -> tuple[int, str]:
        """Create a pod that may be refused."""
        body = {"pod": pod, "container": [{"name": "main", **carried}]}
        return await self.call("POST", "/create", body)

    async def status(self, *pods: Json) -> list[Json]:
        """Return the answer to /status."""
        code, text = await self.call("GET", "/status", list(pods))
        assert code == 200, text
        answer: list[Json] = json.loads(text)
        return answer

    async def delete(self, pod: Json) -> str:
        """Delete a pod."""
        code, text = await self.call("POST", "/delete", pod)
        assert code == 200, text
        return text

    async def logs(self, pod: Json, container: str = "main", **options: Any) -> str:
        """Return a container's log."""
        code, text = await self.call("GET", "/getLogs", log_request(pod, container, **options))
        assert code == 200, text
        return text

    async def state(self, pod: Json, container: str = "main") -> Json:
        """Return one container's state; empty when the plugin does not know the pod."""
        for found in await self.status(pod):
            for entry in (*found["initContainers"], *found["containers"]):
                if entry["name"] == container:
                    state: Json = entry["state"]
                    return state
        return {}

    async def wait_for(self, pod: Json, kind: str, container: str = "main") -> Json:
        """Wait until a container is waiting, running or terminated; return that state."""
        state: Json = {}

        async def there() -> bool:
            nonlocal state
            state = await self.state(pod, container)
            return kind in state

        await eventually(there, f"{container} {kind}")
        found: Json = state[kind]
        return found


def log_request(pod: Json, container: str = "main", **options: Any) -> Json:
    """Return the body of /getLogs."""
    metadata = pod["metadata"]
    return {
        "Namespace": metadata["namespace"],
        "PodUID": metadata["uid"],
        "PodName": metadata["name"],
        "ContainerName": container,
        "Opts": {"Tail": 0, "Bytes": 0, "SinceTime": "0001-01-01T00:00:00Z", **options},
    }


async def eventually(check: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until the check holds."""
    until = time.monotonic() + WAIT
    while not await check():
        assert time.monotonic() < until, f"not within {WAIT:.0f} s: {what}"
        await asyncio.sleep(0.05)


@contextlib.contextmanager
def plugin_folder() -> Iterator[Path]:
    """Make a folder with a short name (a socket's path is short) that accounts may pass through."""
    with tempfile.TemporaryDirectory(prefix="farlab-p-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


def settings(folder: Path, **more: Any) -> Settings:
    """Return a plugin's configuration: driver `local`, a socket, everything in `folder`."""
    return parse(configuration(folder, **more))


def configuration(folder: Path, **more: Any) -> str:
    """Return the text of a plugin.yaml."""
    content = {
        "listen": f"unix://{folder}/plugin.sock",
        "folder": str(folder / "spool"),
        "driver": {"local": {"cpus": 64}},
        "python": "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable,
    }
    return yaml.safe_dump(content | more)


@contextlib.asynccontextmanager
async def running(
    folder: Path, *, fake: Driver | None = None, token: str | None = None, **more: Any
) -> AsyncIterator[Client]:
    """Run a plugin in this process, really listening; at the end delete every pod."""
    config = settings(folder, **more)
    policy = AccountPolicy(config.accounts.allow)
    pods = Pods(config, fake or make_driver(config, policy), policy)
    await pods.start()
    runner, address = await listen(application(pods, config.token_file), config)
    client = Client(address, token)
    try:
        yield client
    finally:
        await client.session.close()
        for record in pods.all():
            await pods.delete(record.pod)
        await close(runner, config)
        await pods.stop()


def processes_with(text: str) -> list[int]:
    """Return the processes that have a text in their arguments or in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            content = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if text.encode() in content:
                found.append(int(entry.name))
    return found


def kill_all(pids: list[int]) -> None:
    """Kill processes that a test has left."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def command_lines() -> str:
    """Return the arguments of every process."""
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                lines.append((entry / "cmdline").read_bytes().decode(errors="replace"))
    return "\n".join(lines)
