"""The queue as Slurm shows it: one squeue for all jobs, shared by everyone who asks."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from farlab_sites.plugin.driver import BatchSystemDown
from farlab_sites.plugin.slurm_commands import SlurmCommands

PATIENCE = 5.0  # seconds that a caller waits once Slurm is asked
TOO_OLD = 60.0  # seconds after which an answer is none
SHARE = 2.0  # looks at a slow controller take at most half of the time,
LONGEST_PAUSE = 15.0  # seconds, unless the pauses would become longer than this

# The name comes last and is cut to the length of a UUID: whatever other users call their jobs,
# newlines included, what is left of it can't be read as a whole line about a pod's job.
FIELDS = (
    ("JobID", 12),
    ("UserID", 12),
    ("State", 14),
    ("exit_code", 12),
    ("PriorityLong", 12),
    ("StartTime", 20),
    ("EndTime", 20),
    ("SubmitTime", 20),
    ("BatchHost", 40),
    ("Partition", 100),
    ("Reason", 100),
)
FORMAT = ",".join(f"{name}:{width}|" for name, width in FIELDS) + ",Name:36"
SQUEUE = ("squeue", "--noheader", "--all", "--states=all", f"--Format={FORMAT}")


@dataclass(frozen=True)
class Row:
    """One job in the queue."""

    job_id: int
    uid: int  # the user's
    state: str
    status: int  # wait status: exit code times 256 plus the signal
    priority: int  # 0: held
    start: datetime | None  # while pending: Slurm's estimate
    end: datetime | None
    node: str
    partitions: tuple[str, ...]
    reason: str
    name: str
    submitted: datetime | None = None

    @property
    def pending(self) -> bool:
        """Whether the job waits for its start."""
        return self.state == "PENDING"


def parse(text: str) -> list[Row]:
    """Return the rows of squeue's output; lines that make no sense are left out."""
    return [row for row in map(_row, text.split("\n")) if row is not None]


def _row(line: str) -> Row | None:
    parts = [part.strip() for part in line.split("|")]
    if len(parts) != len(FIELDS) + 1:
        return None
    try:
        job_id, uid, status, priority = (int(parts[i]) for i in (0, 1, 3, 4))
    except ValueError:
        return None
    return Row(
        job_id=job_id,
        uid=uid,
        state=parts[2],
        status=status,
        priority=priority,
        start=moment(parts[5]),
        end=moment(parts[6]),
        submitted=moment(parts[7]),
        node="" if parts[8] in {"n/a", "(null)"} else parts[8],
        partitions=tuple(parts[9].split(",")),
        reason=parts[10],
        name=parts[11],
    )


def moment(text: str) -> datetime | None:
    """Return a time that Slurm wrote in UTC, None for `N/A`."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


class Snapshot:
    """The queue at one moment."""

    def __init__(self, rows: Iterable[Row], taken: float) -> None:
        self.rows = list(rows)
        self.taken = taken  # monotonic clock, when Slurm was asked

    @cached_property
    def by_name(self) -> dict[str, list[Row]]:
        """Every job by its name."""
        names: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            names[row.name].append(row)
        return dict(names)

    @cached_property
    def by_id(self) -> dict[int, Row]:
        """Every job by its number."""
        return {row.job_id: row for row in self.rows}

    @cached_property
    def waiting(self) -> dict[str, list[int]]:
        """The pending jobs of each partition, first to start first, without those held back."""
        queues: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            if row.pending and row.priority:
                for partition in row.partitions:
                    queues[partition].append(row)
        return {
            name: [row.job_id for row in sorted(rows, key=lambda r: (-r.priority, r.job_id))]
            for name, rows in queues.items()
        }

    @cached_property
    def places(self) -> dict[tuple[str, int], int]:
        """The place, from 1, of each pending job by partition and number."""
        return {
            (name, job_id): place
            for name, queue in self.waiting.items()
            for place, job_id in enumerate(queue, start=1)
        }


class Queue:
    """Shared looks at Slurm's queue: one squeue at a time, not more than one every few seconds."""

    def __init__(self, commands: SlurmCommands) -> None:
        self._commands = commands
        self._every = commands.settings.query_every
        self._pause = self._every
        self._last: Snapshot | None = None
        self._error: BatchSystemDown | None = None
        self._asked = 0.0
        self._running: asyncio.Task[None] | None = None

    async def look(self, after: float = 0.0) -> Snapshot:
        """Return the queue as it was lately; `after` (monotonic clock) asks for a later look.

        Raises:
            BatchSystemDown: Slurm did not answer and the last answer is too old.

        """
        due = max(time.monotonic(), self._asked + self._pause)
        deadline = due + PATIENCE
        while not self._fresh(after) and (left := deadline - time.monotonic()) > 0:
            if self._running is None:
                self._running = asyncio.create_task(self._refresh())
            await asyncio.wait({self._running}, timeout=left)
        return self._held(after)

    async def stop(self) -> None:
        """Give up a look under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    def _fresh(self, after: float) -> bool:
        known = self._error is not None or (self._last is not None and self._last.taken > after)
        return known and time.monotonic() - self._asked < self._pause

    def _held(self, after: float) -> Snapshot:
        """Return what is known, or say why that is nothing."""
        last = self._last
        if last is not None and last.taken > after and time.monotonic() - last.taken < TOO_OLD:
            return last
        raise self._error or BatchSystemDown("Slurm has not answered yet; Farlab goes on asking")

    async def _refresh(self) -> None:
        """Ask Slurm; a slow controller is asked less often."""
        try:
            await asyncio.sleep(max(0.0, self._asked + self._pause - time.monotonic()))
            self._pause = self._every
            self._asked = taken = time.monotonic()
            text = await self._commands.query(*SQUEUE)
            self._last = Snapshot(await asyncio.to_thread(parse, text), taken)
            self._error = None
            slow = SHARE * (time.monotonic() - taken)  # from start to start
            self._pause = max(self._every, min(slow, LONGEST_PAUSE))
        except BatchSystemDown as error:
            self._error = error
        finally:
            self._running = None
