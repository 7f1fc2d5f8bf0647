"""From a pod that was bound to the node to its job at the site."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from farlab_sites.carriers import CarrierRejected, CarrierUnreachable
from farlab_sites.kubelet.admission import refusal
from farlab_sites.kubelet.api import Api, Json
from farlab_sites.kubelet.backend import Backend
from farlab_sites.kubelet.events import Events
from farlab_sites.kubelet.pods import HOLD, JOB_ID, Pod, identity
from farlab_sites.kubelet.sources import Missing, Sources
from farlab_sites.kubelet.status import failed_status, waiting_status
from farlab_sites.kubelet.writer import StatusWriter

AT_ONCE = 32  # pods that are handed over at once


class Beginner:
    """Hands pods to the backend; every step can be repeated."""

    def __init__(
        self,
        api: Api,
        backend: Backend,
        sources: Sources,
        *,
        writer: StatusWriter,
        events: Events,
        is_up: Callable[[], bool],
    ) -> None:
        self._api = api
        self._backend = backend
        self._sources = sources
        self._writer = writer
        self._events = events
        self._is_up = is_up
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def begin(self, pod: Pod) -> bool:
        """Bring a pod to its job; return whether nothing is left to do."""
        async with self._slots:
            return pod.deleting or await self._begin(pod)

    async def _begin(self, pod: Pod) -> bool:
        if pod.job_id:  # the job is there, only its annotation could not be written
            return await self._note(pod)
        refused = refusal(pod.manifest())
        if refused is not None:
            return await self._fail(pod, refused.reason, refused.message)
        try:
            pod.job_id = await self._hand_over(pod)
        except Missing as error:
            return await self._wait(pod, "CreateContainerConfigError", str(error))
        except CarrierUnreachable as error:
            return await self._wait(pod, "SiteUnreachable", str(error))
        except CarrierRejected as error:
            return await self._fail(pod, "FailedSubmission", str(error))
        self._events.tell(pod, "Normal", "Submitted", f"handed to the site as job {pod.job_id}")
        return await self._note(pod)

    async def _hand_over(self, pod: Pod) -> str:
        """Return the job that the pod has at the site, a new one where there is none."""
        if not self._is_up():  # a ping has found out: thousands of pods need not each
            raise CarrierUnreachable("the site does not answer; waiting for it")
        resolve = self._backend.resolves
        luggage = await self._sources.pack(pod.manifest(), pod.ip, resolve=resolve)
        known = await self._adopted(pod)
        await self._hold(pod)
        return known or await self._backend.create(luggage)

    async def _adopted(self, pod: Pod) -> str:
        """Return the job that an attempt which was cut off has made; empty if there is none."""
        if not pod.held or self._backend.idempotent:
            return ""
        answer = (await self._backend.status([identity(pod)])).get(pod.uid, {})
        return str(answer.get("JID") or "")

    async def _hold(self, pod: Pod) -> None:
        """Keep the pod from vanishing while there may be a job."""
        if not pod.held:
            meta: Json = {"uid": pod.uid, "finalizers": [HOLD]}
            answer = await self._api.patch(pod.path, {"metadata": meta}, "strategic")
            pod.version, pod.held = answer["metadata"]["resourceVersion"], True

    async def _note(self, pod: Pod) -> bool:
        """Write which job it is; from here on the manifest is not needed."""
        meta: Json = {"uid": pod.uid, "annotations": {JOB_ID: pod.job_id}}
        answer = await self._api.patch(pod.path, {"metadata": meta})
        pod.version, pod.packed = answer["metadata"]["resourceVersion"], None
        return True

    async def _wait(self, pod: Pod, reason: str, message: str) -> bool:
        """Say why the pod has to wait; it is tried again."""
        self._events.tell(pod, "Warning", reason, message)
        if pod.words != (reason, message):
            now = datetime.now(UTC)
            status = waiting_status(pod, reason, message, self._writer.host_ip, now)
            await self._writer.write(pod, status)
        return False

    async def _fail(self, pod: Pod, reason: str, message: str) -> bool:
        """Give the pod up, in the words of whoever refused it."""
        self._events.tell(pod, "Warning", reason, message)
        now = datetime.now(UTC)
        status = failed_status(pod, reason, message, self._writer.host_ip, now)
        await self._writer.write(pod, status)
        pod.packed = None
        return True
