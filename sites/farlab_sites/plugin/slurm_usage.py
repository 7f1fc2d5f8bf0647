"""What ended jobs used, from Slurm's accounting: one sacct for all that are waited for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from farlab_sites.plugin import slurm_words
from farlab_sites.plugin.driver import BatchSystemDown, Job
from farlab_sites.plugin.slurm_commands import SlurmCommands
from farlab_sites.usage import Usage

log = logging.getLogger(__name__)

FIELDS = (
    "JobIDRaw",
    "User",
    "State",
    "ExitCode",
    "Submit",
    "Start",
    "End",
    "AllocTRES",
    "TotalCPU",
    "MaxRSS",
    "ConsumedEnergyRaw",
    "JobName",
)
SACCT = ("sacct", "--noheader", "--parsable2", "--allusers", f"--format={','.join(FIELDS)}")
EPOCH = {"SLURM_TIME_FORMAT": "%s"}  # seconds, whatever the machine's time zone
EVERY = 2.0  # seconds between two questions; a slow database is asked less often
SHARE = 3.0  # a question takes at most a third of the time
LONGEST_PAUSE = 30.0
PATIENCE = 1.0  # seconds that a caller waits for an answer that is on its way
FORGET = 300.0  # seconds after which a job that nobody asks for is not asked for either
AT_ONCE = 1000  # jobs in one question
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}

Row = Mapping[str, str]


class Accounting:
    """Asks sacct for ended jobs, until it turns out that this Slurm keeps no accounting."""

    def __init__(self, commands: SlurmCommands) -> None:
        self._commands = commands
        self._kept = True
        self._wanted: dict[str, tuple[str, float]] = {}  # by uid: job id, asked for last
        self._found: dict[str, Usage] = {}
        self._next = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def usages(self, jobs: Sequence[Job]) -> dict[str, Usage] | None:
        """Return what is known of these jobs by uid; None: Slurm keeps nothing.

        A slow database keeps nobody waiting: its answer is there at the next call.
        """
        now = time.monotonic()
        for job in jobs:
            if job.job_id.isdigit():
                self._wanted[job.uid] = (job.job_id, now)
        if self._kept and self._open() and self._asking is None and now >= self._next:
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=PATIENCE)
        if not self._kept:
            return None
        return {job.uid: self._found[job.uid] for job in jobs if job.uid in self._found}

    async def stop(self) -> None:
        """Give up a question under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _open(self) -> dict[str, str]:
        """Return the jobs, uid by number, of which more is to be learned."""
        now = time.monotonic()
        for uid in [uid for uid, (_, asked) in self._wanted.items() if now - asked > FORGET]:
            del self._wanted[uid]
            self._found.pop(uid, None)
        return {
            number: uid
            for uid, (number, _) in self._wanted.items()
            if uid not in self._found or not self._found[uid].final
        }

    async def _ask(self) -> None:
        began = time.monotonic()
        uids = self._open()
        numbers = list(uids)[:AT_ONCE]
        try:
            text = await self._commands.query(*SACCT, f"--jobs={','.join(numbers)}", env=EPOCH)
            self._found |= parse(text, uids)
        except BatchSystemDown as error:
            self._kept = "disabled" not in str(error)
            log.info("Slurm's accounting does not say what %d jobs used: %s", len(numbers), error)
        finally:
            now = time.monotonic()
            self._next = now + min(max(EVERY, SHARE * (now - began)), LONGEST_PAUSE)
            self._asking = None


def parse(text: str, uids: Mapping[str, str]) -> dict[str, Usage]:
    """Return what sacct says by pod uid; `uids` holds them by job number.

    A number that another job had before, or has by now, is told apart by the job's name.
    """
    steps: dict[str, list[Row]] = defaultdict(list)
    jobs: dict[str, Row] = {}
    for line in text.splitlines():
        row = dict(zip(FIELDS, line.split("|", len(FIELDS) - 1), strict=False))
        number, dot, _ = row["JobIDRaw"].partition(".")
        if len(row) < len(FIELDS) or number not in uids:
            continue
        if dot:
            steps[number].append(row)
        elif row["JobName"] == uids[number]:
            jobs[number] = row
    return {uids[number]: usage(row, steps[number]) for number, row in jobs.items()}


def usage(job: Row, steps: Sequence[Row]) -> Usage:
    """Return one job's usage: its own row says what it was given, those of its steps what it used.

    It is final when the job has ended and each step has too: the steps' rows can come later.
    """
    state = job["State"]
    word = state.partition(" ")[0]  # `CANCELLED by 1000`
    given = tres(job["AllocTRES"])
    # A job that was cancelled in the queue may have a start too, but it was given nothing.
    started, ended = epoch(job["Start"]) if given else None, epoch(job["End"])
    told = [step for step in steps if step["State"] not in {"", "RUNNING", "PENDING"}]
    whole = started is None or (bool(told) and len(told) == len(steps))
    gpus, gpu_type = gpus_of(given)
    return Usage(
        job_id=job["JobIDRaw"],
        account=job["User"],
        submitted=epoch(job["Submit"]),
        started=started,
        ended=ended,
        cores=given.get("cpu", 0.0),
        gpus=gpus,
        gpu_type=gpu_type,
        memory=int(given.get("mem", 0)),
        cpu_s=seconds(job["TotalCPU"]) if told or started is None else None,
        peak_memory=_most(step["MaxRSS"] for step in told),
        energy_j=_energy(job, told),
        state=state,
        exit_code=_exit_code(word, job["ExitCode"]),
        source="sacct",
        final=word in slurm_words.ENDED and ended is not None and whole,
    )


def epoch(text: str) -> float | None:
    """Return a time that Slurm wrote in seconds; None for `Unknown` and `None`."""
    return float(text) if text.isdigit() and int(text) else None


def seconds(text: str) -> float | None:
    """Return a duration that Slurm wrote as [DD-[HH:]]MM:SS[.mmm]."""
    days, dash, rest = text.rpartition("-")
    try:
        total = 0.0
        for part in rest.split(":"):
            total = 60 * total + float(part)
        return total + (86400 * int(days) if dash else 0)
    except ValueError:
        return None


def amount(text: str) -> float:
    """Return a number that may end in K, M, G, T or P (binary); 0 for what is none."""
    factor = UNITS.get(text[-1:].upper(), 1)
    try:
        return float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        return 0.0


def tres(text: str) -> dict[str, float]:
    """Return the parts of `cpu=4,mem=8G,gres/gpu:a100=2`."""
    parts = (part.partition("=") for part in text.split(",") if part)
    return {name: amount(value) for name, _, value in parts}


def gpus_of(given: Mapping[str, float]) -> tuple[float, str]:
    """Return how many GPUs there are, and the type of most of them."""
    typed = {
        name.partition(":")[2]: count
        for name, count in given.items()
        if name.startswith("gres/gpu:")
    }
    kind = max(typed, key=lambda name: typed[name], default="")
    return given.get("gres/gpu", sum(typed.values())), kind


def _most(texts: Iterable[str]) -> int | None:
    """Return the largest of the amounts that are given."""
    return max((int(amount(text)) for text in texts if text), default=None)


def _energy(job: Row, steps: Iterable[Row]) -> float | None:
    """Return the joules; several steps may have measured the same nodes at the same time."""
    told = [amount(row["ConsumedEnergyRaw"]) for row in (job, *steps)]
    return max(told) or None


def _exit_code(word: str, code: str) -> int | None:
    number, _, signal = code.partition(":")
    if word not in {"COMPLETED", "FAILED"} or not (number.isdigit() and signal.isdigit()):
        return None
    return slurm_words.exit_code(int(number) << 8 | int(signal))
