"""The service as JupyterHub runs it: a process that may be killed, with a real plugin behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import yaml
from farlab_kernels.link.link import KernelLink
from farlab_kernels.service.client import Client
from farlab_kernels.service.settings import Settings
from farlab_real.kernel_parts import connected, execute, finish, until_printed
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import free_ports
from farlab_sites.manifest import seal

PATIENCE = 90.0
FARLAB = str(Path(sys.executable).with_name("farlab"))

# Counts its starts, waits until it may go on, then serves.
PAYLOAD = """
import http.server, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with (folder / "starts").open("a") as starts:
    starts.write(os.environ["FARLAB_WORKLOAD"] + "\\n")
print("payload waits", flush=True)
while not (folder / "go").exists():
    time.sleep(0.05)
http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(sys.argv[2])), http.server.SimpleHTTPRequestHandler
).serve_forever()
"""


async def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until a condition holds; return what it returned."""
    async with asyncio.timeout(PATIENCE):
        while not (value := condition()):
            await asyncio.sleep(0.05)
        return value


class ServiceProcess:
    """`farlab hub` with a plugin; FakeHub answers for tokens."""

    def __init__(self, folder: Path, hub_api: str, session: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.session = session
        self.port, self.relay_port = free_ports(2)
        self.plugin = RunningPlugin(folder / "plugin", {"local": {"cpus": 1}})
        self.catalogue = folder / "sites.yaml"
        profile = {
            "name": "p",
            "title": "P",
            "sizes": [{"title": "s", "cpu": 1, "memory": "1Gi"}],
            "images": [{"title": "i", "image": sys.prefix}],
        }
        site = {"name": "local", "title": "Local", "kind": "cloud", "profiles": [profile]}
        site["carrier"] = self.plugin.carrier
        self.catalogue.write_text(yaml.safe_dump({"sites": [site]}))
        self.env = {
            **os.environ,
            "JUPYTERHUB_API_URL": hub_api,
            "JUPYTERHUB_API_TOKEN": "service",
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{self.port}",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/farlab/",
        }
        self.command = [
            FARLAB, "hub", f"--catalogue={self.catalogue}", f"--state-dir={folder / 'state'}",
            f"--relay-port={self.relay_port}",
        ]  # fmt: skip
        self.log = folder / "service.log"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.secret = "open sesame"

    def launch(self, *command: str, **env: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command or self.command, stdout=log, stderr=log, env={**self.env, **env}
            )
        self.processes.append(process)
        return process

    async def start(self) -> None:
        self.launch()
        await self.answering()

    async def answering(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                assert self.processes[-1].poll() is None, self.log.read_text()
                with contextlib.suppress(aiohttp.ClientError):
                    await self.call("GET", "workloads")
                    return
                await asyncio.sleep(0.05)

    async def restart_after_kill(self) -> None:
        self.processes[-1].kill()
        self.processes[-1].wait()
        await self.start()

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.port}/services/farlab/api/{path}"
        headers = {"Authorization": "Bearer spawner"}
        async with self.session.request(method, url, headers=headers, **options) as answer:
            return answer.status, await answer.json()

    async def announce(self) -> str:
        uid = str(uuid.uuid4())
        env = {
            "FARLAB_RELAY_URL": f"ws://127.0.0.1:{self.relay_port}",
            "FARLAB_WORKLOAD": uid,
            "FARLAB_SECRET": self.secret,
        }
        container = {
            "name": "notebook",
            "image": sys.prefix,
            "args": ["farlab-agent", "--port", "8888", "--",
                     "python", "-c", PAYLOAD, str(self.folder), "{port:8888}"],
            "env": [{"name": name, "value": value} for name, value in env.items()],
            "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
        }  # fmt: skip
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"jupyter-{uid[:8]}", "namespace": "default", "uid": uid},
            "spec": {"containers": [container], "restartPolicy": "Never"},
        }
        sealed, secrets = seal(pod, {"FARLAB_SECRET"})
        body = {
            "uid": uid, "owner": "alice", "groups": [], "server_name": "", "kind": "server",
            "site": "local", "profile": "p", "pod": sealed, "secrets": secrets, "configmaps": [],
            "ports": [8888], "secret_sha256": sha256(self.secret.encode()).hexdigest(),
        }  # fmt: skip
        status, workload = await self.call("POST", "workloads", json=body)
        assert status == 201, workload
        return uid

    async def state(self, uid: str, *states: str) -> Any:
        async with asyncio.timeout(PATIENCE):
            while True:
                _, workload = await self.call("GET", f"workloads/{uid}")
                if workload["state"] in states:
                    return workload
                assert workload["state"] not in ("failed", "finished"), workload
                after = workload["seq"]
                await self.call("GET", f"workloads/{uid}?after={after}&timeout=2")

    def go(self) -> None:
        (self.folder / "go").touch()

    @property
    def starts(self) -> list[str]:
        file = self.folder / "starts"
        return file.read_text().split() if file.exists() else []

    def jobs(self) -> list[psutil.Process]:
        """The processes that jobs of this folder run."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.folder) in " ".join(process.cmdline()[1:]) and PAYLOAD in " ".join(
                    process.cmdline()
                ):
                    found.append(process)
        return found

    async def cancel(self, uid: str) -> None:
        """Cancel a workload and see that nothing of it is left."""
        status, workload = await self.call("DELETE", f"workloads/{uid}")
        assert status in (200, 202)
        assert workload["state"] == "cancelled"
        await self.cleaned(uid)

    async def cleaned(self, uid: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while not (await self.call("GET", f"workloads/{uid}"))[1]["cleaned"]:
                await asyncio.sleep(0.1)
        await eventually(lambda: self.jobs() == [])

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.plugin.end()
        for process in self.jobs():
            process.kill()


@pytest.fixture
async def hub(place: Any) -> AsyncIterator[ServiceProcess]:
    """Return a service that is not yet started, beside a plugin that is."""
    service = ServiceProcess(place.folder, place.hub_api, place.session)
    try:
        await asyncio.to_thread(service.plugin.start)
        yield service
    finally:
        service.end()


async def get(hub: ServiceProcess, uid: str) -> int:
    _, workload = await hub.call("GET", f"workloads/{uid}")
    async with hub.session.get(workload["address"]) as answer:
        return answer.status


async def test_killed_in_every_phase_it_comes_back_with_the_workload(hub):
    await hub.start()
    await asyncio.to_thread(hub.plugin.kill)
    uid = await hub.announce()
    requested = await hub.state(uid, "requested")
    await hub.restart_after_kill()  # requested
    await asyncio.to_thread(hub.plugin.restart)
    await hub.state(uid, "submitted", "queued", "starting")
    await hub.restart_after_kill()  # submitted
    await hub.state(uid, "starting")
    await eventually(lambda: hub.starts)
    await hub.restart_after_kill()  # starting
    hub.go()
    await hub.state(uid, "ready")
    await hub.restart_after_kill()  # ready
    ready = await hub.state(uid, "ready")
    assert ready["port"] == requested["port"]
    assert await get(hub, uid) == 200  # it waits until the agent has dialled again

    await asyncio.to_thread(hub.plugin.kill)
    cancelling = asyncio.create_task(hub.call("DELETE", f"workloads/{uid}"))
    await hub.state(uid, "cancelled")
    await hub.restart_after_kill()  # cancelled, not yet clean
    with pytest.raises(aiohttp.ClientError):
        await cancelling
    await asyncio.to_thread(hub.plugin.restart)
    await hub.cleaned(uid)
    assert hub.starts == [uid]
    seen = [event["state"] for event in (await hub.call("GET", f"workloads/{uid}"))[1]["events"]]
    assert seen[0] == "requested"
    assert seen[-1] == "cancelled"


async def test_killed_while_a_job_waits_in_the_queue(hub):
    hub.go()
    await hub.start()
    first = await hub.announce()
    await hub.state(first, "ready")
    second = await hub.announce()  # the site has one CPU
    queued = await hub.state(second, "queued")
    assert queued["reason"] or queued["message"]
    await hub.restart_after_kill()
    assert (await hub.call("GET", f"workloads/{second}"))[1]["state"] == "queued"
    await hub.call("DELETE", f"workloads/{first}")
    await hub.state(second, "ready")
    assert await get(hub, second) == 200
    await hub.cancel(second)
    assert hub.starts == [first, second]


async def test_killed_right_after_each_announcement_nothing_starts_twice(hub):
    hub.go()
    await hub.start()
    uids = []
    for _ in range(3):
        uids.append(await hub.announce())
        await hub.restart_after_kill()
    for uid in uids:
        await hub.state(uid, "ready", "queued")
        await hub.cancel(uid) if uid == uids[-1] else await hub.call("DELETE", f"workloads/{uid}")
    assert len(hub.starts) == len(set(hub.starts))


async def test_killed_during_a_cell_every_line_arrives(hub):
    await hub.start()
    url = f"http://127.0.0.1:{hub.port}/services/farlab/api/"
    async with Client(Settings(url, "alice")) as alice:
        uid = (await alice.create("local")).uid
        async with asyncio.timeout(PATIENCE):
            async for event in alice.events(uid):
                if event.state == "ready":
                    break
        kernel = await alice.get(uid)
        link = KernelLink(lambda port: alice.open_stream(uid, port), kernel.key)
        await asyncio.wait_for(link.start(), PATIENCE)
        async with connected(link) as client:
            code = "import time\nfor n in range(300): print(n, flush=True); time.sleep(0.01)"
            cell = client.execute(code)
            await until_printed(client, "100")
            await hub.restart_after_kill()
            result = await finish(client, cell)
            assert result.status == "ok"
            assert result.text.split()[-1] == "299"
            again = await execute(client, "print(n + 1)")  # the same kernel as before
            assert again.text == "300\n"
        await link.close()
    await hub.cancel(uid)


async def test_a_job_that_dies_is_explained_with_its_log(hub):
    await hub.start()
    uid = await hub.announce()
    await hub.state(uid, "starting")
    await eventually(lambda: hub.starts)
    for process in hub.jobs():
        if process.cmdline()[1] == "-c":  # the payload, not its agent
            process.kill()
    failed = await hub.call("GET", f"workloads/{uid}?after=0&timeout=0")
    async with asyncio.timeout(PATIENCE):
        while failed[1]["state"] != "failed":
            after = failed[1]["seq"]
            failed = await hub.call("GET", f"workloads/{uid}?after={after}&timeout=5")
    assert failed[1]["exit_code"] == 137
    assert "payload waits" in failed[1]["log_tail"]
    await hub.cleaned(uid)


async def test_it_ends_cleanly_when_asked_to(hub):
    await hub.start()
    hub.go()
    uid = await hub.announce()
    await hub.state(uid, "ready")
    polling = asyncio.create_task(hub.call("GET", f"workloads/{uid}?after=99&timeout=60"))
    await asyncio.sleep(0)
    hub.processes[-1].send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(hub.processes[-1].wait, 60) == 0
    with contextlib.suppress(aiohttp.ClientError):
        await polling
    assert "Traceback" not in hub.log.read_text()
    assert hub.secret not in hub.log.read_text()
    assert len(hub.jobs()) > 0  # the job goes on
    await hub.start()
    await hub.state(uid, "ready")
    await hub.cancel(uid)


async def test_it_ends_with_the_hub_that_started_it(hub):
    parent = hub.launch(
        sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *hub.command
    )
    await hub.answering()
    (service,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    await eventually(lambda: not service.is_running() or service.status() == "zombie")
    assert "is gone" in hub.log.read_text()


async def test_two_services_do_not_work_in_one_folder(hub):
    await hub.start()
    first = hub.processes[-1]
    second = hub.launch()
    await hub.answering()  # the first one's API
    first.terminate()
    first.wait()
    await hub.answering()
    assert second.poll() is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"catalogue": "sites: []"}, "sites.yaml"),
        ({"env": {"JUPYTERHUB_SERVICE_URL": ""}}, "call farlab_spawner.configure"),
        ({"env": {"JUPYTERHUB_SERVICE_URL": "https://x"}}, "plain HTTP"),
        ({"relay": True}, "the relay cannot listen at 127.0.0.1"),
        ({"api": True}, "the API cannot listen at 127.0.0.1"),
    ],
)
async def test_what_keeps_it_from_starting_is_said(hub, change, words):
    if "catalogue" in change:
        hub.catalogue.write_text(change["catalogue"])
    port = {"relay": hub.relay_port, "api": hub.port}.get(next(iter(change)))
    blocker = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", port or 0)
    async with blocker:
        process = hub.launch(**change.get("env", {}))
        assert await asyncio.to_thread(process.wait, 90) == 1
    log = hub.log.read_text()
    assert words in log
    assert "Traceback" not in log
