"""From a pod that is to be deleted to nothing: first its job ends, then the pod goes."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime

from farlab_sites.carriers import CarrierError
from farlab_sites.kubelet.api import Api, ApiError
from farlab_sites.kubelet.backend import Backend
from farlab_sites.kubelet.events import Events
from farlab_sites.kubelet.metering import Meters, wanted
from farlab_sites.kubelet.pods import HOLD, Pod, identity
from farlab_sites.kubelet.status import failed_status
from farlab_sites.kubelet.writer import StatusWriter

log = logging.getLogger(__name__)

NOTE_WITHIN = 10.0  # seconds that a deleted pod waits for the batch system's accounting
NOTE_EVERY = 0.5
AT_ONCE = 64  # jobs that are ended at once: each may take its pod's grace period


class Ender:
    """Ends pods; every step can be repeated."""

    def __init__(
        self, api: Api, backend: Backend, *, writer: StatusWriter, events: Events, meters: Meters
    ) -> None:
        self._api = api
        self._meters = meters
        self._backend = backend
        self._writer = writer
        self._events = events
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def end(self, pod: Pod) -> bool:
        """End the pod's job and remove the pod; return whether both are done."""
        if not pod.over and not await self.end_job(pod):
            return False
        await self._note(pod)
        if pod.shared and not pod.ended:
            # Whoever else holds on to it, such as a Job's controller, waits for a final phase.
            words = "Deleted", "the pod was deleted"
            now = datetime.now(UTC)
            await self._writer.write(pod, failed_status(pod, *words, self._writer.host_ip, now))
        await self._remove(pod)
        pod.removed = True
        return True

    async def _note(self, pod: Pod) -> None:
        """Write into the pod what its job used, if the site says so soon: then the pod goes."""
        until = time.monotonic() + NOTE_WITHIN
        while pod.job_id and self._meters.needed(pod) and time.monotonic() < until:
            try:
                answer = (await self._backend.status([wanted(pod)])).get(pod.uid)
                if answer is None or "usage" not in answer or await self._meters.note(pod, answer):
                    return
            except (CarrierError, ApiError) as error:
                log.debug("pod %s/%s: %s", pod.namespace, pod.name, error)
                return
            await asyncio.sleep(NOTE_EVERY)

    async def end_job(self, pod: Pod) -> bool:
        """End the job if there may be one; return whether it has ended."""
        if not (pod.held or pod.job_id):
            pod.over = True
            return True
        try:
            async with self._slots:
                pod.over = await self._backend.delete(identity(pod))
            return pod.over
        except CarrierError as error:
            message = f"its job could not be ended yet: {error}"
            self._events.tell(pod, "Warning", "FailedDelete", message)
            return False

    async def _remove(self, pod: Pod) -> None:
        """Delete the pod at once, then let go of it.

        The grace period and the uid stand in the body: with a body, the API server does not look
        at the query.
        """
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": pod.uid},
        }
        try:
            await self._api.call("DELETE", pod.path, body=body)
            if pod.held:
                meta = {"uid": pod.uid, "$deleteFromPrimitiveList/finalizers": [HOLD]}
                await self._api.patch(pod.path, {"metadata": meta}, "strategic")
        except ApiError as error:
            if error.status not in (404, 409):  # gone, or another pod has the name now
                raise
