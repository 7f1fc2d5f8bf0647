"""A pod's answer to /status: what the batch system says, joined with the pod runner's report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from farlab_sites.plugin.driver import JobState
from farlab_sites.plugin.store import Record

Json = dict[str, Any]

# What a batch system knows better than the pod runner, which only saw a signal.
_OVERRULING = {"OOMKilled", "DeadlineExceeded", "Cancelled", "NodeFailure", "Preempted"}
KILLED = 137
REPORT_LIMIT = 1 << 20  # bytes of a pod runner's report; it is the account's file
WORD, SENTENCE = 60, 2000  # characters that are taken from the account's file


def parse_report(text: bytes | None) -> Json:
    """Return the pod runner's status.json; empty when there is none that makes sense.

    The file belongs to the account, so it may hold anything.
    """
    try:
        report = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(report, dict) or not isinstance(report.get("containers"), dict):
        return {}
    return report


def answer(record: Record, state: JobState, report: Json) -> Json:
    """Return the pod's entry in the answer to /status."""
    metadata = record.pod["metadata"]
    return {
        "name": metadata["name"],
        "UID": metadata["uid"],
        "namespace": metadata["namespace"],
        "JID": record.job_id,
        "node": state.node or _text(report.get("node"), WORD),
        "containers": list(_statuses(record, "containers", state, report)),
        "initContainers": list(_statuses(record, "initContainers", state, report)),
    }


def _statuses(record: Record, kind: str, state: JobState, report: Json) -> Iterator[Json]:
    for container in record.pod["spec"][kind]:
        found = report.get("containers", {}).get(container["name"])
        told = found if isinstance(found, dict) else {}
        spec = record.pod["spec"]
        alone = not spec["initContainers"] and len(spec[kind]) == 1
        only = alone and not spec.get("watched", False)
        inner = container_state(state, told, trust_job=only)
        ended = inner.get("terminated", {})
        running = "running" in inner
        last = told.get("last")
        yield {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "restartCount": _count(told.get("restarts")),
            "ready": (running and told.get("ready") is not False)
            or (kind == "initContainers" and _well(ended)),
            "started": running and told.get("started") is not False,
            "state": inner,
            "lastState": {"terminated": _ended(state, last)} if isinstance(last, dict) else {},
        }


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 < value < 1 << 31 else 0


def _well(ended: Json) -> bool:
    return bool(ended) and ended["exitCode"] == 0


def container_state(state: JobState, told: Json, *, trust_job: bool) -> Json:
    """Return a v1.ContainerState.

    `told` is the runner's word on this container. While the job runs and the runner has said
    nothing, a pod's only container runs (`trust_job`), any other one still waits for its turn.
    """
    if told.get("state") == "terminated":
        return {"terminated": _ended(state, told)}
    if state.phase == "Terminated":
        return {"terminated": _cut_off(state, told)}
    if state.phase == "Running" and told.get("state") == "waiting" and told.get("reason"):
        words = {"reason": _text(told["reason"], WORD)}
        return {"waiting": words | {"message": _text(told.get("message"), SENTENCE)}}
    if state.phase == "Running" and (told.get("state") == "running" or trust_job):
        started = told.get("started_at") or state.started_at
        return {"running": {"startedAt": timestamp(started)}}
    if state.phase == "Running":
        return {"waiting": {"reason": "PodInitializing", "message": "Waiting for its turn."}}
    return {"waiting": {"reason": state.reason or "Pending", "message": state.message}}


def _ended(state: JobState, told: Json) -> Json:
    """Return how a container ended by the runner's word, unless the batch system ended it."""
    code = _number(told.get("exit_code"), 1)
    reason, message = _text(told.get("reason"), WORD), _text(told.get("message"), SENTENCE)
    by_signal = code > 128 or reason == "Cancelled"
    if state.phase == "Terminated" and state.reason in _OVERRULING and by_signal:
        reason, message = state.reason, state.message or message
    return {
        "exitCode": code,
        "reason": reason or ("Error" if code else "Completed"),
        "message": message,
        "startedAt": timestamp(told.get("started_at")),
        "finishedAt": timestamp(told.get("finished_at")),
    }


def _cut_off(state: JobState, told: Json) -> Json:
    """Return the end of a container whose runner could not tell: it was killed, or never ran."""
    code = state.exit_code
    if code is None or (code == 0 and state.reason != "Completed"):
        code = KILLED
    reason = state.reason or ("Error" if code else "Completed")
    message = state.message or ("" if code == 0 else "The job ended before it could say why.")
    started = told.get("started_at") or state.started_at or state.finished_at
    return {
        "exitCode": code,
        "reason": reason,
        "message": message,
        "startedAt": timestamp(started),
        "finishedAt": timestamp(state.finished_at or datetime.now(UTC)),
    }


def _number(value: object, default: int) -> int:
    return value & 0xFF if isinstance(value, int) else default


def _text(value: object, limit: int) -> str:
    return value[:limit] if isinstance(value, str) else ""


def timestamp(value: object) -> str | None:
    """Return a moment as Kubernetes writes it; None for what is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            value = datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError):
            return None
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def why(told: Json) -> str:
    """Return what was told of a pod that never became a job."""
    return str(told["containers"][0]["state"]["terminated"]["message"])


def not_submitted(record: Record) -> JobState:
    """Return the state of a pod that no job is known of yet."""
    if record.stage == "unsure":
        message = "The batch system did not answer when the job was handed over: send it again."
    else:
        message = "The job is being handed to the batch system."
    return JobState("Waiting", "Submitting", message)


def worth_reading(record: Record, state: JobState) -> bool:
    """Tell whether the runner's report can say more than the batch system does."""
    spec = record.pod["spec"]
    several = len(spec["containers"]) + len(spec["initContainers"]) > 1
    watched = several or spec.get("watched", False)
    return state.phase == "Terminated" or (state.phase == "Running" and watched)
