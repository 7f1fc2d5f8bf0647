"""Catalogues, a hub service that is a fake, and spawners without a hub."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from aiohttp import web
from farlab_real.hub import REPOSITORY, RunningHub
from farlab_real.plugin import RunningPlugin
from farlab_real.world import World, machine_sites
from farlab_sites.catalogue import Catalogue
from farlab_sites.loader import load_catalogue
from farlab_spawner.configure import configure
from farlab_spawner.service import HubService
from farlab_spawner.spawner import FarlabSpawner
from traitlets.config import Config

SITES = """
sites:
  - name: cloud
    title: UKRI Cloud
    description: Starts at once
    kind: cloud
    carrier: {direct: {url: "http://127.0.0.1:4000"}}
    runtime: podman
    profiles:
      - name: lab
        title: JupyterLab in the cloud
        sizes:
          - {title: "2 CPU, 8 GB", cpu: 2, memory: 8Gi}
          - {title: "8 CPU, 32 GB", cpu: 8, memory: 32Gi}
        partitions:
          - {title: No GPU}
          - {title: 1 x A100, gpus: 1}
        images:
          - {title: Minimal, image: "jupyter/minimal:1"}
          - {title: itwinai, image: "registry/itwinai:1.0"}
        other_image: {allow: "registry/[a-z]+:[0-9.]+"}
  - name: vega
    title: Vega HPC
    kind: hpc
    groups: [intertwin]
    carrier: {direct: {url: "http://127.0.0.1:4001"}}
    relay: {way: gateway, url: "ws://edge.vega.example:4001"}
    accounts: {vo: {intertwin: itw001}}
    runtime: none
    environment: {BRACES: '{"a": 1}', OMP_NUM_THREADS: "8"}
    walltime: "8:00:00"
    profiles:
      - name: gpu
        title: GPU node
        description: For training
        sizes: [{title: "8 CPU, 64 GB", cpu: 8, memory: 64Gi}]
        partitions:
          - {title: "gpu, 1 x A100", partition: gpu, gpus: 1, gpu_type: a100}
          - {title: "gpu, 2 x A100", partition: gpu, gpus: 2, gpu_type: a100, walltime: "4:00:00"}
        images: [{title: Python 3, image: /opt/env}]
        other_image: true
      - name: cpu
        title: CPU node
        sizes: [{title: "64 CPU, 128 GB", cpu: 64, memory: 128Gi}]
        images: [{title: Python 3, image: /opt/env}]
  - name: k8s
    title: In the cluster
    kind: htc
    groups: [cluster]
    carrier: {kubernetes: {node: vk}}
    profiles:
      - name: lab
        title: JupyterLab
        sizes: [{title: "1 CPU, 2 GB", cpu: 1, memory: 2Gi}]
        images: [{title: Python 3, image: /opt/env}]
"""


@pytest.fixture
def sites_file(tmp_path: Path) -> Path:
    """A sites.yaml with a cloud, an HPC machine for a group, and a Kubernetes site for another."""
    file = tmp_path / "sites.yaml"
    file.write_text(SITES)
    return file


@pytest.fixture
def catalogue(sites_file: Path) -> Catalogue:
    return load_catalogue(sites_file)


class FakeHubService:
    """Answers like the hub service, from `workloads`, which a test changes; counts the calls."""

    def __init__(self, token_file: Path) -> None:
        self.token_file = token_file
        self.url = ""
        self.workloads: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.refuse: tuple[int, Any] | None = None  # what every call is answered with
        self.delay: float = 0.0  # seconds before an answer
        self.news = asyncio.Event()
        self.entries: list[dict[str, Any]] = []

    def event(self, uid: str, state: str, reason: str = "", message: str = "", **more: Any) -> None:
        """Let something happen to a workload."""
        workload = self.workloads[uid]
        events = workload["events"]
        events.append(
            {
                "seq": len(events) + 1,
                "time": time.time(),
                "state": state,
                "reason": reason,
                "message": message,
            }
        )
        workload |= {"state": state, "reason": reason, "message": message, **more}
        self.news.set()
        self.news = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/services/farlab/api/")
        self.calls.append(f"{request.method} {path}")
        await asyncio.sleep(self.delay)
        if self.refuse:
            status, body = self.refuse
            if isinstance(body, str):
                return web.Response(status=status, text=body)
            return web.json_response(body, status=status)
        if path == "sites":
            return web.json_response(self.entries)
        if path == "workloads" and request.method == "POST":
            return self._create(await request.json())
        if path == "workloads":
            live = [w for w in self.workloads.values() if w["state"] not in ENDED]
            return web.json_response(live)
        return await self._one(request, path.split("/")[1])

    def _create(self, body: dict[str, Any]) -> web.Response:
        uid = body["uid"]
        if uid not in self.workloads:
            address = "http://127.0.0.1:41234"
            self.workloads[uid] = {"uid": uid, "address": address, "events": [], "body": body}
            self.event(uid, "requested")
        return web.json_response(self.workloads[uid], status=201)

    async def _one(self, request: web.Request, uid: str) -> web.Response:
        workload = self.workloads.get(uid)
        if workload is None:
            body = {"code": "not-found", "message": "no such workload", "fix": ""}
            return web.json_response(body, status=404)
        if request.method == "DELETE":
            if workload["state"] not in ENDED:
                self.event(uid, "cancelled", "Cancelled", "Cancelled by its user.")
            return web.json_response(workload)
        after, until = int(request.query.get("after", -1)), float(request.query.get("timeout", 0))
        if after >= len(workload["events"]) and until:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), until)
        return web.json_response(workload)


ENDED = ("finished", "failed", "cancelled")


@pytest.fixture
async def fake_service(tmp_path: Path) -> AsyncIterator[FakeHubService]:
    """A hub service that is a fake, on a free port."""
    token_file = tmp_path / "token"
    token_file.write_text("secret")
    fake = FakeHubService(token_file)
    app = web.Application()
    app.router.add_route("*", "/services/farlab/api/{path:.*}", fake.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    fake.url = f"http://127.0.0.1:{port}"
    yield fake
    await runner.cleanup()


@pytest.fixture
def service(fake_service: FakeHubService) -> HubService:
    """The spawner's client of the fake."""
    return HubService(f"{fake_service.url}/services/farlab/", str(fake_service.token_file))


@pytest.fixture
def log() -> logging.Logger:
    return logging.getLogger("test")


@pytest.fixture
async def make_spawner(
    sites_file: Path, tmp_path: Path, fake_service: FakeHubService
) -> Callable[..., FarlabSpawner]:
    """Makes spawners that have a user, but no hub and no database."""
    config = Config()
    only_direct = yaml.safe_load(SITES)
    only_direct["sites"].pop()
    (tmp_path / "direct.yaml").write_text(yaml.safe_dump(only_direct))
    configure(config, tmp_path / "direct.yaml", state_dir=tmp_path / "state")
    config.FarlabSpawner.catalogue_file = str(sites_file)
    config.FarlabSpawner.service_url = fake_service.url
    config.FarlabSpawner.service_token_file = str(fake_service.token_file)

    def make(
        options: dict[str, str] | None = None, groups: tuple[str, ...] = (), name: str = "ada"
    ) -> FarlabSpawner:
        rows: list[Any] = []
        user = SimpleNamespace(
            name=name,
            id=1,
            url=f"/user/{name}/",
            escaped_name=name,
            groups=[SimpleNamespace(name=group) for group in groups],
            orm_user=SimpleNamespace(_orm_spawners=rows),
            settings={},
        )
        hub = SimpleNamespace(
            public_host="",
            url="http://127.0.0.1:8081/hub/",
            base_url="/hub/",
            api_url="http://127.0.0.1:8081/hub/api",
        )
        spawner = FarlabSpawner(_mock=True, user=user, hub=hub, config=config)
        spawner.api_token = "token-of-the-server"
        spawner.user_options = options or {}
        return spawner

    return make


HUB5 = REPOSITORY / ".venv-hub5/bin/python"


@pytest.fixture(scope="session", params=["6"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A hub of JupyterHub 6; for the tests of `both`, once more with JupyterHub 5."""
    python = Path(sys.executable) if request.param == "6" else HUB5
    if not python.exists():
        pytest.skip("JupyterHub 5 is not installed here: `make test` does it")
    folder = tmp_path_factory.mktemp(f"hub{request.param}")
    with (
        RunningPlugin(folder / "plugin", {"local": {"cpus": 4}}) as plugin,
        RunningHub(
            folder / "hub", machine_sites(plugin), python=python, groups={"members": ["eve"]}
        ) as hub,
    ):
        yield World(hub, plugin)
