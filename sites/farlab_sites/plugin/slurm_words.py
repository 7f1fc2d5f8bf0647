"""Slurm's words and what they mean to the user: why a job waits, how it ended, why it was refused.

From Slurm's own pages (squeue(1), "JOB STATE CODES" and "JOB REASON CODES") and its sources.
"""

from __future__ import annotations

import signal

from farlab_sites.plugin.driver import Reason

ASK = "ask the site's operator"

WAITING: dict[str, str] = {
    "None": "Slurm has not looked at the job yet",
    "Resources": "Waiting for resources",
    "Priority": "Waiting behind jobs of higher priority",
    "Dependency": "Waiting for another job to end",
    "BeginTime": "Waiting for the start time that was asked for",
    "Licenses": "Waiting for a licence",
    "Reservation": "Waiting for its reservation to begin",
    "ReqNodeNotAvail": "Nodes that the job needs are not available now",
    "NodeDown": "A node that the job needs is down",
    "PartitionDown": "The partition is down; jobs start when it is back",
    "PartitionInactive": "The partition accepts no jobs now; jobs start when it is back",
    "FrontEndDown": "Slurm's front end is down",
    "Cleaning": "An earlier run of the job is being cleaned up",
    "Prolog": "A node is being prepared for the job",
    "JobArrayTaskLimit": "Waiting for other tasks of the same array",
    "SchedDefer": "Slurm puts off scheduling for a moment",
    "Reboot": "Waiting for nodes to restart",
    "QOSMaxJobsPerUserLimit": "You run as many jobs as your quality of service allows",
    "AssocMaxJobsLimit": "Your account runs as many jobs as it may",
    "QOSMaxCpuPerUserLimit": "You use as many CPUs as your quality of service allows",
    "QOSMaxGRESPerUser": "You use as many GPUs as your quality of service allows",
}

NEVER: dict[str, str] = {
    "PartitionTimeLimit": "The time asked for is longer than the partition allows: choose less",
    "PartitionNodeLimit": "More nodes were asked for than the partition has: choose less",
    "PartitionConfig": "The partition can't give what was asked for: choose less",
    "BadConstraints": "No node can give what was asked for: choose less",
    "DependencyNeverSatisfied": "The job depends on one that failed",
    "JobHeldAdmin": f"The site holds the job back: {ASK}",
    "JobHeldUser": "The job is held back by its own user (scontrol release lets it go)",
    "InvalidAccount": f"The Slurm account is not valid: {ASK}",
    "InvalidQOS": f"The quality of service is not valid: {ASK}",
    "AccountNotAllowed": f"The partition does not admit this Slurm account: {ASK}",
    "QOSNotAllowed": f"The partition does not admit this quality of service: {ASK}",
    "JobLaunchFailure": f"The job could not be launched: {ASK}",
    "QOSJobLimit": "The quality of service is at its limit of jobs",
    "QOSTimeLimit": "The time asked for is longer than the quality of service allows",
}

ENDED: dict[str, tuple[Reason, str]] = {
    "COMPLETED": ("Completed", "The job ended by itself"),
    "FAILED": ("Error", "The job failed"),
    "CANCELLED": ("Cancelled", "The job was cancelled at the site (scancel)"),
    "TIMEOUT": ("DeadlineExceeded", "The job reached its time limit: choose a longer one"),
    "DEADLINE": ("DeadlineExceeded", "The job could not end before its deadline"),
    "NODE_FAIL": ("NodeFailure", "The node failed that the job ran on: start again"),
    "BOOT_FAIL": ("NodeFailure", "The node did not start up for the job: start again"),
    "OUT_OF_MEMORY": ("OOMKilled", "The job used more memory than it asked for: choose more"),
    "PREEMPTED": ("Preempted", "A job of higher priority took the job's place: start again"),
    "REVOKED": ("Error", "Slurm took the job back, another cluster of its federation runs it"),
}

RUNNING: dict[str, str] = {
    "RUNNING": "",
    "CONFIGURING": "The nodes are being made ready",
    "COMPLETING": "The job is ending",
    "STAGE_OUT": "The job's files are being copied",
    "SIGNALING": "The job is being told to end",
    "STOPPED": "The site has stopped the job for a while (SIGSTOP); it goes on later",
    "SUSPENDED": "The site has suspended the job; it goes on later where it was",
    "RESIZING": "The job's size is being changed",
}

ADVICE: tuple[tuple[str, str], ...] = (
    ("partition specified", f"The partition in the site's catalogue does not exist: {ASK}."),
    ("partition name", f"The partition in the site's catalogue does not exist: {ASK}."),
    ("Invalid account", f"The local account may not use this partition or project: {ASK}."),
    ("group not permitted", f"The local account may not use this partition: {ASK}."),
    ("time limit", "Choose a shorter time."),
    ("--time", "Choose another time."),
    ("generic resource", f"This site has no such GPU or device: choose another, or {ASK}."),
    ("node configuration", "No node has that much: choose less CPU, memory or fewer GPUs."),
    ("Memory specification", "No node has that much memory: choose less."),
    ("CPU count", "No node has that many CPUs: choose fewer."),
    ("qos", f"The quality of service is not yours to use: {ASK}."),
    ("QOS", "A limit of your account at this site is reached: end other jobs, or choose less."),
    ("accounting", "A limit of your account at this site is reached: end other jobs."),
    ("feature", f"No node has the feature that the catalogue asks for: {ASK}."),
    ("reservation", f"The reservation does not exist or is not yours: {ASK}."),
    ("license", f"The site has no such licence: {ASK}."),
    ("node name", f"The catalogue names a node that does not exist: {ASK}."),
    ("user id", f"Slurm does not know the local account: {ASK}."),
)

DOWN: tuple[str, ...] = (
    "Unable to contact",
    "Socket timed out",
    "Connection refused",
    "Zero Bytes",
    "standby",
    "Munge",
    "munge",
    "authentication",
    "Authentication",
    "Unexpected message",
    "temporarily unable",
    "temporarily unavailable",
    "configuration source",
    "I/O error writing",
    "Transport endpoint",
    "Connection reset",
    "Job creation disabled",
)


def waiting(reason: str) -> str:
    """Return why a job waits, as a sentence without a full stop, with Slurm's word in brackets."""
    word = reason.partition(",")[0].strip()
    if word in ("", "None"):
        return WAITING["None"]
    known = WAITING.get(word) or NEVER.get(word)
    if known:
        return f"{known} ({reason})"
    limited = word.startswith(("QOS", "Assoc", "Max"))
    text = "A limit of your account is reached" if limited else "Slurm holds the job back"
    return f"{text} ({reason})"


def ended(state: str, reason: str, status: int) -> tuple[Reason, str]:
    """Return Kubernetes' reason and a sentence for a job that ended.

    `status` is the job's wait status: exit code times 256 plus the signal.
    """
    kind, text = ENDED.get(state, ("Error", f"The job ended in a state Slurm calls {state}"))
    if state == "FAILED":
        kind, text = _failed(reason, status)
    shown = state if reason in {"", "None", "NonZeroExitCode"} else f"{state}, {reason}"
    return kind, f"{text} ({shown})."


def _failed(reason: str, status: int) -> tuple[Reason, str]:
    number, code = status & 0x7F, status >> 8
    if reason == "JobLaunchFailure" and (number > signal.SIGSYS or not number):
        return "StartError", f"The node could not start the job: start again, or {ASK}"
    if number == signal.SIGKILL or code == 128 + signal.SIGKILL:
        return "Error", "The job was killed (SIGKILL), most often for using too much memory"
    if number:
        return "Error", f"The job was ended by signal {number}"
    if code:
        return "Error", f"The job ended with exit code {code}"
    return "Error", "The job failed"


def exit_code(status: int) -> int:
    """Return the exit code of a wait status, as a shell has it: 128 + the signal."""
    number = status & 0x7F
    return 128 + number if number else status >> 8


def refusal(words: str) -> str:
    """Return Slurm's own words about a refused submission, and what to do."""
    lines = [_stripped(line) for line in words.splitlines() if line.strip()]
    said = "; ".join(dict.fromkeys(lines)) or "Slurm refused the job without a word"
    advice = next((text for part, text in ADVICE if part in said), f"If it stays so, {ASK}.")
    return f"{said}. {advice}"


def _stripped(line: str) -> str:
    text = line.strip()
    for prefix in ("sbatch: ", "error: ", "fatal: ", "Batch job submission failed: "):
        text = text.removeprefix(prefix)
    return text.rstrip(".")


def is_down(words: str) -> bool:
    """Say whether an error is about Slurm not answering, not about what was asked."""
    return any(part in words for part in DOWN)
