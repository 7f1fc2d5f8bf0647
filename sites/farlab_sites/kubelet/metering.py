"""What the pods of this node use: for the metrics endpoints, and for who adds it up afterwards."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from farlab_sites.kubelet.api import Api, Json
from farlab_sites.kubelet.pods import Pod, identity
from farlab_sites.usage import ANNOTATION, Usage, UsageError

log = logging.getLogger(__name__)

LINGER = 180.0  # seconds for which a pod that is gone is still told of: a last scrape


@dataclass
class Meter:
    """What one pod was seen to use."""

    pod: Pod
    live: Json = field(default_factory=dict)  # cpu_s, cores, memory, at
    usage: Usage | None = None
    gone_at: float | None = None  # monotonic clock

    @property
    def cpu_s(self) -> float | None:
        """CPU seconds used until now."""
        final = self.usage.cpu_s if self.usage else None
        said = final if final is not None else self.live.get("cpu_s")
        return float(said) if isinstance(said, int | float) else None


class Meters:
    """What all pods use; those that are gone stay for a while."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._meters: dict[str, Meter] = {}
        self._noted: set[str] = set()

    def take(self, pod: Pod, answer: Json) -> None:
        """Read what a site's answer says that a pod uses."""
        meter = self._meters.setdefault(pod.uid, Meter(pod))
        meter.pod = pod
        live = answer.get("live")
        if isinstance(live, dict):
            meter.live = live
        if answer.get("usage") is not None:
            try:
                meter.usage = Usage.from_json(answer["usage"])
            except UsageError as error:
                log.debug("pod %s/%s: %s", pod.namespace, pod.name, error)

    def all(self, pods: Mapping[str, Pod]) -> Iterator[Meter]:
        """Yield every pod of the node, and those that are gone lately."""
        self.forget(pods)
        for uid, pod in pods.items():
            self._meters.setdefault(uid, Meter(pod))
        yield from list(self._meters.values())

    def forget(self, pods: Mapping[str, Pod]) -> None:
        """Drop those that are gone for a while, whether somebody asks for metrics or not."""
        now = time.monotonic()
        for uid, meter in list(self._meters.items()):
            if uid in pods:
                meter.pod, meter.gone_at = pods[uid], None
                continue
            meter.gone_at = meter.gone_at or now
            if now - meter.gone_at > LINGER:
                del self._meters[uid]
                self._noted.discard(uid)

    def needed(self, pod: Pod) -> bool:
        """Tell whether the pod does not say yet what its job used."""
        return not pod.noted and pod.uid not in self._noted

    async def note(self, pod: Pod, answer: Json) -> bool:
        """Write into an ended pod what its job used, once that is final; return whether it is.

        A site that tells of no usage is not waited for: then the containers' times count.
        """
        self.take(pod, answer)
        usage = self._meters[pod.uid].usage if "usage" in answer else from_times(pod, answer)
        if usage is None or not usage.final:
            return False
        note = {ANNOTATION: json.dumps(usage.to_json(), separators=(",", ":"))}
        await self._api.patch(pod.path, {"metadata": {"uid": pod.uid, "annotations": note}})
        self._noted.add(pod.uid)
        return True


def from_times(pod: Pod, answer: Json) -> Usage | None:
    """Return what the containers' times say; None as long as one has not ended."""
    states = [one.get("state") for one in answer.get("containers") or () if isinstance(one, dict)]
    ends = [state.get("terminated") for state in states if isinstance(state, dict)]
    times = [(_epoch(end.get("startedAt")), _epoch(end.get("finishedAt"))) for end in ends if end]
    whole = [(start, end) for start, end in times if start is not None and end is not None]
    if not whole or len(whole) < len(pod.containers):
        return None
    return Usage(
        job_id=pod.job_id or pod.uid,
        submitted=_epoch(pod.created),
        started=min(start for start, _ in whole),
        ended=max(end for _, end in whole),
        cores=pod.asked("cpu"),
        memory=int(pod.asked("memory")),
        state=pod.phase,
        source="kubelet",
        final=True,
    )


def wanted(pod: Pod) -> Json:
    """Return a pod's identity for a question about what its job used, deleted or not."""
    body = identity(pod)
    body["metadata"]["annotations"][ANNOTATION] = "wanted"
    return body


def _epoch(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC).timestamp()
    except ValueError:
        return None
