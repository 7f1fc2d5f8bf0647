"""Following pods: pages, a watch that expires, an API server that comes and goes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from farlab_sites.kubelet.api import Api, ApiAway, ApiError
from farlab_sites.kubelet.pods import HOLD, PAGE, Pod, PodWatch, trimmed

Json = dict[str, Any]
WAIT = 60.0


def pod(name: str, version: int = 1, **meta: Any) -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            **meta,
        },
        "spec": {"containers": [{"name": "main", "image": "i"}]},
        "status": {"phase": "Pending"},
    }


class FakeApiServer:
    """The list and the watch of pods, with pages, versions and their expiry."""

    def __init__(self) -> None:
        self.pods: list[Json] = []
        self.version = 1
        self.tokens = {"good"}
        self.expire_page: int | None = None
        self.lists = 0
        self.pages = 0
        self.watches: list[str] = []
        self.events: asyncio.Queue[Json | None] = asyncio.Queue()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a list or a watch."""
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return web.json_response({"reason": "Unauthorized", "message": "who?"}, status=401)
        assert request.query["fieldSelector"] == "spec.nodeName=vk"
        if request.query.get("watch"):
            return await self._watch(request)
        return self._list(request)

    def _list(self, request: web.Request) -> web.Response:
        start = int(request.query.get("continue", 0))
        self.lists += start == 0
        self.pages += 1
        if self.expire_page == start:
            self.expire_page = None
            gone = {"code": 410, "reason": "Expired", "message": "too old"}
            return web.json_response(gone, status=410)
        end = start + int(request.query["limit"])
        meta = {"resourceVersion": str(self.version)}
        if end < len(self.pods):
            meta["continue"] = str(end)
        return web.json_response({"metadata": meta, "items": self.pods[start:end]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watches.append(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        while (event := await self.events.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response


class Notes:
    """A follower that keeps what it is told."""

    def __init__(self) -> None:
        self.pods: dict[str, Pod] = {}

    def seen(self, one: Pod) -> None:
        self.pods[one.uid] = one

    def gone(self, uid: str) -> None:
        self.pods.pop(uid, None)

    def known(self) -> set[str]:
        return set(self.pods)


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    fake = FakeApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"  # type: ignore[attr-defined]
    yield fake
    fake.events.put_nowait(None)
    await runner.cleanup()


def write_kubeconfig(path: Path, url: str, token: str) -> None:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content))


@pytest.fixture
def kubeconfig(server: FakeApiServer, tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, server.url, "good")  # type: ignore[attr-defined]
    return path


@pytest.fixture
async def api(kubeconfig: Path) -> AsyncIterator[Api]:
    api = Api(kubeconfig)
    await api.open()
    yield api
    await api.close()


@pytest.fixture
async def notes(api: Api, server: FakeApiServer) -> AsyncIterator[Notes]:
    """A follower that is told of the pods from the moment the test first waits."""
    follower = Notes()
    watch = PodWatch(api, "vk", follower, lambda: None)
    task = asyncio.create_task(watch.run())
    yield follower
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def eventually(check: Callable[[], Any]) -> None:
    until = time.monotonic() + WAIT
    while not check():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


async def test_ten_thousand_pods_come_in_pages(server: FakeApiServer, notes: Notes) -> None:
    server.pods = [pod(f"p{index}") for index in range(10_000)]
    await eventually(lambda: server.watches)
    assert len(notes.pods) == 10_000
    assert server.pages == 10_000 / PAGE


async def test_a_list_that_expires_between_two_pages(server: FakeApiServer, notes: Notes) -> None:
    server.pods = [pod(f"p{index}") for index in range(3 * PAGE)]
    server.expire_page = PAGE
    await eventually(lambda: server.watches)
    assert server.lists == 2
    assert len(notes.pods) == 3 * PAGE


async def test_changes_arrive(server: FakeApiServer, notes: Notes) -> None:
    server.pods = [pod("a")]
    server.events.put_nowait({"type": "ADDED", "object": pod("b", 2)})
    await eventually(lambda: "uid-b" in notes.pods)
    server.events.put_nowait({"type": "MODIFIED", "object": pod("b", 3, deletionTimestamp="x")})
    await eventually(lambda: notes.pods["uid-b"].deleting)
    server.events.put_nowait({"type": "DELETED", "object": pod("a", 4)})
    await eventually(lambda: "uid-a" not in notes.pods)


async def test_a_watch_that_ends_goes_on_where_it_was(server: FakeApiServer, notes: Notes) -> None:
    server.events.put_nowait({"type": "ADDED", "object": pod("b", 7)})
    mark = {"kind": "Pod", "metadata": {"resourceVersion": "9"}}
    server.events.put_nowait({"type": "BOOKMARK", "object": mark})
    server.events.put_nowait(None)
    await eventually(lambda: len(server.watches) == 2)
    assert server.watches == ["1", "9"]
    assert server.lists == 1


async def test_an_expired_watch_lists_again(server: FakeApiServer, notes: Notes) -> None:
    server.pods = [pod("a"), pod("b")]
    await eventually(lambda: server.watches)
    server.pods, server.version = [pod("b"), pod("c")], 20
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    server.events.put_nowait({"type": "ERROR", "object": gone})
    await eventually(lambda: len(server.watches) == 2)
    assert set(notes.pods) == {"uid-b", "uid-c"}
    assert server.watches == ["1", "20"]


@pytest.mark.parametrize("event", ["half", {"type": "ADDED"}, {}])
async def test_rubbish_in_a_watch_is_no_event(
    server: FakeApiServer, notes: Notes, event: Any
) -> None:
    server.events.put_nowait(event)
    server.events.put_nowait(None)
    server.events.put_nowait({"type": "ADDED", "object": pod("b", 7)})
    await eventually(lambda: "uid-b" in notes.pods)


async def test_an_expired_token_is_read_again(
    server: FakeApiServer, api: Api, kubeconfig: Path
) -> None:
    assert "items" in await api.get("/api/v1/pods", fieldSelector="spec.nodeName=vk", limit=1)
    server.tokens = {"new"}
    with pytest.raises(ApiError):
        await api.get("/api/v1/pods", fieldSelector="spec.nodeName=vk", limit=1)
    write_kubeconfig(kubeconfig, server.url, "new")  # type: ignore[attr-defined]
    assert "items" in await api.get("/api/v1/pods", fieldSelector="spec.nodeName=vk", limit=1)


async def test_nobody_listens(tmp_path: Path) -> None:
    write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", "x")
    api = Api(tmp_path / "config")
    await api.open()
    with pytest.raises(ApiAway):
        await api.get("/api/v1/pods")
    await api.close()


def test_a_pod_is_kept_small() -> None:
    item = pod("a", annotations={"JobID": "7"}, finalizers=[HOLD, "other"])
    item["spec"]["containers"][0]["env"] = [{"name": "TOKEN", "value": "secret"}]
    small = trimmed(item)
    assert small.job_id == "7"
    assert small.held
    assert small.shared
    assert small.packed is None


def test_a_pod_without_a_job_keeps_its_manifest() -> None:
    item = pod("a", managedFields=[{"manager": "x"}])
    manifest = trimmed(item).manifest()
    assert manifest["spec"] == pod("a")["spec"]
    assert "managedFields" not in manifest["metadata"]
