"""The plugin's work: pods come in, jobs go to the driver, states go out. Knows no HTTP.

Whoever kills the plugin at any moment finds every pod again: a pod is on disk before its job is
submitted, and what was under way is taken up where it stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from farlab_sites.plugin import accounts
from farlab_sites.plugin.answering import Answers
from farlab_sites.plugin.carried import Carried
from farlab_sites.plugin.config import Settings
from farlab_sites.plugin.driver import BatchSystemDown, Driver, Job, JobState, SubmitError
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.folders import Folders, write_files
from farlab_sites.plugin.grace import shorten
from farlab_sites.plugin.plan import RUNNER, Plan, plan, pruned, runner_command
from farlab_sites.plugin.podspec import Pod, identity, parse_pod
from farlab_sites.plugin.statuses import answer, why
from farlab_sites.plugin.store import Record, Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger(__name__)

ACCOUNT = "farlab/account"
DELETE_WAIT = 25.0  # seconds that a /delete waits for the end; it goes on after that
RETRY = 3.0  # seconds between tries while the batch system is down
LONGEST_RETRY = 60.0
ASK_AGAIN = 0.3  # seconds between looks at a job that is being cancelled
CANCEL_AGAIN = 60.0  # seconds after which a job that has not ended is cancelled once more


class Pods:
    """Every pod of this plugin."""

    def __init__(self, settings: Settings, driver: Driver, policy: accounts.AccountPolicy) -> None:
        self.settings = settings
        self.driver = driver
        self.folders = Folders(settings.folder, accounts=bool(settings.accounts.allow))
        self._policy = policy
        self._store: Store
        self._answers: Answers
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unwanted: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._endings: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Open the store and take up what was under way."""
        self.folders.make()
        self._store = Store(self.folders.database)
        self._answers = Answers(self.driver, self._store, job=self.job, account=self.account)
        await self.driver.start()
        begun = [r for r in self._store.all() if r.stage in ("submitting", "unsure")]
        self.folders.drop_requests_except({record.uid for record in begun})
        for record in begun:
            self._spawn(self._resume(record.uid))
        for record in self._store.all():
            if record.stage == "deleting":
                self._begin_end(record.uid)

    async def stop(self) -> None:
        """Stop the plugin's own work; jobs go on."""
        for task in (*self._tasks, *self._endings.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._endings.values(), return_exceptions=True)
        await self.driver.stop()
        self._store.close()
        self.folders.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @asynccontextmanager
    async def _alone(self, uid: str) -> AsyncIterator[None]:
        """Let one caller at a time change a pod."""
        lock = self._locks.setdefault(uid, asyncio.Lock())
        async with lock:
            yield

    def find(self, uid: str) -> Record | None:
        """Return a pod, None if it is not known."""
        return self._store.get(uid)

    def all(self) -> list[Record]:
        """Return every pod."""
        return self._store.all()

    def record(self, uid: str) -> Record:
        """Return a known pod.

        Raises:
            Refusal: 404, it is not known.

        """
        record = self._store.get(uid)
        if record is None:
            raise Refusal(404, f"this plugin has no pod {uid}: it was deleted, or never created")
        return record

    def is_live(self, workload: str) -> bool:
        """Tell whether a workload's job may be running: its agent may dial.

        A pod that came through Kubernetes has another uid, and names its workload.
        """
        uid = workload.lower()
        record = self._store.get(uid) or next(
            (one for one in self._store.all() if _workload(one) == uid), None
        )
        return record is not None and record.stage != "ended"

    # Creating

    async def create(self, body: dict[str, Any]) -> dict[str, str]:
        """Accept a pod; the same uid again gives the same job.

        Raises:
            Refusal: it cannot run here; the message says why and what to do.

        """
        pod = parse_pod(body.get("pod"))
        async with self._alone(pod.uid):
            record = self._store.get(pod.uid)
            if record is not None and record.stage == "deleting":
                raise Refusal(409, f"the pod {pod.metadata.name} is being deleted")
            if record is not None and record.answer is not None and not record.job_id:
                raise Refusal(422, why(record.answer))
            if record is None or record.stage in ("submitting", "unsure"):
                made = self._plan(pod, body)
                known = record or await self._accept(pod, body)
                try:
                    record = await self._hand_over(known, made, new=record is None)
                except Refusal as error:
                    if error.status == 503:
                        self._store.update(pod.uid, "unsure")
                    raise
        return {"PodUID": record.pod["metadata"]["uid"], "PodJID": record.job_id}

    async def _accept(self, pod: Pod, body: dict[str, Any]) -> Record:
        """Put the pod on disk: from here on it is not lost."""
        record = Record(
            uid=pod.uid,
            stage="submitting",
            pod=pruned(pod, body["pod"]),
            account=self._account_name(pod),
            folder=str(self.folders.job(pod.uid)),
            job={
                "cpus": pod.cpus(),
                "memory": pod.memory(),
                "gpus": pod.gpus(),
                "walltime": pod.spec.deadline,
                "grace": pod.grace(),
                "flags": list(pod.flags()),
            },
        )
        await asyncio.to_thread(self.folders.keep_request, pod.uid, body)
        self._store.add(record)
        return record

    async def _hand_over(self, record: Record, made: Plan | None, *, new: bool) -> Record:
        """Submit the job, unless an attempt that was cut off did; leave nothing of a refused one.

        Without a plan it only looks for the job.

        Raises:
            Refusal: 503 when it is not known whether there is a job now; otherwise there is none.

        """
        try:
            job_id = None if new else await self.driver.find(record.uid)
            if job_id is None and made is None:
                raise BatchSystemDown("the batch system has no job for it: send it again")
            if job_id is None and made is not None:
                await self._write(record, made)
                job_id = await self.driver.submit(self.job(record))
        except BatchSystemDown as error:
            raise Refusal(503, str(error)) from None
        except (SubmitError, accounts.AccountError, OSError) as error:
            await self._clean(record)
            status = 422 if isinstance(error, SubmitError) else 500
            raise Refusal(status, str(error)) from None
        log.info("pod %s is job %s", record.uid, job_id)
        submitted = self._store.update(record.uid, "submitted", job_id=job_id)
        await asyncio.to_thread(self.folders.drop_request, record.uid)
        return submitted

    async def _write(self, record: Record, made: Plan) -> None:
        """Write the job's folder anew, as the account."""
        account, folder = self.account(record), Path(record.folder)
        if await asyncio.to_thread(folder.exists):
            await accounts.remove_folder(account, folder)
        if account is None:
            await asyncio.to_thread(write_files, folder, made.files)
        else:
            archive = await asyncio.to_thread(accounts.pack, made.files)
            await accounts.create_folder(account, folder, archive)
        if record.uid in self._unwanted:
            raise SubmitError("the pod was deleted while it was being created")

    def _plan(self, pod: Pod, body: dict[str, Any]) -> Plan:
        carried = Carried(body.get("container"))
        made = plan(pod, carried, self.settings, self.folders.job(pod.uid))
        for warning in made.warnings:
            log.warning("pod %s: %s", pod.uid, warning)
        return made

    def _account_name(self, pod: Pod) -> str | None:
        name = pod.annotation(ACCOUNT)
        if name is not None:
            try:
                self._policy.resolve(name)
            except accounts.AccountError as error:
                raise Refusal(403, str(error)) from None
        return name

    def account(self, record: Record) -> accounts.Account | None:
        """Return the account that a pod's job runs as, None for the plugin's own."""
        return None if record.account is None else self._policy.resolve(record.account)

    def job(self, record: Record) -> Job:
        """Return a pod as the driver sees it."""
        folder = Path(record.folder)
        metadata = record.pod["metadata"]
        return Job(
            uid=record.uid,
            name=metadata["name"],
            namespace=metadata["namespace"],
            account=record.account,
            folder=folder,
            argv=(*runner_command(self.settings.python, folder / RUNNER), "run", str(folder)),
            pod=record.pod,
            job_id=record.job_id,
            **{**record.job, "flags": tuple(record.job["flags"])},
        )

    async def _resume(self, uid: str) -> None:
        """Bring a submission that a crash cut off to its end.

        One that the batch system did not answer is only looked for: whoever was told so has
        sent it again since, deleted it, or given it up.
        """
        while True:
            async with self._alone(uid):
                record = self._store.get(uid)
                if record is None or record.stage not in ("submitting", "unsure"):
                    return
                body = self.folders.request(uid) if record.stage == "submitting" else None
                try:
                    made = self._plan(parse_pod(body["pod"]), body) if body else None
                    await self._hand_over(record, made, new=False)
                except Refusal as error:
                    log.warning("pod %s, taken up after a restart: %s", uid, error.message)
                    if error.status != 503:
                        self._refused_late(record, error)
                    elif record.stage == "unsure":
                        return
            await asyncio.sleep(RETRY)

    def _refused_late(self, record: Record, error: Refusal) -> None:
        """Keep a pod whose refusal nobody waits for any more, so that the next status tells it."""
        state = JobState("Terminated", "StartError", error.message)
        if self._store.get(record.uid) is None:
            self._store.add(record)
        self._store.update(record.uid, "ended", answer=answer(record, state, {}))

    async def _clean(self, record: Record) -> None:
        """Remove everything that a pod has left."""
        await accounts.remove_folder(self.account(record), Path(record.folder))
        await asyncio.to_thread(self.folders.drop_request, record.uid)
        self._store.remove(record.uid)

    # Answering

    async def status(self, manifests: Sequence[object]) -> list[dict[str, Any]]:
        """Return the states of those pods that are known, with one question to the batch system.

        Raises:
            Refusal: 503, the batch system does not answer.

        """
        return await self._answers.status(manifests)

    async def facts(self) -> dict[str, Any]:
        """Return what the batch system offers now: the answer to a ping.

        Raises:
            Refusal: 503, it does not answer.

        """
        try:
            return await self.driver.facts()
        except BatchSystemDown as error:
            raise Refusal(503, str(error)) from None

    # Deleting

    async def delete(self, manifest: object) -> bool:
        """End a pod's job and remove all it left; return whether that is done already.

        What is not done yet goes on, after a restart too. No error when the pod is not known.
        """
        uid = identity(manifest)
        self._unwanted.add(uid)
        try:
            async with self._alone(uid):
                record = self._store.get(uid)
                if record is not None:
                    await shorten(record, manifest, self.account)
                    self._store.update(uid, "deleting")
        finally:
            self._unwanted.discard(uid)
        if record is None:
            return True
        done, _ = await asyncio.wait([self._begin_end(uid)], timeout=DELETE_WAIT)
        return bool(done)

    def _begin_end(self, uid: str) -> asyncio.Task[None]:
        task = self._endings.get(uid)
        if task is None:
            task = self._endings[uid] = asyncio.create_task(self._end(uid))
            task.add_done_callback(lambda _: self._endings.pop(uid, None))
        return task

    async def _end(self, uid: str) -> None:
        """End the job and clean up, however long the batch system stays away."""
        pause = RETRY
        while (record := self._store.get(uid)) is not None:
            try:
                job = self.job(record)
                state = await self._cancel(job) if record.answer is None else None
                await self._answers.last(record, state)
                await self.driver.forget(job)
                await self._clean(record)
                log.info("pod %s is deleted", uid)
            except Exception as error:
                log.warning("pod %s cannot be deleted yet: %s", uid, error or type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_RETRY)

    async def _cancel(self, job: Job) -> JobState | None:
        """End a job and return how it ended."""
        loop = asyncio.get_running_loop()
        while True:
            await self.driver.cancel(job)
            until = loop.time() + CANCEL_AGAIN
            while loop.time() < until:
                state = (await self.driver.states([job])).get(job.uid)
                if state is None or state.phase == "Terminated":
                    return state
                await asyncio.sleep(ASK_AGAIN)


def _workload(record: Record) -> str:
    annotations = record.pod["metadata"].get("annotations") or {}
    return str(annotations.get("farlab/workload", ""))
