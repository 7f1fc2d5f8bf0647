"""What a plugin's word about a pod means for its workload: pure functions of both."""

from __future__ import annotations

from dataclasses import replace

from farlab_sites.carriers import PodStatus

from .models import SERVER, Change, Workload
from .states import State
from .words import exit_words, running_reason

IDLE_END = Change(
    state=State.FINISHED,
    reason="Idle",
    message="The kernel did nothing for as long as the site allows, so it was ended.",
    exit_code=79,  # of farlab_kernels.keeper
)


def judge(workload: Workload, status: PodStatus, lost: str = "") -> Change:
    """Return what a pod's status says about its workload.

    `lost` is the word about a lost connection to the agent, empty when there is none.
    """
    if status.phase == "Waiting" and workload.agent and not lost:
        # The agent is here, so the job runs: the plugin's answer is older than that.
        return Change(job_id=status.job_id or None)
    if status.phase == "Waiting":
        return Change(
            state=State.QUEUED,
            reason=status.reason or "Waiting",
            message=status.message,
            job_id=status.job_id or None,
        )
    if status.phase == "Running":
        return _running(workload, status, lost)
    return _ended(workload, status)


def _running(workload: Workload, status: PodStatus, lost: str) -> Change:
    node = status.node or workload.node
    # A server that the hub reaches at its pod has no agent to say so: the hub itself looks.
    at_pod = workload.kind == SERVER and not workload.listeners
    state = State.READY if at_pod or workload.state == State.READY else State.STARTING
    return Change(
        state=state,
        reason=running_reason(workload, node, lost),
        # A starting server's last log line is its message.
        message=None if workload.state == State.STARTING else "",
        job_id=status.job_id or None,
        node=node,
        deadline=_deadline(workload, status),
    )


def _deadline(workload: Workload, status: PodStatus) -> float | None:
    if workload.walltime is None or status.started_at is None:
        return None
    return status.started_at.timestamp() + workload.walltime


def _ended(workload: Workload, status: PodStatus) -> Change:
    if _was_idle(workload, status.exit_code):
        return replace(IDLE_END, job_id=status.job_id or None, node=status.node or None)
    good = status.phase == "Succeeded"
    message = status.message
    # A signal's or a shell's code says more than "Error"; the site's own reason says most.
    if not message or status.reason in ("", "Error", "Completed"):
        message = " ".join(filter(None, [exit_words(workload.kind, status.exit_code), message]))
    return Change(
        state=State.FINISHED if good else State.FAILED,
        reason=status.reason or ("Completed" if good else "Error"),
        message=message,
        job_id=status.job_id or None,
        node=status.node or None,
        exit_code=status.exit_code,
    )


def lost_job(workload: Workload, *, in_kubernetes: bool) -> Change:
    """Return what it means that a site does not know a job that it took."""
    if in_kubernetes:
        name = workload.pod["metadata"]["name"]
        words = f"Its pod {name} is gone from Kubernetes: it was deleted while nobody looked."
        return Change(state=State.FAILED, reason="Deleted", message=words)
    job = f"job {workload.job_id}" if workload.job_id else "the job"
    return Change(
        state=State.FAILED,
        reason="Lost",
        message=f"The site lost {job}: it does not know it any more.",
    )


def _was_idle(workload: Workload, code: int | None) -> bool:
    return workload.kind == "kernel" and code == IDLE_END.exit_code


def payload_ended(workload: Workload, code: int | None, message: str = "") -> Change:
    """Return what it means that the agent saw its payload end; `message` is its own word."""
    if _was_idle(workload, code):
        return IDLE_END
    good = code == 0
    return Change(
        state=State.FINISHED if good else State.FAILED,
        reason="Completed" if good else "Error",
        message=message or exit_words(workload.kind, code),
        exit_code=code,
    )
