"""What a pod in Kubernetes used: as its virtual kubelet wrote, else from its containers' times."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from farlab_sites.interlink import Json
from farlab_sites.plugin.quantities import parse_quantity
from farlab_sites.usage import ANNOTATION, Usage, UsageError

log = logging.getLogger(__name__)

HOLD = "farlab/kubelet"
"""The finalizer by which one tells Farlab's own kubelet, which writes what a job used."""
GPU = "nvidia.com/gpu"
_TIME: TypeAdapter[datetime] = TypeAdapter(datetime)


def usage_of(pod: Json, *, is_virtual: bool) -> Usage | None:
    """Return what a pod used; None where nothing says so.

    Times of containers on a virtual node are the kubelet's, of which only Farlab's own is known
    to write what the batch system says a little later.
    """
    meta = pod["metadata"]
    if (written := (meta.get("annotations") or {}).get(ANNOTATION)) is not None:
        try:
            return Usage.from_json(json.loads(written))
        except (ValueError, RecursionError, UsageError) as error:
            log.warning("pod %s: its annotation %s: %s", meta.get("name"), ANNOTATION, error)
    if is_virtual and HOLD not in (meta.get("finalizers") or ()):
        return None
    return _from_times(pod, final=not is_virtual)


def _from_times(pod: Json, *, final: bool) -> Usage | None:
    """Return what the containers' times say; None before one has started."""
    meta, status = pod["metadata"], pod.get("status") or {}
    runs = list(_runs(status))
    started = min((start for start, _ in runs if start is not None), default=None)
    if started is None:
        return None
    ends = [end for _, end in runs if end is not None]
    over = status.get("phase") in ("Succeeded", "Failed") and bool(ends)
    containers = (pod.get("spec") or {}).get("containers") or []
    asked = {name: sum(_asked(one, name) for one in containers) for name in ("cpu", "memory", GPU)}
    return Usage(
        job_id=(meta.get("annotations") or {}).get("JobID") or meta.get("uid") or meta["name"],
        submitted=_epoch(meta.get("creationTimestamp")),
        started=started,
        ended=max(ends) if over else None,
        cores=asked["cpu"],
        gpus=asked[GPU],
        memory=int(asked["memory"]),
        state=str(status.get("reason") or status.get("phase") or ""),
        source="kubelet",
        final=final and over,
    )


def _runs(status: Json) -> Iterator[tuple[float | None, float | None]]:
    """Yield when each container of a pod started and ended, its earlier run too."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for told in status.get(kind) or ():
            for state in (told.get("lastState") or {}, told.get("state") or {}):
                for part in ("running", "terminated"):
                    if said := state.get(part):
                        yield _epoch(said.get("startedAt")), _epoch(said.get("finishedAt"))


def _asked(container: Json, resource: str) -> float:
    """Return what a container is given: what it asks for, else its limit."""
    resources = container.get("resources") or {}
    for kind in ("requests", "limits"):
        if (amount := (resources.get(kind) or {}).get(resource)) is not None:
            try:
                return float(parse_quantity(amount))
            except ValueError:
                return 0.0
    return 0.0


def _epoch(text: object) -> float | None:
    try:
        return _TIME.validate_python(text).timestamp() if text else None
    except ValidationError:
        return None
