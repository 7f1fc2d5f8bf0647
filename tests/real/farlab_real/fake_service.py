"""A stand-in for the Farlab service: its workloads API over keepers that run on this machine."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import WSMsgType, web

Result = TypeVar("Result")
TOKEN = "a-token-of-ada"
OTHER_TOKEN = "a-token-of-bob"
_USERS = {TOKEN: "ada", OTHER_TOKEN: "bob"}
_ENDED = ("finished", "failed", "cancelled")
PATIENCE = 60.0


def _site(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "title": name.title(), "kind": "hpc", "open": True, "reason": "", **more}


SITES = [
    _site(
        "vega",
        description="A fake one",
        profiles=[
            {
                "name": "gpu",
                "title": "A GPU node",
                "sizes": [{"key": "8-cpu-64-gb", "title": "8 CPU, 64 GB"}],
                "partitions": [{"key": "gpu-1-x-a100", "title": "gpu, 1 x A100"}],
                "images": [{"key": "itwinai", "title": "itwinai"}],
            },
            {"name": "cpu", "title": "A CPU node", "sizes": [], "partitions": [], "images": []},
        ],
    ),
    _site("psnc", open=False, reason="your account is not linked"),
]


@dataclass
class FakeWorkload:
    """A workload: a keeper's process, and what happened to it."""

    owner: str
    wanted: dict[str, Any]
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    key: str = field(default_factory=lambda: secrets.token_hex(32))
    created: float = field(default_factory=time.time)
    events: list[dict[str, Any]] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    port: int = 0
    log: bytes = b""
    ending: tuple[str, str] | None = None
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def happen(self, state: str, reason: str = "", message: str = "") -> None:
        event = {"seq": len(self.events) + 1, "time": time.time(), "state": state}
        self.events.append({**event, "reason": reason, "message": message})
        self.more.set()
        self.more = asyncio.Event()

    @property
    def state(self) -> str:
        return str(self.events[-1]["state"])

    @property
    def ended(self) -> bool:
        return self.state in _ENDED

    def public(self, *, key: bool = False) -> dict[str, Any]:
        last = self.events[-1]
        wanted = {name: self.wanted.get(name, "") for name in ("site", "profile", "name")}
        said: dict[str, Any] = {"uid": self.uid, "kind": "kernel", "owner": self.owner}
        said |= {"created": self.created, "updated": last["time"]}
        told = {name: last[name] for name in ("state", "reason", "message")}
        node = {"node": "node1", "job_id": "17"} if self.process else {}
        tail = {"log_tail": self.log.decode(errors="replace")[-2000:]}
        return {**said, **wanted, **told, **node, **tail, **({"key": self.key} if key else {})}


class FakeService:
    """Runs in a thread of its own; a context manager.

    `hold`: workloads stay queued until `release` is called.
    """

    def __init__(self, folder: Path, *, hold: bool = False, python: str = sys.executable) -> None:
        self.folder = folder
        self.sites: list[dict[str, Any]] = list(SITES)
        self.workloads: dict[str, FakeWorkload] = {}
        self.asked: list[dict[str, Any]] = []
        self.streams = 0
        self._python = python
        self._hold = hold
        self._released = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0

    # Its life

    def __enter__(self) -> Self:
        self._thread.start()
        self.do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/sites", self._sites),
                web.get("/api/workloads", self._list),
                web.post("/api/workloads", self._create),
                web.get("/api/workloads/{uid}", self._get),
                web.delete("/api/workloads/{uid}", self._cancel),
                web.get("/api/workloads/{uid}/events", self._events),
                web.get("/api/workloads/{uid}/logs", self._logs),
                web.get("/api/workloads/{uid}/ports/{port}", self._stream),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        assert site._server is not None
        self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def _stop_listening(self) -> None:
        for socket in list(self._sockets):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _close(self) -> None:
        await self._stop_listening()
        for workload in self.workloads.values():
            await self._end(workload, "cancelled", "the test ended")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/"

    @property
    def environment(self) -> dict[str, str]:
        return {"FARLAB_API_URL": self.url, "FARLAB_API_TOKEN": TOKEN}

    # What tests do to it

    def release(self) -> None:
        """Let workloads start."""
        self._loop.call_soon_threadsafe(self._released.set)

    def stop(self) -> None:
        """Go away, as a service that was killed; the keepers go on."""
        self.do(self._stop_listening())

    def restart(self) -> None:
        """Come back at the same address."""
        self.do(self._listen())

    def live(self) -> list[FakeWorkload]:
        return [workload for workload in self.workloads.values() if not workload.ended]

    def say(self, reason: str) -> None:
        """Give every queued workload a reason."""

        async def say() -> None:
            for workload in self.live():
                workload.happen("queued", reason)

        self.do(say())

    def end(self, workload: FakeWorkload, state: str, reason: str) -> None:
        self.do(self._end(workload, state, reason))

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited too long for {what}"
            time.sleep(0.02)

    # Jobs

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, workload: FakeWorkload) -> None:
        workload.happen("queued", "Waiting for resources: place 3 of 12 in partition gpu")
        if self._hold:
            await self._released.wait()
        if workload.ended:
            return
        folder = self.folder / workload.uid
        folder.mkdir(parents=True)
        code = await self._keep(workload, folder)
        while code == 1 and b"can't listen" in workload.log:  # another test was faster
            code = await self._keep(workload, folder)
        if not workload.ended:
            last = workload.log.decode(errors="replace").strip().splitlines()[-1:]
            ended = ("failed" if code else "finished", f"exit code {code}", "".join(last))
            workload.happen(*(workload.ending or ended))

    async def _keep(self, workload: FakeWorkload, folder: Path) -> int:
        """Run a keeper to its end."""
        workload.port = await _free_port()
        environment = {**os.environ, "FARLAB_KERNEL_KEY": workload.key, "FARLAB_SITE": "vega"}
        for secret in ("FARLAB_API_URL", "FARLAB_API_TOKEN"):
            environment.pop(secret, None)
        if first := workload.wanted.get("first"):
            (folder / "cell").mkdir(exist_ok=True)
            (folder / "cell" / "code").write_text(first["code"])
            (folder / "cell" / "inputs").write_bytes(base64.b64decode(first["inputs"]))
            environment["FARLAB_FIRST_CELL"] = str(folder / "cell")
        with (folder / "log").open("wb") as log:
            workload.process = await asyncio.create_subprocess_exec(
                self._python, "-P", "-m", "farlab_kernels.keeper", "--port", str(workload.port),
                env=environment, cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        if workload.ended:  # meanwhile
            workload.process.kill()
        elif workload.state != "starting":
            workload.happen("starting", "The kernel is starting on node1")
        ready = self._loop.create_task(self._answers(workload))
        code = await workload.process.wait()
        ready.cancel()
        workload.log = (folder / "log").read_bytes()
        return code

    async def _answers(self, workload: FakeWorkload) -> None:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", workload.port)
                writer.close()
                workload.happen("ready")
                return
            await asyncio.sleep(0.05)

    async def _end(self, workload: FakeWorkload, state: str, reason: str) -> None:
        if workload.ended:
            return
        workload.ending = (state, reason)
        process = workload.process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await process.wait()
        if not workload.ended:
            workload.happen(state, reason)

    # Requests

    def _owner(self, request: web.Request) -> str:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in _USERS:
            raise _error(web.HTTPUnauthorized, "no-token", "the hub does not know this token")
        return _USERS[token]

    def _workload(self, request: web.Request) -> FakeWorkload:
        workload = self.workloads.get(request.match_info["uid"])
        if workload is None or workload.owner != self._owner(request):
            raise _error(web.HTTPNotFound, "not-found", "there is no such workload")
        return workload

    async def _sites(self, request: web.Request) -> web.Response:
        self._owner(request)
        return web.json_response(self.sites)

    async def _list(self, request: web.Request) -> web.Response:
        owner = self._owner(request)
        known = self.workloads.values() if request.query.get("state") == "all" else self.live()
        return web.json_response([w.public() for w in known if w.owner == owner])

    async def _create(self, request: web.Request) -> web.Response:
        owner = self._owner(request)
        wanted = await request.json()
        self.asked.append(wanted)
        if wanted.get("gpus", 0) > 8:
            raise _error(
                web.HTTPForbidden, "quota", "vega gives you at most 8 GPUs", "Ask for less."
            )
        name = wanted.get("name")
        if name and any(w.wanted.get("name") == name for w in self.live() if w.owner == owner):
            raise _error(
                web.HTTPConflict, "name-taken", f"you have a workload called {name} already"
            )
        workload = self.workloads.get(wanted["uid"])
        if workload is not None:
            return web.json_response(workload.public(), status=201)
        workload = FakeWorkload(owner, wanted, wanted["uid"])
        workload.happen("requested")
        self.workloads[workload.uid] = workload
        self._start(self._run(workload))
        return web.json_response(workload.public(), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._workload(request).public(key=True))

    async def _cancel(self, request: web.Request) -> web.Response:
        workload = self._workload(request)
        await self._end(workload, "cancelled", "you cancelled it")
        return web.json_response(workload.public())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        workload = self._workload(request)
        at = int(request.headers.get("Last-Event-ID") or 0)
        if workload.ended and at >= len(workload.events):
            return web.Response(status=204)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        with suppress(OSError):
            await _send_events(answer, workload, at)
        return answer

    async def _logs(self, request: web.Request) -> web.Response:
        workload = self._workload(request)
        log = self.folder / workload.uid / "log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return web.json_response({"uid": workload.uid, "log": text})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        workload = self._workload(request)
        if workload.ended:
            raise _error(web.HTTPGone, "ended", "the workload has ended")
        if not workload.port or request.match_info["port"] != "9000":
            raise _error(web.HTTPConflict, "not-ready", "the workload is not ready")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", workload.port)
        except OSError:
            raise _error(web.HTTPServiceUnavailable, "no-answer", "nothing answers") from None
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        self._sockets.add(socket)
        self.streams += 1
        back = self._loop.create_task(_back(reader, socket))
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    writer.write(message.data)
                    await writer.drain()
                elif message.type is WSMsgType.TEXT:
                    writer.write_eof()
        except OSError:
            pass
        finally:
            back.cancel()
            writer.close()
            self._sockets.discard(socket)
        return socket


async def _free_port() -> int:
    probe = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    return port


async def _send_events(answer: web.StreamResponse, workload: FakeWorkload, at: int) -> None:
    while True:
        more = workload.more
        for event in workload.events[at:]:
            at = event["seq"]
            await answer.write(f"id: {at}\ndata: {json.dumps(event)}\n\n".encode())
        if workload.ended:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await more.wait()
        await answer.write(b": still here\n\n")


async def _back(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 18):
            await socket.send_bytes(data)
        await socket.send_str("eof")


def _error(
    kind: type[web.HTTPError], code: str, message: str, fix: str = ""
) -> web.HTTPError:  # fmt: skip
    body = json.dumps({"code": code, "message": message, "fix": fix})
    if kind is web.HTTPGone:
        return web.HTTPGone(text=body, content_type="application/json")
    return kind(text=body, content_type="application/json")
