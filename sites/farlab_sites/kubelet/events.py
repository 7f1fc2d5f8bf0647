"""Kubernetes events of pods: what happens to them, in words, for `kubectl describe` and the hub."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import UTC, datetime
from typing import Literal

from farlab_sites.kubelet.api import Api, ApiError, Json
from farlab_sites.kubelet.pods import Pod
from farlab_sites.kubelet.status import stamp

log = logging.getLogger(__name__)

Kind = Literal["Normal", "Warning"]
WRITERS = 4  # events written at once: they never hold up the pods themselves
WAITING = 10_000  # events that wait for a writer; more are dropped
AGAIN = 300.0  # seconds before the same words of the same pod are written again
LONGEST = 1000  # bytes of a message that the API server takes


class Events:
    """Writes events in the background; one that can't be written is only logged."""

    def __init__(self, api: Api, node: str) -> None:
        self._api = api
        self._node = node
        self._queue: asyncio.Queue[tuple[str, Json]] = asyncio.Queue(WAITING)
        self._told: dict[str, tuple[str, float]] = {}

    def tell(self, pod: Pod, kind: Kind, reason: str, message: str) -> None:
        """Add an event of a pod, unless it was the pod's last one a moment ago."""
        words, now = f"{reason}: {message}", time.monotonic()
        last, when = self._told.get(pod.uid, ("", 0.0))
        if last == words and now - when < AGAIN:
            return
        self._told[pod.uid] = (words, now)
        log.log(
            logging.WARNING if kind == "Warning" else logging.INFO,
            "pod %s/%s: %s", pod.namespace, pod.name, words,
        )  # fmt: skip
        try:
            self._queue.put_nowait((pod.namespace, self._event(pod, kind, reason, message)))
        except asyncio.QueueFull:
            log.warning("too many events wait for the API server: one is dropped")

    def forget(self, uid: str) -> None:
        """Drop what was noted of a pod that is gone."""
        self._told.pop(uid, None)

    async def run(self) -> None:
        """Write events for as long as it runs."""
        await asyncio.gather(*(self._write() for _ in range(WRITERS)))

    async def _write(self) -> None:
        while True:
            namespace, event = await self._queue.get()
            try:
                await self._api.call("POST", f"/api/v1/namespaces/{namespace}/events", body=event)
            except ApiError as error:
                log.warning("an event could not be written: %s", error)

    def _event(self, pod: Pod, kind: Kind, reason: str, message: str) -> Json:
        now = stamp(datetime.now(UTC))
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{pod.name[:230]}.{uuid.uuid4().hex[:16]}"},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": pod.namespace,
                "name": pod.name,
                "uid": pod.uid,
            },
            "type": kind,
            "reason": reason,
            "message": message.encode()[:LONGEST].decode(errors="ignore"),
            "source": {"component": "farlab-kubelet", "host": self._node},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
