"""Jobs that the queue has forgotten: how they ended, from Slurm's accounting where there is one."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from farlab_sites.plugin import slurm_words
from farlab_sites.plugin.driver import BatchSystemDown, Job, JobState
from farlab_sites.plugin.slurm_commands import SlurmCommands
from farlab_sites.plugin.slurm_queue import moment

log = logging.getLogger(__name__)

FIELDS = (
    "JobIDRaw",
    "State",
    "ExitCode",
    "Start",
    "End",
    "NodeList",
    "Reason",
    "Submit",
    "JobName",
)
SACCT = ("sacct", "--noheader", "--parsable2", "--allocations", "--allusers")

FORGOTTEN = JobState(
    "Terminated",
    message="Slurm does not know the job any more (it forgets ended jobs after a while), "
    "so how it ended can't be said.",
)


class Past:
    """Asks sacct, until it turns out that this Slurm keeps no accounting."""

    def __init__(self, commands: SlurmCommands) -> None:
        self._commands = commands
        self._kept = True

    async def states(self, jobs: Sequence[Job]) -> dict[str, JobState]:
        """Return how the jobs ended, from one sacct for all of them."""
        states = {job.uid: FORGOTTEN for job in jobs}
        numbers = ",".join(job.job_id for job in jobs if job.job_id.isdigit())
        if numbers and self._kept:
            states |= parse(await self._ask(numbers), set(states))
        return states

    async def _ask(self, numbers: str) -> str:
        try:
            return await self._commands.query(
                *SACCT, f"--format={','.join(FIELDS)}", f"--jobs={numbers}"
            )
        except BatchSystemDown as error:
            self._kept = "disabled" not in str(error)
            log.info("Slurm's accounting does not say how jobs %s ended: %s", numbers, error)
            return ""


def parse(text: str, uids: set[str]) -> dict[str, JobState]:
    """Return the ends in sacct's output that belong to these pods."""
    rows = (line.split("|", len(FIELDS) - 1) for line in text.splitlines())
    return {
        row[-1]: _state(row)
        for row in rows
        if len(row) == len(FIELDS) and row[-1] in uids and row[1].split(" ")[0] in slurm_words.ENDED
    }


def _state(row: Sequence[str]) -> JobState:
    _, state, code, start, end, node, reason, submit, _ = row
    word, _, by = state.partition(" ")  # `CANCELLED by 1000`
    number, _, signal = code.partition(":")
    status = (int(number) << 8 | int(signal)) if number.isdigit() and signal.isdigit() else 0
    kind, message = slurm_words.ended(word, reason, status)
    return JobState(
        "Terminated",
        reason=kind,
        message=f"{message[:-1]}, {by}." if by else message,
        node=node if node != "None assigned" else "",
        started_at=moment(start),
        finished_at=moment(end),
        submitted_at=moment(submit),
        word=state,
        exit_code=slurm_words.exit_code(status) if word in {"COMPLETED", "FAILED"} else None,
    )
