"""The driver for Slurm: a pod becomes a batch job named after the pod's uid."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from farlab_sites.plugin import slurm_script, slurm_states, slurm_words
from farlab_sites.plugin.accounts import Account, AccountError, AccountPolicy, own_account
from farlab_sites.plugin.driver import BatchSystemDown, Driver, Job, JobState, SubmitError
from farlab_sites.plugin.slurm_commands import SlurmCommands
from farlab_sites.plugin.slurm_facts import Facts
from farlab_sites.plugin.slurm_past import Past
from farlab_sites.plugin.slurm_queue import Queue, Row, Snapshot
from farlab_sites.plugin.slurm_settings import SlurmSettings
from farlab_sites.plugin.slurm_usage import Accounting
from farlab_sites.usage import Usage

log = logging.getLogger(__name__)


class SlurmDriver(Driver):
    """Slurm through its commands; `policy` says which local accounts exist for it.

    However many pods there are, Slurm is asked for its queue once every `query_every` seconds.
    """

    def __init__(
        self, settings: SlurmSettings | Mapping[str, Any], policy: AccountPolicy | None = None
    ) -> None:
        self.settings = SlurmSettings.model_validate(settings)
        self.commands = SlurmCommands(self.settings)
        self._policy = policy or AccountPolicy()
        self._queue = Queue(self.commands)
        self._past = Past(self.commands)
        self._accounting = Accounting(self.commands)
        self._facts = Facts(self.commands, self._queue)
        self._known: dict[str, JobState] = {}
        self._submitted: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Stop looking at the queue; jobs stay."""
        await self._queue.stop()
        await self._accounting.stop()

    def _account(self, job: Job) -> Account:
        return self._policy.resolve(job.account) if job.account else own_account()

    async def submit(self, job: Job) -> str:
        """Submit the job with sbatch, as its account, and return its number."""
        try:
            account = self._account(job)
            script = slurm_script.job_script(job, account)
            done = await self.commands.change(
                account, "sbatch", *slurm_script.arguments(job), stdin=script
            )
        except AccountError as error:
            raise SubmitError(str(error)) from None
        if done.code:
            raise SubmitError(slurm_words.refusal(done.err))
        self._submitted[job.uid] = time.monotonic()  # earlier looks can't show it
        return done.out.decode().strip().partition(";")[0]

    async def find(self, uid: str) -> str | None:
        """Return the number of the job that was submitted for the pod, if there is one."""
        if await asyncio.to_thread(_is_submitting, uid):
            raise BatchSystemDown("An earlier submission of this job is still under way")
        snapshot = await self._queue.look(after=time.monotonic())
        named = snapshot.by_name.get(uid, ())
        rows = [r for r in named if self._may_be_ours(r) and not slurm_states.was_refused(r)]
        return str(slurm_states.choose(rows).job_id) if rows else None

    def _may_be_ours(self, row: Row) -> bool:
        return row.uid == own_account().uid or self._policy.admits(row.uid)

    async def states(self, jobs: Sequence[Job]) -> dict[str, JobState]:
        """Return the state of each job from one shared look at the queue."""
        if not jobs:
            return {}
        first = await self._queue.look()
        states, missing = self._seen(jobs, first)
        new = [job for job in missing if self._submitted.get(job.uid, 0.0) >= first.taken]
        states |= {job.uid: slurm_states.SUBMITTED for job in new}
        gone = [job for job in missing if job.uid not in states]
        if gone:
            states |= await self._look_again(gone, first.taken)
        for uid, state in states.items():
            self._remember(uid, state)
        return states

    def _seen(
        self, jobs: Iterable[Job], snapshot: Snapshot
    ) -> tuple[dict[str, JobState], list[Job]]:
        """Return the state of the jobs in the queue, and the jobs that are not in it."""
        states: dict[str, JobState] = {}
        missing: list[Job] = []
        now = datetime.now(UTC)
        for job in jobs:
            rows = self._rows(job, snapshot)
            if rows:
                states[job.uid] = slurm_states.state_of(slurm_states.choose(rows), snapshot, now)
                self._drop_spare(job, rows)
            else:
                missing.append(job)
        return states, missing

    async def _look_again(self, jobs: list[Job], taken: float) -> dict[str, JobState]:
        """Look once more for jobs that seem gone, before saying so.

        While Slurm does not answer they are as they were; of others nothing can be said.
        """
        try:
            snapshot = await self._queue.look(after=taken)
        except BatchSystemDown:
            if any(job.uid not in self._known for job in jobs):
                raise
            return {job.uid: self._known[job.uid] for job in jobs}
        states, gone = self._seen(jobs, snapshot)
        return states | (await self._past.states(gone) if gone else {})

    def _remember(self, uid: str, state: JobState) -> None:
        if state.phase == "Terminated":
            self._known.pop(uid, None)
            self._submitted.pop(uid, None)
        else:
            self._known[uid] = state

    def _rows(self, job: Job, snapshot: Snapshot) -> list[Row]:
        """Return the rows of the job: of its name and its user, for anyone may use a name."""
        try:
            user = self._account(job).uid
        except AccountError:  # the account was removed meanwhile: the number still says which job
            user = None
        named = [row for row in snapshot.by_name.get(job.uid, ()) if user in {None, row.uid}]
        if named or not job.job_id.isdigit():
            return named
        row = snapshot.by_id.get(int(job.job_id))  # its user may have given it another name
        return [row] if row is not None and row.uid == user else []

    def _drop_spare(self, job: Job, rows: list[Row]) -> None:
        """Cancel jobs that wait though another one runs the pod already."""
        for number in slurm_states.spare(rows):
            task = asyncio.create_task(self._cancel_quietly(job, number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _cancel_quietly(self, job: Job, number: int) -> None:
        try:
            await self._scancel(job, [number])
        except BatchSystemDown as error:
            log.info("could not cancel the spare job %s of pod %s yet: %s", number, job.uid, error)

    async def cancel(self, job: Job) -> None:
        """Cancel every job that was submitted for the pod and has not ended."""
        snapshot = await self._queue.look(0.0 if job.job_id else time.monotonic())
        rows = self._rows(job, snapshot)
        numbers = {row.job_id for row in rows if row.state not in slurm_words.ENDED}
        if job.job_id.isdigit() and not rows:  # submitted after that look, or long gone
            numbers.add(int(job.job_id))
        if numbers:
            await self._scancel(job, sorted(numbers))

    async def _scancel(self, job: Job, numbers: list[int]) -> None:
        try:
            done = await self.commands.change(
                self._account(job), "scancel", *(str(number) for number in numbers)
            )
        except AccountError as error:
            raise BatchSystemDown(str(error)) from None
        if done.code and "nvalid job id" not in done.err and "already comp" not in done.err:
            raise BatchSystemDown(f"Slurm did not cancel the job: {done.err.strip()}")

    async def usages(self, jobs: Sequence[Job]) -> dict[str, Usage] | None:
        """Return what sacct says of ended jobs."""
        return await self._accounting.usages(jobs)

    async def facts(self) -> dict[str, Any]:
        """Return what the site has and what is free of it."""
        return await self._facts.answer()


def _is_submitting(uid: str) -> bool:
    """Say whether an sbatch for this pod still runs, left over from a plugin that was killed."""
    wanted = f"--job-name={uid}".encode()
    return any(wanted in _arguments(folder) for folder in Path("/proc").glob("[0-9]*"))


def _arguments(process: Path) -> list[bytes]:
    try:
        return (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
