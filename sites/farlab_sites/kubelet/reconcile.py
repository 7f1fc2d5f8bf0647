"""One loop: the pods that are bound to this node, against what the backend knows of them.

Nothing is kept on disk. A pod's finalizer says that the backend may have a job for it, its
annotation `JobID` which one; both are written to the API server before and after the job is asked
for. So whoever kills the kubelet at any moment finds each pod again, and each job.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from farlab_sites.carriers import CarrierError
from farlab_sites.kubelet.api import ApiAway, ApiError, Json
from farlab_sites.kubelet.backend import Backend
from farlab_sites.kubelet.begin import Beginner
from farlab_sites.kubelet.end import Ender
from farlab_sites.kubelet.events import Events
from farlab_sites.kubelet.metering import Meters
from farlab_sites.kubelet.pods import Pod, identity
from farlab_sites.kubelet.status import Rubbish, failed_status, told_status
from farlab_sites.kubelet.writer import StatusWriter

log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0  # seconds before a pod is tried again
LONGEST_PAUSE = 10.0
LOST_AFTER = 15.0  # seconds that a backend may leave out a job before its pod is given up
NOTE_FOR = 120.0  # seconds that an ended job's usage is asked for
MEASURED = ("usage", "live")  # parts of an answer that are no part of a pod's status
QUEUED_AFTER = 3.0  # seconds that a job may wait before an event says so


@dataclass
class Work:
    """What goes on for one pod."""

    task: asyncio.Task[None] | None = None
    again_at: float = 0.0
    pause: float = FIRST_PAUSE
    told: Json | None = None
    """The backend's last answer: only a change is written."""
    missing_since: float | None = None
    over_since: float | None = None
    since: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self.task is not None and not self.task.done()


class Reconciler:
    """Follows the pods and brings each one, by itself, to where it belongs."""

    def __init__(
        self,
        backend: Backend,
        beginner: Beginner,
        ender: Ender,
        *,
        writer: StatusWriter,
        events: Events,
        meters: Meters,
        interval: float,
    ) -> None:
        self._backend = backend
        self._beginner = beginner
        self._ender = ender
        self._writer = writer
        self._events = events
        self._meters = meters
        self._interval = interval
        self.pods: dict[str, Pod] = {}
        self._works: dict[str, Work] = {}
        self._orphans: dict[str, Pod] = {}
        self.synced = asyncio.Event()
        self._changed = asyncio.Event()
        self._silent = False

    # What the watch tells

    def known(self) -> set[str]:
        """Return the uids of all pods."""
        return set(self.pods)

    def seen(self, pod: Pod) -> None:
        """Take a pod as it is now, and act on it at once."""
        old = self.pods.get(pod.uid)
        work = self._works.setdefault(pod.uid, Work(since=time.monotonic()))
        if old is not None:
            if _older(pod.version, old.version):
                return
            if pod.deleting and not old.deleting:
                work.again_at = 0.0
            if (pod.phase, pod.ready) != self._writer.written(pod.uid):
                work.told = None  # somebody else wrote: the truth is written again
            old.take(pod)
        pod = self.pods.setdefault(pod.uid, pod)
        if self.synced.is_set():
            self._act(pod, work)

    def gone(self, uid: str) -> None:
        """Take note that a pod is not there any more; its job must not be either."""
        pod = self.pods.pop(uid, None)
        work = self._works.get(uid)
        self._events.forget(uid)
        self._writer.forget(uid)
        self._changed.set()
        if pod is None:
            self._works.pop(uid, None)
        elif not pod.over and (pod.held or pod.job_id or (work and work.busy)):
            pod.deleting = True
            self._orphans[uid] = pod
        else:
            self._works.pop(uid, None)

    def recovered(self) -> None:
        """Try again at once what waited for the site."""
        for work in self._works.values():
            work.again_at, work.pause = 0.0, FIRST_PAUSE

    def find(self, namespace: str, name: str) -> Pod | None:
        """Return a pod by its name; None where none is on this node."""
        found = (p for p in self.pods.values() if p.name == name and p.namespace == namespace)
        return next(found, None)

    async def finished(self, uids: set[str]) -> None:
        """Return when these pods are gone and their jobs have ended."""
        while uids & {*self.pods, *self._orphans}:
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        """Stop what is under way; it is taken up at the next start."""
        tasks = [work.task for work in self._works.values() if work.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # The loop

    async def run(self) -> None:
        """Act on every pod, and ask for the state of all, for as long as it runs."""
        await self.synced.wait()
        # Side by side: a site that takes long to answer keeps no pod from being begun or ended.
        await asyncio.gather(self._rounds(self._act_on_all), self._rounds(self._ask))

    async def _rounds(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            begun = time.monotonic()
            try:
                await step()
            except Exception:
                log.exception("a round failed; the next one follows")
            rest = self._interval - (time.monotonic() - begun)
            await asyncio.sleep(max(rest, self._interval / 4))

    async def _act_on_all(self) -> None:
        for uid, pod in list(self.pods.items()):
            self._act(pod, self._works[uid])
        for uid, pod in list(self._orphans.items()):
            self._act(pod, self._works[uid])

    def _act(self, pod: Pod, work: Work) -> None:
        """Start what the pod needs, unless something is under way or it is too early."""
        if work.busy or time.monotonic() < work.again_at:
            return
        if pod.uid in self._orphans:
            work.task = asyncio.create_task(self._guarded(pod, work, self._drop(pod)))
        elif pod.deleting and pod.removed:
            return
        elif pod.deleting:
            work.task = asyncio.create_task(self._guarded(pod, work, self._ender.end(pod)))
        elif not pod.ended and (not pod.job_id or pod.packed is not None):
            work.task = asyncio.create_task(self._guarded(pod, work, self._beginner.begin(pod)))

    async def _guarded(self, pod: Pod, work: Work, step: Coroutine[Any, Any, bool]) -> None:
        """Run a step; one that is not through is tried again later, ever more rarely."""
        through = False
        try:
            through = await step
        except ApiAway as error:
            # The watch says so in the log, once for all pods.
            log.debug("pod %s/%s: %s", pod.namespace, pod.name, error)
        except ApiError as error:
            # 404 and 409: the pod is gone or another one has its name; the watch will tell.
            if error.status not in (404, 409):
                log.warning("pod %s/%s: %s", pod.namespace, pod.name, error)
        except Exception:
            log.exception("pod %s/%s: a step failed", pod.namespace, pod.name)
        if through:
            work.pause, work.again_at = FIRST_PAUSE, 0.0
        else:
            work.again_at = time.monotonic() + work.pause
            work.pause = min(2 * work.pause, LONGEST_PAUSE)

    async def _drop(self, pod: Pod) -> bool:
        """End the job of a pod that is gone."""
        if not await self._ender.end_job(pod):
            return False
        self._orphans.pop(pod.uid, None)
        self._works.pop(pod.uid, None)
        self._changed.set()
        return True

    # The state of all

    async def _ask(self) -> None:
        """Ask for every pod with a job, with one request, and write what has changed."""
        self._meters.forget(self.pods)
        asked = [p for p in self.pods.values() if p.job_id and not p.deleting and self._open(p)]
        if not asked:
            return
        try:
            answers = await self._backend.status([identity(pod) for pod in asked])
        except CarrierError as error:
            if not self._silent:
                log.warning("the state of the pods is not known: %s", error)
            self._silent = True
            return
        self._silent = False
        for pod in asked:
            work = self._works.get(pod.uid)
            if work is None or work.busy or pod.uid not in self.pods:
                continue
            if time.monotonic() < work.again_at:
                continue
            answer = answers.get(pod.uid)
            if answer is None:
                self._missing(pod, work)
                continue
            work.missing_since = None
            if pod.ended:
                step = self._meters.note(pod, answer)
                work.task = asyncio.create_task(self._guarded(pod, work, step))
                continue
            self._meters.take(pod, answer)
            answer = {key: part for key, part in answer.items() if key not in MEASURED}
            if answer != work.told:
                step = self._write(pod.uid, work, answer)
                work.task = asyncio.create_task(self._guarded(pod, work, step))

    def _open(self, pod: Pod) -> bool:
        """Tell whether there is still something to learn of a pod's job."""
        if not pod.ended:
            return True
        now, work = time.monotonic(), self._works[pod.uid]
        work.over_since = work.over_since or now
        return self._meters.needed(pod) and now - work.over_since < NOTE_FOR

    async def _write(self, uid: str, work: Work, answer: Json) -> bool:
        pod = self.pods.get(uid)
        if pod is None or pod.deleting:
            return True
        try:
            status = told_status(pod, answer, self._writer.host_ip, datetime.now(UTC))
        except Rubbish as error:
            log.warning("pod %s/%s: the site says what makes no sense: %s",
                        pod.namespace, pod.name, error)  # fmt: skip
            work.told = answer
            return True
        try:
            await self._writer.write(pod, status)
        except ApiError as error:
            if isinstance(error, ApiAway) or error.status in (404, 409):
                raise
            log.warning("pod %s/%s: %s", pod.namespace, pod.name, error)
        work.told = answer
        self._say(pod, work, status)
        return True

    def _say(self, pod: Pod, work: Work, status: Json) -> None:
        """Write an event where the state itself is not enough for people."""
        message = status.get("message")
        if status["phase"] == "Failed":
            self._events.tell(pod, "Warning", status["reason"] or "Failed", message or "it failed")
            return
        late = time.monotonic() - work.since > QUEUED_AFTER
        if status["phase"] == "Pending" and message and late:
            self._events.tell(pod, "Normal", status["reason"] or "Queued", message)

    def _missing(self, pod: Pod, work: Work) -> None:
        """Give a pod up whose job the backend has not known for a while."""
        now = time.monotonic()
        work.missing_since = work.missing_since or now
        if pod.ended or now - work.missing_since < LOST_AFTER:
            return
        message = f"the site does not know the pod's job {pod.job_id} any more"
        self._events.tell(pod, "Warning", "JobLost", message)
        status = failed_status(pod, "JobLost", message, self._writer.host_ip, datetime.now(UTC))
        step = self._writer.write(pod, status)
        work.task = asyncio.create_task(self._guarded(pod, work, step))


def _older(version: str, than: str) -> bool:
    """Tell whether a version is older: an answer can overtake the watch."""
    return version.isdigit() and than.isdigit() and int(version) < int(than)
