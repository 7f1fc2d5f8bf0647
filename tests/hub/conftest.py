"""The hub service's application on loopback, with a hub, sites and jobs that tests command."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from farlab_hub.api import rules
from farlab_hub.auth import ADMIN, SPAWN
from farlab_hub.handlers import MOST_BYTES
from farlab_hub.hub_auth import HubGatekeeper
from farlab_hub.service import HubService
from farlab_sites.carriers import CarrierError, PodStatus
from farlab_sites.catalogue import Site
from jupyterhub.services.auth import HubAuth
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

PATIENCE = 60.0  # seconds; for slow machines
PREFIX = "/services/farlab/"
ACCESS = "access:services!service=farlab"

SITES = """
sites:
  - name: vega
    title: Vega HPC
    description: Slurm in Maribor
    kind: hpc
    groups: [itw]
    carrier: {{direct: {{url: "unix://{folder}/vega.sock"}}}}
    accounts: {{file: {folder}/accounts.csv}}
    profiles: &profiles
      - name: gpu
        title: JupyterLab
        sizes: [{{title: small, cpu: 1, memory: 1Gi}}]
        images: [{{title: plain, image: /opt/plain}}]
  - name: cloud
    title: Cloud
    kind: cloud
    carrier: {{direct: {{url: "unix://{folder}/cloud.sock"}}}}
    profiles: *profiles
  - name: cluster
    title: Cluster
    kind: cloud
    carrier: {{kubernetes: {{node: vk}}}}
    accounts: {{vo: {{itw: itw001}}}}
    profiles: *profiles
"""


WAITING = PodStatus("", "", "Waiting", "Priority")


class FakeHub:
    """Answers /hub/api/user for the tokens it knows."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.broken = False
        self.tokens = {
            "spawner": {"name": "farlab-spawner", "kind": "service", "scopes": [SPAWN]},
            "alice": {"name": "alice", "kind": "user", "groups": ["itw"], "scopes": [ACCESS]},
            "bob": {"name": "bob", "kind": "user", "scopes": [ACCESS]},
            "admin": {"name": "ada", "kind": "user", "scopes": [ACCESS, ADMIN]},
            "outsider": {"name": "carol", "kind": "user", "scopes": ["self", "access:servers"]},
            "other": {"name": "other", "kind": "service", "scopes": ["custom:farlab:spawners"]},
        }

    async def user(self, request: web.Request) -> web.Response:
        token = request.headers["Authorization"].partition(" ")[2]
        self.asked[token] += 1
        if self.broken:
            return web.Response(status=503)
        if token not in self.tokens:
            return web.json_response({"status": 403, "message": "Forbidden"}, status=403)
        return web.json_response({"groups": [], "admin": False, **self.tokens[token]})


@dataclass
class FakeCarrier:
    """A site that does what the test says; it keeps jobs through restarts of the service."""

    jobs: dict[str, PodStatus] = field(default_factory=dict)
    pods: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    creates: Counter[str] = field(default_factory=Counter)
    deletes: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    trouble: dict[str, CarrierError] = field(default_factory=dict)  # by call, or "all"
    gates: dict[str, asyncio.Event] = field(default_factory=dict)  # a call waits for its gate
    text: str = ""
    facts: dict[str, Any] = field(default_factory=lambda: {"status": "ok"})
    stubborn: bool = False  # a deleted job goes on
    first: PodStatus = WAITING  # what a new job is like

    async def _call(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.gates:
            await self.gates[name].wait()
        error = self.trouble.get(name) or self.trouble.get("all")
        if error is not None:
            raise error

    async def create(self, pod: dict[str, Any], secrets: Any = (), configmaps: Any = ()) -> str:
        uid = pod["metadata"]["uid"]
        self.creates[uid] += 1
        await self._call("create")
        self.pods[uid], self.secrets[uid] = pod, secrets
        self.jobs.setdefault(uid, replace(self.first, uid=uid, job_id=f"job-{uid[:4]}"))
        return self.jobs[uid].job_id

    async def status(self, pods: Any) -> dict[str, PodStatus]:
        await self._call("status")
        asked = [pod["metadata"]["uid"] for pod in pods]
        return {uid: self.jobs[uid] for uid in asked if uid in self.jobs}

    async def delete(self, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        self.deletes[uid] += 1
        await self._call("delete")
        if not self.stubborn:
            self.jobs.pop(uid, None)

    async def logs(self, pod: dict[str, Any], *, container: str, tail: int = 0) -> str:
        await self._call("logs")
        return self.text

    async def follow(
        self, pod: dict[str, Any], *, container: str, tail: int = 0
    ) -> AsyncIterator[bytes]:
        await self._call("follow")
        for line in self.text.splitlines(keepends=True):
            yield line.encode()

    async def ping(self) -> dict[str, Any]:
        await self._call("ping")
        return self.facts

    async def close(self) -> None:
        pass

    def set(self, uid: str, **facts: Any) -> None:
        """Change what the site says of a job."""
        self.jobs[uid] = replace(self.jobs[uid], **facts)

    def run(self, uid: str, node: str = "node7") -> None:
        """Start a job on a node."""
        self.set(uid, phase="Running", reason="Running", node=node, started_at=datetime.now(UTC))


class Api:
    """A caller of the API."""

    def __init__(self, session: aiohttp.ClientSession, base: str, token: str) -> None:
        self.session = session
        self.base = base
        self.token = token

    async def call(
        self, method: str, path: str, *, token: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        token = self.token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.request(
            method, self.base + path, headers=headers, **options
        ) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()

    async def get(self, path: str) -> Any:
        status, content = await self.call("GET", path)
        assert status == 200, content
        return content

    async def until(self, uid: str, done: Callable[[Any], bool]) -> Any:
        """Long-poll a workload until it is as wished; return it with all its events."""
        async with asyncio.timeout(PATIENCE):
            workload = await self.get(f"workloads/{uid}")
            while not done(workload):
                after = workload["seq"]
                await self.get(f"workloads/{uid}?after={after}&timeout=1")
                workload = await self.get(f"workloads/{uid}")
            return workload

    async def state(self, uid: str, *states: str) -> Any:
        return await self.until(uid, lambda w: w["state"] in states)


@dataclass
class Running:
    """A running service application and what surrounds it."""

    service: HubService
    api: Api
    relay_url: str
    server: HTTPServer


class Workplace:
    """A folder with a catalogue and a state; services can be started in it again and again."""

    def __init__(self, folder: Path, hub: FakeHub, hub_api: str) -> None:
        self.folder = folder
        self.hub = hub
        self.hub_api = hub_api
        self.sites = {name: FakeCarrier() for name in ("vega", "cloud", "cluster")}
        self.secret = "open sesame, said the agent"
        self.carrier_for: Callable[[Site], Any] = lambda site: self.sites[site.name]
        self.database = ""
        self.ports_host = "127.0.0.1"
        self.running: list[Running] = []
        self.session = aiohttp.ClientSession()
        self.catalogue = folder / "sites.yaml"
        self.catalogue.write_text(SITES.format(folder=folder))
        (folder / "accounts.csv").write_text("user,account\nalice,itw042\nAlîce Ümlaut,itw043\n")

    async def start(self, relay_port: int = 0) -> Running:
        """Start a service, as after a kill when there was one before."""
        auth = HubAuth(api_url=self.hub_api, api_token="service", cache_max_age=60)
        service = HubService(
            self.catalogue,
            self.folder / "state",
            HubGatekeeper(auth),
            carrier_for=self.carrier_for,
            upstreams={"hub": ("127.0.0.1", int(self.hub_api.split(":")[2].split("/")[0]))},
            database=self.database,
            ports_host=self.ports_host,
            tick=0.05,
        )
        port = await service.start("127.0.0.1", relay_port)
        socket, api_port = bind_unused_port()
        server = HTTPServer(Application(rules(service, PREFIX)), max_body_size=2 * MOST_BYTES)
        server.add_socket(socket)
        api = Api(self.session, f"http://127.0.0.1:{api_port}{PREFIX}api/", "spawner")
        self.running.append(Running(service, api, f"ws://127.0.0.1:{port}", server))
        return self.running[-1]

    async def stop(self) -> None:
        """Stop the service that was started last."""
        running = self.running.pop()
        running.server.stop()
        await running.service.close()
        await running.server.close_all_connections()

    def announcement(self, **changes: Any) -> dict[str, Any]:
        """Return the body of a request for a workload."""
        uid = changes.pop("uid", None) or str(uuid.uuid4())
        env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "TOKEN"}}}]
        container = {"name": "notebook", "image": "/opt/plain", "args": ["lab"], "env": env}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"jupyter-{uid[:8]}", "namespace": "farlab", "uid": uid},
            "spec": {"containers": [container], "activeDeadlineSeconds": 3600},
        }
        secret = {"metadata": {"name": "s"}, "data": {"TOKEN": "dGhlLXNlY3JldC10b2tlbg=="}}
        return {
            "uid": uid,
            "owner": "alice",
            "groups": ["itw"],
            "server_name": "",
            "kind": "server",
            "site": "cloud",
            "profile": "gpu",
            "pod": pod,
            "secrets": [secret],
            "configmaps": [],
            "ports": [8888],
            "secret_sha256": hashlib.sha256(self.secret.encode()).hexdigest(),
            **changes,
        }

    async def announce(self, **changes: Any) -> Any:
        """Announce a workload to the running service and return it."""
        body = self.announcement(**changes)
        status, workload = await self.running[-1].api.call("POST", "workloads", json=body)
        assert status == 201, workload
        return workload

    async def submitted(self, **changes: Any) -> str:
        """Announce a workload, wait until its site has it, and return its uid."""
        uid: str = (await self.announce(**changes))["uid"]
        await self.running[-1].api.until(uid, lambda w: w["job_id"] != "")
        return uid


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workplace]:
    monkeypatch.setattr("farlab_hub.facts.PATIENCE", PATIENCE)
    hub = FakeHub()
    app = web.Application()
    app.router.add_get("/hub/api/user", hub.user)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    workplace = Workplace(tmp_path, hub, f"http://127.0.0.1:{port}/hub/api")
    yield workplace
    while workplace.running:
        await workplace.stop()
    await workplace.session.close()
    await runner.cleanup()


@pytest.fixture
async def running(place: Workplace) -> Running:
    """Return a service that runs in the place."""
    return await place.start()


@pytest.fixture
async def agent(place: Workplace) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Return a function that starts a real agent with a small web server as its payload."""
    started: list[asyncio.subprocess.Process] = []
    payload = (
        "import sys, http.server as h; "
        "h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler)"
        ".serve_forever()"
    )

    async def start(
        uid: str, *command: str, secret: str | None = None, url: str | None = None
    ) -> asyncio.subprocess.Process:
        environment = {
            "FARLAB_RELAY_URL": url or place.running[-1].relay_url,
            "FARLAB_WORKLOAD": uid,
            "FARLAB_SECRET": secret or place.secret,
            "FARLAB_NODE": "node7",
            "FARLAB_JOB_ID": "4711",
            "PATH": "/usr/bin:/bin",
        }
        command = command or (sys.executable, "-c", payload, "{port:8888}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "farlab_relay.agent", "--port", "8888", "--", *command,
            env=environment, cwd=place.folder, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        await end_group(process)


async def end_group(process: asyncio.subprocess.Process) -> None:
    """Kill a process that leads its group, and all in it; agent and payload are in one."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


@pytest.fixture
def kill() -> Callable[[asyncio.subprocess.Process], Awaitable[None]]:
    """Return a function that kills an agent together with its payload."""
    return end_group


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Return a function that waits until something is so."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.02)

    return wait
