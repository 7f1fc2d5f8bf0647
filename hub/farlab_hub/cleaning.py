"""Taking ended workloads away from their sites, until the site says that nothing is left."""

from __future__ import annotations

import asyncio
import logging

from farlab_sites.carriers import CarrierError

from .journal import Journal
from .links import SiteLink
from .models import Change, Workload
from .states import ENDED, State
from .submitting import Submitter

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds between two looks while a job still ends
LONGEST_PAUSE = 30.0  # seconds between two tries at a site that does not answer
AT_ONCE = 8


class Cleaner:
    """Deletes the ended workloads of one site; durable through the `cleaned` flag."""

    def __init__(self, link: SiteLink, journal: Journal, submitter: Submitter) -> None:
        self._link = link
        self._journal = journal
        self._submitter = submitter
        self._kick = asyncio.Event()
        self._lane = asyncio.Semaphore(AT_ONCE)

    def kick(self) -> None:
        """Clean now."""
        self._kick.set()

    async def run(self) -> None:
        """Clean for ever."""
        await self._doubt_old_ones()
        pause = PAUSE
        while True:
            try:
                answered = await self.clean()
            except Exception:
                log.exception("cleaning at %s", self._link.site.name)
                answered = False
            pause = PAUSE if answered else min(2 * pause, LONGEST_PAUSE)
            await self._rest(pause)

    async def _rest(self, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await self._kick.wait()
        except TimeoutError:
            return
        self._kick.clear()

    async def _doubt_old_ones(self) -> None:
        for workload in await self._ended():
            if not workload.submitted:
                self._submitter.doubt(workload.uid)

    async def _ended(self) -> list[Workload]:
        site = self._link.site.name
        return await self._journal.store.find(ENDED, site=site, cleaned=False)

    async def clean(self) -> bool:
        """Try once for every ended workload; False when the site did not answer."""
        ended = await self._ended()
        return all(await asyncio.gather(*(self._clean(workload) for workload in ended)))

    async def _clean(self, workload: Workload) -> bool:
        async with self._lane:
            settled = await self._submitter.settled(workload.uid)
            # Read again: a create may just have come back, or a first try been made.
            current = await self._journal.store.get(workload.uid)
            if current is None or current.cleaned:
                return True
            try:
                gone = current.tries == 0 or (await self._take_away(current) and settled)
            except CarrierError as error:
                self._link.failed(error)
                await self._say(current, f"{self._link.explanation}; its job there is removed "
                                "as soon as it answers")  # fmt: skip
                return False
            if gone:
                await self._done(current)
            return True

    async def _take_away(self, workload: Workload) -> bool:
        pod = dict(workload.pod)
        await self._link.carrier.delete(pod)
        status = (await self._link.carrier.status([pod])).get(workload.uid)
        self._link.answered()
        return status is None or status.phase in ("Succeeded", "Failed")

    async def _done(self, workload: Workload) -> None:
        await self._journal.store.mark_cleaned(workload.uid)
        self._submitter.trust(workload.uid)
        await self._say(workload, "Its job is gone")
        self._journal.tell(workload.uid)

    async def _say(self, workload: Workload, message: str) -> None:
        # Of a failed workload the user must go on to read why it failed.
        if workload.state == State.CANCELLED:
            await self._journal.change(workload.uid, Change(message=message))
