"""A stand-in for FTS3, which nobody can install: its REST calls, and real third-party copies.

    python -m farlab_real.fts_stand_in --port 0 --ca ca.pem     # prints its port
    with FtsStandIn(folder, ca) as fts: ...                     # fts.url

It keeps jobs in memory, copies one file after another as FTS would (pull, by COPY to the
destination with both tokens; between two folders of this machine by itself), and knows the states
SUBMITTED, ACTIVE, FINISHED, FAILED, CANCELED and FINISHEDDIRTY. It renews no token: every job is as
with `unmanaged_tokens`. Where a job has no tokens, its submitter's is used, and where a door wants
none, none.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import ssl
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import aiohttp
from aiohttp import web

from farlab_real.processes import Process

FINAL = {"FINISHED", "FAILED", "CANCELED"}


def now() -> str:
    """Return the time as FTS3 writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())


@dataclass
class File:
    """One file of a job."""

    file_id: int
    source: str
    destination: str
    tokens: tuple[str, str]
    size: int | None
    metadata: Any
    state: str = "SUBMITTED"
    reason: str = ""
    start_time: str | None = None
    finish_time: str | None = None
    transferred: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return what FTS3 tells of it."""
        return {
            "file_id": self.file_id,
            "file_state": self.state,
            "source_surl": self.source,
            "dest_surl": self.destination,
            "reason": self.reason,
            "start_time": self.start_time,
            "finish_time": self.finish_time,
            "staging_start": None,
            "staging_finished": None,
            "file_metadata": self.metadata,
            "filesize": self.size or 0,
            "user_filesize": self.size or 0,
            "transferred": self.transferred,
        }


@dataclass
class Job:
    """A submitted job."""

    files: list[File]
    params: dict[str, Any]
    job_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    submit_time: str = field(default_factory=now)

    @property
    def state(self) -> str:
        """The job's state, which follows from its files'."""
        states = {file.state for file in self.files}
        if not states <= FINAL:
            return "SUBMITTED" if states == {"SUBMITTED"} else "ACTIVE"
        if len(states) == 1:
            return states.pop()
        return "FINISHEDDIRTY" if "FINISHED" in states else "FAILED"

    def as_json(self) -> dict[str, Any]:
        """Return what FTS3 tells of it."""
        return {
            "job_id": self.job_id,
            "job_state": self.state,
            "job_type": "N",
            "job_metadata": self.params.get("job_metadata"),
            "submit_time": self.submit_time,
            "http_status": "200 Ok",
            "files": [file.as_json() for file in self.files],
        }


class Server:
    """The REST calls, and the copying behind them."""

    def __init__(self, ca: str | None) -> None:
        self._context = ssl.create_default_context(cafile=ca)
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._numbers = 0

    def application(self) -> web.Application:
        """Return the web application."""
        application = web.Application()
        application.router.add_post("/jobs", self.submit)
        application.router.add_get("/jobs", self.list_jobs)
        application.router.add_get("/jobs/{ids}", self.poll)
        application.router.add_get("/jobs/{id}/files", self.files)
        application.router.add_delete("/jobs/{ids}", self.cancel)
        application.router.add_post("/jobs/{id}", self.prioritise)
        application.router.add_get("/whoami", self.whoami)
        return application

    async def submit(self, request: web.Request) -> web.Response:
        """Take a job; 409 if one of its destinations is being written to."""
        body = await request.json()
        files = [self._file(one, _bearer(request)) for one in body["files"]]
        busy = {f.destination for job in self._jobs.values() for f in job.files if not _ended(f)}
        twice = [file.destination for file in files if file.destination in busy]
        overwritten = {file.destination for file in files}
        if twice or len(overwritten) < len(files):
            return _error(409, f"The following destinations are in use: {', '.join(twice)}")
        job = Job(files, body.get("params") or {})
        self._jobs[job.job_id] = job
        self._tasks[job.job_id] = asyncio.create_task(self._carry_out(job))
        return web.json_response({"job_id": job.job_id})

    def _file(self, one: dict[str, Any], login: str) -> File:
        self._numbers += 1
        tokens = (
            (one.get("source_tokens") or [login])[0],
            (one.get("destination_tokens") or [login])[0],
        )
        source, destination = one["sources"][0], one["destinations"][0]
        size, metadata = one.get("filesize"), one.get("metadata")
        return File(self._numbers, source, destination, tokens, size, metadata)

    async def list_jobs(self, request: web.Request) -> web.Response:
        """List jobs by state."""
        wanted = request.query.get("state_in", "").split(",")
        found = [job.as_json() for job in self._jobs.values() if job.state in wanted]
        return web.json_response(found)

    async def poll(self, request: web.Request) -> web.Response:
        """Answer with one job, or a list of many; 207 when some are unknown."""
        ids = request.match_info["ids"].split(",")
        known = [self._jobs[name].as_json() for name in ids if name in self._jobs]
        if not known:
            return _error(404, f'No job with the id "{ids[0]}" has been found')
        if len(ids) == 1:
            return web.json_response(known[0])
        unknown = [
            {"job_id": name, "http_status": "404 Not Found", "http_message": "No job with that id"}
            for name in ids
            if name not in self._jobs
        ]
        return web.json_response([*known, *unknown], status=207 if unknown else 200)

    async def files(self, request: web.Request) -> web.Response:
        """Answer with a job's files."""
        job = self._jobs.get(request.match_info["id"])
        if job is None:
            return _error(404, "No such job")
        return web.json_response([file.as_json() for file in job.files])

    async def cancel(self, request: web.Request) -> web.Response:
        """Stop jobs; what is copied stays so."""
        known = [self._jobs[i] for i in request.match_info["ids"].split(",") if i in self._jobs]
        for job in known:
            for file in job.files:
                if not _ended(file):
                    _end(file, "CANCELED", "Job canceled by the user")
            self._tasks[job.job_id].cancel()
        return web.json_response([job.as_json() for job in known])

    async def prioritise(self, request: web.Request) -> web.Response:
        """Take a priority, which means nothing here."""
        return web.json_response({"job_id": request.match_info["id"]})

    async def whoami(self, request: web.Request) -> web.Response:
        """Say who asks, or refuse who has no token."""
        if not _bearer(request):
            return _error(401, "Missing or invalid token")
        return web.json_response({"user_dn": "marie", "method": "oauth2", "is_root": False})

    async def _carry_out(self, job: Job) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
        connector = aiohttp.TCPConnector(ssl=self._context)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            for file in job.files:
                file.state, file.start_time = "ACTIVE", now()
                try:
                    reason = await self._copy(session, file, job.params)
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    reason = f"TRANSFER ERROR: {error}"
                if not _ended(file):
                    _end(file, "FAILED" if reason else "FINISHED", reason)

    async def _copy(
        self, session: aiohttp.ClientSession, file: File, params: dict[str, Any]
    ) -> str:
        """Let the destination pull the file; return why that failed, or nothing."""
        if file.source.startswith("file://") and file.destination.startswith("file://"):
            return await asyncio.to_thread(_copy_here, file, overwrite=bool(params["overwrite"]))
        headers = {"Source": _http(file.source)}
        headers["Overwrite"] = "T" if params.get("overwrite") else "F"
        if file.tokens[0]:
            headers["TransferHeaderAuthorization"] = f"Bearer {file.tokens[0]}"
        own = {"Authorization": f"Bearer {file.tokens[1]}"} if file.tokens[1] else {}
        destination = _http(file.destination)
        await self._make_folders(session, destination, own)
        if params.get("overwrite"):  # as FTS does, for doors hold what was cancelled
            async with session.delete(destination, headers=own):
                pass
        async with session.request("COPY", destination, headers=headers | own) as answer:
            if answer.status not in (200, 201, 202):
                words = (await answer.text()).strip()
                return f"DESTINATION COPY {answer.status} {words}"
            last = ""
            async for line in answer.content:
                last = line.decode(errors="replace").strip() or last
                if last.startswith("Stripe Bytes Transferred:"):
                    file.transferred = int(last.partition(":")[2])
        return "" if last.startswith("success") else f"TRANSFER {last or 'connection cut'}"

    async def _make_folders(
        self, session: aiohttp.ClientSession, destination: str, headers: dict[str, str]
    ) -> None:
        scheme, _, rest = destination.partition("://")
        host, *parts = rest.split("/")
        for depth in range(2, len(parts)):
            url = f"{scheme}://{host}/{'/'.join(parts[:depth])}/"
            with suppress(aiohttp.ClientError):
                async with session.request("MKCOL", url, headers=headers):
                    pass


def _copy_here(file: File, *, overwrite: bool) -> str:
    """Copy a file of this machine, and have it under its name only when it is whole."""
    source, target = (Path(unquote(urlsplit(url).path)) for url in (file.source, file.destination))
    if not source.is_file():
        return f"SOURCE STAT [2] No such file or directory: {source}"
    if target.exists() and not overwrite:
        return "DESTINATION OVERWRITE Destination file exists and overwrite is not enabled"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{file.file_id}.part")
    shutil.copyfile(source, part)
    file.transferred = part.stat().st_size
    if file.size not in (None, file.transferred):
        part.unlink()
        return f"SOURCE CHECKSUM it has {file.transferred} bytes, and not {file.size}"
    part.rename(target)
    return ""


def _ended(file: File) -> bool:
    return file.state in FINAL


def _end(file: File, state: str, reason: str) -> None:
    file.state, file.reason, file.finish_time = state, reason, now()


def _http(url: str) -> str:
    return url.replace("davs://", "https://").replace("dav://", "http://")


def _bearer(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"status": str(status), "message": message}, status=status)


class FtsStandIn:
    """The stand-in as a process of its own."""

    def __init__(self, folder: Path, ca: Path | None = None) -> None:
        argv = [sys.executable, "-m", "farlab_real.fts_stand_in"]
        argv += ["--ca", str(ca)] if ca else []
        environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
        self.process = Process(argv, folder / "fts.log", environment)
        self.url = ""

    def __enter__(self) -> Self:
        self.process.start()
        self.process.wait_until(lambda: "listening" in self.process.read_log(), "the FTS stand-in")
        self.url = f"http://127.0.0.1:{self.process.read_log().split()[1]}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.stop()


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ca")
    given = parser.parse_args()
    runner = web.AppRunner(Server(given.ca).application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", given.port)
    await site.start()
    print("listening", runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
