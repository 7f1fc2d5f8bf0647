"""What lies between a kubelet and a plugin: a faulty line, or a stand-in for interLink's API."""

from __future__ import annotations

import asyncio
import json
import threading
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

Json = dict[str, Any]
DEADLINE_S = 120.0


class Line:
    """An HTTP server in a thread of its own that passes calls on to `target`."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._runner: web.AppRunner
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(DEADLINE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(DEADLINE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    async def _open(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        status, text = await self._ask(request.method, request.path, await request.read())
        return web.Response(status=status, text=text)

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        """Return the answer of what lies behind; 503 where there is none."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.request(method, self._target + path, data=body) as answer,
            ):
                return answer.status, await answer.text()
        except aiohttp.ClientError as error:
            return 503, str(error)


class FaultyLine(Line):
    """Passes calls on, as faulty as a test wants it.

    `hold` names a path: the plugin gets its calls, but the answers wait until `release`.
    `rubbish` is answered instead of the plugin's own words.
    """

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.hold = ""
        self.held: list[str] = []
        self.rubbish: tuple[int, str] | None = None
        self.calls: list[str] = []
        self._go = asyncio.Event()

    def release(self) -> None:
        """Let the answers go that are held."""
        self.hold = ""
        self._loop.call_soon_threadsafe(self._go.set)

    def __exit__(self, *how: Any) -> None:
        self.release()
        super().__exit__(*how)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(request.path)
        status, text = await self._ask(request.method, request.path, await request.read())
        if request.path == self.hold:
            self.held.append(request.path)
            await self._go.wait()
        if self.rubbish is not None:
            status, text = self.rubbish
        return web.Response(status=status, text=text)


class FakeInterLinkApi(Line):
    """A stand-in for interLink's API server: its routes and methods, and how it calls a plugin.

    As the real one it keeps no pod, gives each container only what that one mounts, and knows
    nothing of what variables refer to.
    """

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        call, body = (request.method, request.path), await request.read()
        if call == ("POST", "/create"):
            entry = plugin_entry(json.loads(body))
            answer = await self._ask("POST", "/create", json.dumps(entry).encode())
        elif call == ("DELETE", "/delete"):
            answer = await self._ask("POST", "/delete", body)
        elif call == ("POST", "/pinglink"):
            assert body == b""
            answer = await self._ask("GET", "/status", b"[]")
        elif call in (("GET", "/status"), ("GET", "/getLogs")):
            answer = await self._ask(*call, body)
        else:
            answer = 404, "404 page not found"
        status, text = answer
        return web.Response(status=status, text=text)


def plugin_entry(given: Json) -> Json:
    """Return the body of a plugin's /create for one of the API's."""
    assert set(given) == {"pod", "configmaps", "secrets", "projectedvolumesmaps", "jobscriptURL"}
    spec = given["pod"]["spec"]
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    return {
        "pod": given["pod"],
        "container": [_mounted(container, given) for container in containers],
        "jobConfig": {"SingularityHubProxy": "", "ApptainerOptions": None, "Volumes": None},
    }


def _mounted(container: Json, given: Json) -> Json:
    mounts = {mount["name"] for mount in container.get("volumeMounts") or ()}
    volumes = [v for v in given["pod"]["spec"].get("volumes") or () if v["name"] in mounts]

    def named(items: list[Json], names: list[str]) -> list[Json] | None:
        return [item for item in items if item["metadata"]["name"] in names] or None

    maps = [v["configMap"]["name"] for v in volumes if "configMap" in v]
    secrets = [v["secret"]["secretName"] for v in volumes if "secret" in v]
    projected = [v["name"] for v in volumes if "projected" in v]
    return {
        "name": container["name"],
        "configMaps": named(given["configmaps"], maps),
        "projectedvolumemaps": named(given["projectedvolumesmaps"], projected),
        "secrets": named(given["secrets"], secrets),
        "emptyDirs": None,
    }
