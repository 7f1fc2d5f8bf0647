"""The watch, against an API server that is a fake: pages, expired versions, breaks, rubbish."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from farlab_sites.carriers import CarrierUnreachable
from farlab_sites.carriers.cluster import Cluster
from farlab_sites.carriers.informer import Informer

PATIENCE = 60.0


class FakeApiServer:
    """Answers LIST and WATCH of pods as the test says."""

    def __init__(self) -> None:
        self.pages: list[list[str]] = [["a"]]
        self.lists = 0
        self.watched: list[str] = []  # the versions that were asked for
        self.lines: asyncio.Queue[bytes | None] = asyncio.Queue()  # None ends the watch
        self.refuse: tuple[int, str] | None = None

    async def pods(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.Response(status=self.refuse[0], text=self.refuse[1])
        if "watch" in request.query:
            return await self.watch(request)
        page = int(request.query.get("continue", 0))
        self.lists += page == 0
        more = {"continue": str(page + 1)} if page + 1 < len(self.pages) else {}
        items = [item(name) for name in self.pages[page]]
        return web.json_response({"metadata": {"resourceVersion": "10", **more}, "items": items})

    async def watch(self, request: web.Request) -> web.StreamResponse:
        self.watched.append(request.query["resourceVersion"])
        answer = web.StreamResponse()
        await answer.prepare(request)
        while (line := await self.lines.get()) is not None:
            await answer.write(line)
        return answer

    def tell(self, kind: str, name: str, version: str) -> None:
        found = item(name, version)
        self.lines.put_nowait(json.dumps({"type": kind, "object": found}).encode() + b"\n")


def item(name: str, version: str = "1") -> dict[str, Any]:
    meta = {"name": name, "resourceVersion": version, "managedFields": [{"big": "x"}]}
    return {"kind": "Pod", "metadata": meta}


class Names:
    """A mirror that keeps names."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.dropped: list[str] = []

    def replace(self, objects: list[dict[str, Any]]) -> None:
        assert all("managedFields" not in one["metadata"] for one in objects)
        self.names = {one["metadata"]["name"] for one in objects}

    def put(self, found: dict[str, Any]) -> None:
        self.names.add(found["metadata"]["name"])

    def drop(self, found: dict[str, Any]) -> None:
        self.names.discard(found["metadata"]["name"])
        self.dropped.append(found["metadata"]["name"])


@pytest.fixture
async def api() -> AsyncIterator[tuple[FakeApiServer, int]]:
    fake = FakeApiServer()
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/farlab/pods", fake.pods)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield fake, runner.addresses[0][1]
    fake.lines.put_nowait(None)
    await runner.cleanup()


@pytest.fixture
async def parts(
    api: tuple[FakeApiServer, int], tmp_path: Path
) -> AsyncIterator[tuple[FakeApiServer, Informer, Names]]:
    fake, port = api
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "x", "user": {"token": "t"}}],
            }
        )
    )
    cluster, names = Cluster("farlab", kubeconfig), Names()
    informer = Informer(cluster, "pods", {"labelSelector": "farlab/workload"}, names)
    yield fake, informer, names
    await informer.close()
    await cluster.close()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not check():
            await asyncio.sleep(0.02)


async def test_it_lists_in_pages_and_watches_from_there(parts: Any) -> None:
    fake, informer, names = parts
    fake.pages = [["a", "b"], ["c"], ["d"]]
    await informer.up_to_date()
    assert names.names == {"a", "b", "c", "d"}
    fake.tell("ADDED", "e", "11")
    fake.tell("DELETED", "a", "12")
    fake.tell("BOOKMARK", "", "20")
    await until(lambda: names.dropped == ["a"])
    assert names.names == {"b", "c", "d", "e"}
    fake.lines.put_nowait(None)  # a watch ends from time to time
    await until(lambda: len(fake.watched) == 2)
    assert (fake.watched, fake.lists) == (["10", "20"], 1)


async def test_a_version_that_has_expired_is_listed_anew(parts: Any) -> None:
    fake, informer, names = parts
    await informer.up_to_date()
    fake.pages = [["b"]]
    status = {"kind": "Status", "code": 410, "message": "too old resource version"}
    fake.lines.put_nowait(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
    await until(lambda: names.names == {"b"})
    await informer.up_to_date()  # that was no trouble
    assert fake.lists == 2


async def test_lines_in_pieces_and_very_long_ones(parts: Any) -> None:
    fake, informer, names = parts
    await informer.up_to_date()
    long = {"type": "ADDED", "object": {**item("long", "11"), "padding": "x" * 3_000_000}}
    text = json.dumps(long).encode() + b"\n"
    for start in range(0, len(text), 700_000):
        fake.lines.put_nowait(text[start : start + 700_000])
    await until(lambda: "long" in names.names)
    assert fake.lists == 1


async def test_rubbish_is_said_and_left_behind(parts: Any) -> None:
    fake, informer, names = parts
    await informer.up_to_date()
    fake.refuse = (200, "<html>")
    fake.lines.put_nowait(b"{rubbish\n")

    async def said() -> str:
        try:
            await informer.up_to_date()
        except CarrierUnreachable as error:
            return str(error)
        return ""

    async with asyncio.timeout(PATIENCE):
        while not await said():
            await asyncio.sleep(0.02)
    fake.refuse, fake.pages = None, [["c"]]
    async with asyncio.timeout(PATIENCE):
        while await said():
            await asyncio.sleep(0.02)
    assert names.names == {"c"}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, "{}", "does not know the hub"),
        (403, '{"message": "User x cannot list resource pods"}', "docs/kubernetes.md"),
        (500, "no JSON", "answered 500: no JSON"),
        (429, '{"message": "too many requests"}', "too many requests"),
    ],
)
async def test_what_is_refused_is_in_words(parts: Any, status: int, body: str, words: str) -> None:
    fake, informer, _ = parts
    fake.refuse = (status, body)
    with pytest.raises(CarrierUnreachable, match=words):
        await informer.up_to_date()
