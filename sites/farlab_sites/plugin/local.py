"""The driver `local`: a job is a process on the plugin's machine, in a session of its own.

Jobs wait in one queue for CPUs and GPUs. A job is started and ended by the pod runner, run for a
moment as the job's account, so nothing depends on the plugin staying alive: a restarted plugin
finds each job by its process id, the time that process started, and the machine's boot.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from farlab_sites.plugin import accounts
from farlab_sites.plugin.accounts import Account, AccountError, AccountPolicy
from farlab_sites.plugin.config import LocalSettings
from farlab_sites.plugin.driver import Driver, DriverError, Job, JobState, SubmitError
from farlab_sites.plugin.job.claims import alive
from farlab_sites.plugin.job.processes import boot_id
from farlab_sites.plugin.local_book import Book, Entry, Places
from farlab_sites.plugin.plan import RUNNER, runner_archive, runner_command
from farlab_sites.plugin.statuses import REPORT_LIMIT, parse_report

log = logging.getLogger(__name__)

LOOK = 0.5  # seconds between looks at the running processes
STARTERS = 4  # jobs that are started at the same time
SLACK = 45.0  # seconds that ending a job may take beyond its grace time
HIGHEST_PODS = 1000  # no limit of ours, but interLink wants a number


class LocalDriver(Driver):
    """Runs jobs on this machine."""

    def __init__(
        self, settings: LocalSettings, policy: AccountPolicy, folder: Path, python: Path
    ) -> None:
        self.places = Places(settings.cpus or os.cpu_count() or 1, settings.gpus)
        self._policy = policy
        self._folder = folder
        self._runner = folder / RUNNER
        self._command = runner_command(python, self._runner)
        self._node = os.uname().nodename
        self._book: Book
        self._wake = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._starters = asyncio.Semaphore(STARTERS)
        self._busy: dict[str, asyncio.Task[None]] = {}  # by uid: being started, or concluded

    async def start(self) -> None:
        """Find the jobs of an earlier plugin and watch them.

        Raises:
            DriverError: the Python of the configuration is not there.

        """
        python = self._command[0]
        if not os.access(python, os.X_OK):
            raise DriverError(f"python: {python} is not there; name a Python of this machine")
        self._book = Book(self._folder / "local.sqlite3")
        self._runner.write_bytes(runner_archive())
        self._runner.chmod(0o644)
        for entry in self._book.at("starting"):
            self._do(entry, self._start(entry))
        self._watch = asyncio.create_task(self._keep_watching())

    async def stop(self) -> None:
        """Stop watching; jobs go on, and those being started get there first."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)
        self._book.close()

    async def submit(self, job: Job) -> str:
        """Put the job into the queue."""
        for asked, there, what in (
            (job.cpus, self.places.cpus, "CPUs"),
            (job.gpus, self.places.gpus, "GPUs"),
        ):
            if asked > there:
                raise SubmitError(
                    f"The job asks for {asked} {what}, and this machine has {there} for jobs:"
                    " choose a smaller size."
                )
        folder = str(job.folder)
        entry = Entry(job.uid, job.account, folder, job.cpus, job.gpus, job.grace)
        entry = self._book.add(replace(entry, submitted_at=time.time()))
        self._wake.set()
        return str(entry.number)

    async def find(self, uid: str) -> str | None:
        """Return the job's number."""
        entry = self._book.entries.get(uid)
        return None if entry is None else str(entry.number)

    async def states(self, jobs: Sequence[Job]) -> dict[str, JobState]:
        """Look at the processes now and say how the jobs are."""
        self._look()
        queue = [entry.uid for entry in self._book.at("queued")]
        return {job.uid: self._state(self._book.entries.get(job.uid), queue) for job in jobs}

    def _state(self, entry: Entry | None, queue: list[str]) -> JobState:
        if entry is None:
            return JobState("Terminated", "Cancelled", "The job was ended.")
        if entry.stage == "queued":
            place = queue.index(entry.uid) + 1
            message = f"{self._lacking(entry)}: place {place} of {len(queue)} in the queue."
            return JobState("Waiting", "Resources", message, place=place, waiting=len(queue))
        if entry.stage == "starting":
            return JobState("Waiting", "Starting", "The job is being started.", self._node)
        return JobState(
            phase="Running" if entry.stage == "started" else "Terminated",
            reason=entry.reason,
            message=entry.message,
            node=self._node,
            started_at=_moment(entry.started_at),
            finished_at=_moment(entry.finished_at),
            submitted_at=_moment(entry.submitted_at),
        )

    def _lacking(self, entry: Entry) -> str:
        cpus, devices = self.places.free(self._book.at("starting", "started"))
        if entry.gpus > len(devices):
            return f"Waiting for {entry.gpus} GPU (free: {len(devices)} of {self.places.gpus})"
        if entry.cpus > cpus:
            return f"Waiting for {entry.cpus} CPU (free: {cpus} of {self.places.cpus})"
        return "Waiting for those that came before"

    async def cancel(self, job: Job) -> None:
        """End the job; it has ended when this returns."""
        entry = self._book.entries.get(job.uid)
        if entry is not None and job.uid in self._busy:
            await asyncio.wait([self._busy[job.uid]])
            entry = self._book.entries.get(job.uid)
        if entry is None or entry.stage == "ended":
            return
        if entry.stage == "started":
            await self._kill(entry)
        self._end(job.uid, "Cancelled", "The job was cancelled.")

    async def forget(self, job: Job) -> None:
        """Drop the job's entry."""
        self._book.remove(job.uid)

    async def facts(self) -> dict[str, Any]:
        """Say what the machine has and what of it is free."""
        running = self._book.at("starting", "started")
        cpus, devices = self.places.free(running)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        gpus = {"resourceType": "nvidia.com/gpu", "available": self.places.gpus}
        return {
            "status": "ok",
            "resources": {
                "cpu": str(self.places.cpus),
                "memory": f"{memory >> 20}Mi",
                "pods": str(HIGHEST_PODS),
                "accelerators": [gpus] if self.places.gpus else [],
            },
            "partitions": [
                {
                    "name": "local",
                    "nodes": 1,
                    "nodes_free": int(cpus > 0),
                    "gpus": self.places.gpus,
                    "gpus_free": len(devices),
                    "cpus_free": max(0, cpus),
                    "waiting": len(self._book.at("queued")),
                    "start_estimate": None,
                }
            ],
        }

    # Watching

    async def _keep_watching(self) -> None:
        while True:
            try:
                self._look()
            except Exception:
                log.exception("looking at the local jobs failed; trying again")
            busy = bool(self._book.at("queued", "started"))
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK if busy else None)
            except TimeoutError:
                continue
            self._wake.clear()

    def _look(self) -> None:
        """Notice the jobs that ended, and start those that have room now."""
        for entry in self._book.at("started"):
            if entry.uid not in self._busy and not alive(entry.mark):
                self._do(entry, self._conclude(entry))
        while True:
            running = self._book.at("starting", "started")
            chosen = self.places.next(running, self._book.at("queued"))
            if chosen is None:
                return
            change = {"stage": "starting", "devices": chosen.devices}
            entry = self._book.change(chosen.uid, **change)
            self._do(entry, self._start(entry))

    async def _conclude(self, entry: Entry) -> None:
        """Note the end of a job whose runner is gone; the containers' ends are in its report."""
        report = {}
        try:
            path = Path(entry.folder) / "status.json"
            text = await accounts.read_file(self._account(entry), path, most=REPORT_LIMIT)
            report = parse_report(text)
            if not report.get("ended"):
                await self._kill(entry)  # what a killed runner left running
        except AccountError as error:
            log.warning("pod %s: %s", entry.uid, error)
        if report.get("ended"):
            self._end(entry.uid, "", "")
        elif entry.mark.get("boot") != boot_id():
            self._end(entry.uid, "NodeFailure", "The machine was restarted while the job ran.")
        else:
            self._end(entry.uid, "Error", "The job was killed from outside.")

    def _end(self, uid: str, reason: str, message: str) -> None:
        entry = self._book.entries.get(uid)
        if entry is not None and entry.stage != "ended":
            self._book.change(
                uid, stage="ended", devices=(), finished_at=time.time(), reason=reason,
                message=message,
            )  # fmt: skip
            self._wake.set()

    # Starting and ending, as the account

    def _account(self, entry: Entry) -> Account | None:
        return None if entry.account is None else self._policy.resolve(entry.account)

    def _do(self, entry: Entry, work: Coroutine[Any, Any, None]) -> None:
        task = self._busy[entry.uid] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._busy.pop(entry.uid, None))

    async def _start(self, entry: Entry) -> None:
        """Start the runner; if an earlier plugin did, this finds that one."""
        try:
            account = self._account(entry)
            env = accounts.environment(account or accounts.own_account(), self._extra(entry))
            argv = [*self._command, "start", entry.folder]
            async with self._starters:
                done = await accounts.run(account, argv, stdin=json.dumps(env).encode())
            if done.code:
                raise AccountError(done.err.strip() or f"the pod runner ended with {done.code}")
            mark = json.loads(done.out)
        except (AccountError, ValueError) as error:
            log.warning("pod %s could not be started: %s", entry.uid, error)
            with contextlib.suppress(AccountError):
                await self._kill(entry)  # it may have started after all, too late for us
            self._end(entry.uid, "StartError", f"The job could not be started: {error}")
        else:
            self._book.change(entry.uid, stage="started", mark=mark, started_at=time.time())
        self._wake.set()

    def _extra(self, entry: Entry) -> dict[str, str]:
        extra = {"FARLAB_JOB_ID": str(entry.number)}
        if self.places.gpus:  # a job without GPUs must not see those of others
            extra["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, entry.devices))
        return extra

    async def _kill(self, entry: Entry) -> None:
        order = {"uid": entry.uid, "grace": entry.grace, "mark": entry.mark}
        argv = [*self._command, "kill", entry.folder]
        done = await accounts.run(
            self._account(entry), argv, stdin=json.dumps(order).encode(), limit=entry.grace + SLACK
        )
        if done.code:
            raise AccountError(f"pod {entry.uid} could not be ended: {done.err.strip()}")


def _moment(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)
