"""One watcher per site: one question about all its live workloads, again and again."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace

from farlab_sites.carriers import CarrierError, PodStatus

from .agents import Agents
from .journal import Journal
from .ledger.recorder import Recorder
from .links import SiteLink
from .models import Change, Workload, now
from .states import ENDED, State
from .verdicts import judge, lost_job
from .words import last_line, tail_of

log = logging.getLogger(__name__)

TICK = 1.5  # seconds between two questions
MISSES = 4  # answers without a job until it is given up
# The plugin knows best why a job ended (walltime, memory); the agent's word counts after this.
PLUGIN_FIRST = 10.0  # seconds
LOG_TIME = 5.0  # seconds for the log of an ended workload
LOGS = 8  # read at once
PEEKS = 8  # starting servers whose log is looked at in one tick


class Watcher:
    """Follows the live workloads of one site."""

    def __init__(
        self,
        link: SiteLink,
        journal: Journal,
        agents: Agents,
        recorder: Recorder,
        *,
        tick: float = TICK,
    ) -> None:
        self._link = link
        self._journal = journal
        self._agents = agents
        self._recorder = recorder
        self._tick = tick
        self._kick = asyncio.Event()
        self._reading = asyncio.Semaphore(LOGS)
        self._misses: Counter[str] = Counter()
        self._peeking: asyncio.Task[None] | None = None

    def kick(self) -> None:
        """Ask the site now."""
        self._kick.set()

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("watching %s", self._link.site.name)
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._tick):
                await self._kick.wait()
        except TimeoutError:
            return
        self._kick.clear()

    async def look(self) -> None:
        """Ask the site once about all its live workloads and write what is new."""
        site = self._link.site.name
        live = await self._journal.store.find(site=site, submitted=True)
        if not live:
            return
        try:
            statuses = await self._link.carrier.status([dict(one.pod) for one in live])
        except CarrierError as error:
            self._link.failed(error)
            await self._in_the_dark(live)
            return
        self._link.answered()
        await self._recorder.seen(site, live, statuses)
        await asyncio.gather(*(self._follow(one, statuses.get(one.uid)) for one in live))
        self._peek_at([one for one in live if one.state == State.STARTING])

    async def _in_the_dark(self, live: list[Workload]) -> None:
        for workload in live:
            exited = self._exit(workload)
            if exited is not None:
                await self._end(workload, exited)
            else:
                dark = Change(state=workload.state, reason=self._link.explanation, message="")
                await self._write(workload, dark)

    async def _follow(self, workload: Workload, status: PodStatus | None) -> None:
        if status is None:
            await self._miss(workload)
            return
        del self._misses[workload.uid]
        change = judge(workload, status, self._agents.lost(workload.uid))
        if change.state not in ENDED:
            change = self._exit(workload) or change
        if change.state in ENDED:
            await self._end(workload, change)
        else:
            await self._write(workload, change)

    async def _miss(self, workload: Workload) -> None:
        self._misses[workload.uid] += 1
        if self._misses[workload.uid] >= MISSES:
            in_kubernetes = self._link.site.carrier.kubernetes is not None
            lost = lost_job(workload, in_kubernetes=in_kubernetes)
            await self._end(workload, self._exit(workload, at_once=True) or lost)

    def _exit(self, workload: Workload, *, at_once: bool = False) -> Change | None:
        """Return the agent's word about the end, once the plugin had its time to say why."""
        when, change = self._agents.exits.get(workload.uid, (0.0, None))
        return change if at_once or now() - when >= PLUGIN_FIRST else None

    async def _write(self, workload: Workload, change: Change) -> None:
        if workload.differs(change):
            await self._journal.change(workload.uid, change)

    async def _end(self, workload: Workload, change: Change) -> None:
        tail = await self._tail(workload)
        await self._journal.change(workload.uid, replace(change, log_tail=tail or None))
        del self._misses[workload.uid]

    async def _tail(self, workload: Workload) -> str:
        """Return the end of a workload's log: the main container's, or what ran before it."""
        try:
            async with self._reading, asyncio.timeout(LOG_TIME):
                for container in workload.containers:
                    text = await self._link.carrier.logs(
                        dict(workload.pod), container=container, tail=100
                    )
                    if text.strip():
                        return tail_of(text)
        except (CarrierError, TimeoutError) as error:
            log.info("no log of workload %s: %s", workload.uid, error)
        return ""

    def _peek_at(self, starting: list[Workload]) -> None:
        """Look into the logs of some starting servers, beside the watching."""
        if starting and (self._peeking is None or self._peeking.done()):
            # The longest unseen first: `updated` moves whenever a log has moved.
            chosen = sorted(starting, key=lambda one: one.updated)[:PEEKS]
            self._peeking = asyncio.create_task(self._peek(chosen))

    async def _peek(self, starting: list[Workload]) -> None:
        tails = await asyncio.gather(*(self._tail(one) for one in starting))
        for workload, tail in zip(starting, tails, strict=True):
            if tail:
                # The state is in it so that a server that is ready by now stays so.
                seen = Change(state=State.STARTING, message=last_line(tail), log_tail=tail)
                await self._journal.change(workload.uid, seen)

    async def close(self) -> None:
        """Stop what runs beside the watching."""
        if self._peeking is not None:
            self._peeking.cancel()
            await asyncio.gather(self._peeking, return_exceptions=True)
