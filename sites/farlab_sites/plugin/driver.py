"""What a driver is: the part of the plugin that knows one batch system.

The plugin does the same for every site: it speaks interLink's protocol, keeps the pods, writes a
job's folder and reads its logs. A driver only submits, asks and cancels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from farlab_sites.usage import Usage

Phase = Literal["Waiting", "Running", "Terminated"]
"""Where a job is, in the words that Kubernetes has for a container."""

Reason = Literal[
    "",
    "Completed",
    "Error",
    "OOMKilled",
    "DeadlineExceeded",
    "Cancelled",
    "NodeFailure",
    "Preempted",
    "StartError",
]
"""Why a job ended, as `terminated.reason`. Empty: the driver knows only that it ended."""


class DriverError(Exception):
    """Something that a driver could not do; the message is for the user."""


class SubmitError(DriverError):
    """The batch system refused the job for good: its own words, and what to do about it."""


class BatchSystemDown(DriverError):  # noqa: N818 - it names a state of the world
    """The batch system did not answer in time: nothing is known, try again."""


@dataclass(frozen=True)
class Job:
    """One pod as a batch system sees it.

    `folder` exists, belongs to the account and holds everything that the job needs before
    `Driver.submit` is called; it is removed after the job has ended, by the plugin. The job
    runs `argv` as the account, with `folder` as the place for the batch system's own output
    (`log`). `argv` holds no secret.
    """

    uid: str  # the pod's, a UUID in its canonical form: the name of the job everywhere
    name: str  # the pod's: for people only, may hold anything a user can type
    namespace: str
    account: str | None  # the local account's name; None: the plugin's own
    folder: Path
    argv: tuple[str, ...]
    cpus: int = 1
    memory: int = 0  # bytes; 0: not limited
    gpus: int = 0
    walltime: int | None = None  # seconds; None: the batch system's default
    grace: int = 30  # seconds between the order to end and the kill
    flags: tuple[str, ...] = ()  # the annotation slurm-job.vk.io/flags, split as a shell would
    pod: dict[str, Any] = field(default_factory=dict)  # metadata and spec, without any env value
    job_id: str = ""  # the batch system's; empty before it is known

    @property
    def log(self) -> Path:
        """Return the file for the batch system's own output and the pod runner's complaints."""
        return self.folder / "job.log"


@dataclass(frozen=True)
class JobState:
    """What a batch system says of one job.

    `message` is a sentence for the user: while the job waits it holds the batch system's reason
    in words and, where known, the place in the queue and the expected start; after the end it
    says why. `exit_code` is the job's, None where only the job's folder can tell.
    """

    phase: Phase
    reason: str = ""  # while waiting: the batch system's own word; afterwards one of `Reason`
    message: str = ""
    node: str = ""
    started_at: datetime | None = None  # with a time zone
    finished_at: datetime | None = None
    exit_code: int | None = None
    submitted_at: datetime | None = None
    word: str = ""  # the batch system's own for the state
    place: int | None = None  # 1: next to start
    waiting: int | None = None  # how many wait in the same queue, this one included


class Driver(ABC):
    """One batch system. Every method has its own time limit: none may ever hang.

    A subclass is used from one asyncio event loop only and must expect that the plugin was
    killed at any moment before: what it remembers beyond the batch system itself must be on disk.
    """

    async def start(self) -> None:  # noqa: B027 - optional
        """Prepare for work, after a crash too. Called once, before anything else."""

    async def stop(self) -> None:  # noqa: B027 - optional
        """Stop what the driver runs for itself. Jobs stay: the next start finds them."""

    @abstractmethod
    async def submit(self, job: Job) -> str:
        """Hand the job to the batch system and return its id.

        Called once for a job, unless an earlier call was cut off and `find` did not see the job.

        Raises:
            SubmitError: it was refused; certain that no job exists.
            BatchSystemDown: it is not known whether a job exists now.

        """

    @abstractmethod
    async def find(self, uid: str) -> str | None:
        """Return the id of the job that a call of `submit` before a crash made for this pod.

        A submission still under way when the plugin was killed must have come to its end (or
        have been stopped) before this answers None.

        Raises:
            BatchSystemDown: the batch system did not answer.

        """

    @abstractmethod
    async def states(self, jobs: Sequence[Job]) -> dict[str, JobState]:
        """Return the state of these jobs by pod uid, with one query for all of them.

        Called every second or two: the answer may be a few seconds old, and calls at the same
        time share one query. A job that the batch system does not know any more is Terminated.

        Raises:
            BatchSystemDown: the batch system did not answer and the last answer is too old.

        """

    @abstractmethod
    async def cancel(self, job: Job) -> None:
        """End the job whatever its state: returns once the batch system has taken the order.

        No error when it has ended or never existed; `job.job_id` may be empty. The plugin then
        asks `states` until the job is Terminated and only then removes its folder.

        Raises:
            BatchSystemDown: the batch system did not answer; the plugin tries again.

        """

    async def usages(self, jobs: Sequence[Job]) -> dict[str, Usage] | None:
        """Return what the batch system's accounting has of these ended jobs, by pod uid.

        Absent: nothing yet. A usage that is not final is asked for again, with one query for all
        that are wanted, and for a minute at most. None: the batch system keeps no accounting.
        """
        return None

    async def forget(self, job: Job) -> None:  # noqa: B027 - optional
        """Drop what the driver remembers of a job that has ended: nobody asks for it again."""

    @abstractmethod
    async def facts(self) -> dict[str, Any]:
        """Return the answer to a ping: `{"status": "ok", "resources": {...}, "partitions": [...]}`.

        `resources` as in interLink (`cpu`, `memory`, `pods` as strings of Kubernetes quantities,
        `accelerators: [{"resourceType", "available"}]`); each partition is
        `{name, nodes, nodes_free, gpus, gpus_free, cpus_free, waiting, start_estimate}`.

        Raises:
            BatchSystemDown: the batch system did not answer.

        """
