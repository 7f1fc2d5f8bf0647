"""Taking ended workloads away from their sites, until the site says that nothing is left."""

from __future__ import annotations

import contextlib
import logging

from farlab_sites.carriers import CarrierError

from .errands import Errands
from .errors import HubServiceError
from .journal import Journal
from .ledger.recorder import Recorder
from .links import Links, SiteLink
from .models import Change, Workload
from .states import ENDED, State
from .submitting import Submitter

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5  # seconds; a job takes a moment to end
LONGEST_PAUSE = 15.0  # seconds between two tries


class Cleaner:
    """Deletes ended workloads; durable through the `cleaned` flag.

    What a job used is in the ledger before its site is told to forget it.
    """

    def __init__(
        self, links: Links, journal: Journal, submitter: Submitter, recorder: Recorder
    ) -> None:
        self._links = links
        self._journal = journal
        self._submitter = submitter
        self._recorder = recorder
        self._errands = Errands("cleaning")

    async def resume(self) -> None:
        """Go on with what was not clean when the service last ended."""
        for workload in await self._journal.store.find(ENDED, cleaned=False):
            if not workload.submitted:
                self._submitter.doubt(workload.uid)
            self.start(workload)

    def start(self, workload: Workload) -> None:
        """Begin to clean up after an ended workload, or try again now."""
        link = self._links.by_name.get(workload.site)
        if link is None:
            log.warning("workload %s: nobody can clean at %s", workload.uid, workload.site)
            self._errands.start(workload.uid, lambda: self._write_off(workload))
            return
        self._errands.start(workload.uid, lambda: self._clean(workload.uid, link))

    async def close(self) -> None:
        """Stop at once; the next start goes on."""
        await self._errands.close()

    async def _clean(self, uid: str, link: SiteLink) -> None:
        pause = FIRST_PAUSE
        while not await self._try(uid, link):
            await self._errands.pause(uid, pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _write_off(self, workload: Workload) -> None:
        """Record a workload that no site can be asked about."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._recorder.orphaned(workload)
            except HubServiceError as error:
                log.warning("usage of workload %s: %s", workload.uid, error.message)
                await self._errands.pause(workload.uid, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return

    async def _try(self, uid: str, link: SiteLink) -> bool:
        """Try once; True when nothing is left."""
        # A delete must not be quicker than a create that is on its way.
        settled = await self._submitter.settled(uid)
        workload = await self._journal.store.get(uid)
        if workload is None or workload.cleaned:
            return True
        try:
            async with link.deleting:
                gone = await self._take_away(workload, link)
        except HubServiceError as error:
            log.warning("workload %s cannot be recorded now: %s", workload.uid, error.message)
            return False
        except CarrierError as error:
            link.failed(error)
            with contextlib.suppress(HubServiceError):
                await self._recorder.interrupted(workload)
            words = f"{link.explanation}; its job there is removed as soon as it answers"
            await self._say(workload, words)
            return False
        except Exception:
            log.exception("workload %s cannot be cleaned up yet", uid)
            return False
        if gone and settled:
            await self._done(workload)
        return gone and settled

    async def _take_away(self, workload: Workload, link: SiteLink) -> bool:
        """Record what a job used, then end it and let its site forget it; True when it is gone."""
        pod, before = dict(workload.pod), None
        if workload.tries:
            before = (await link.carrier.status([pod])).get(workload.uid)
            link.answered()
            if not await self._recorder.complete(workload, before):
                return False
            await link.carrier.delete(pod)
            after = (await link.carrier.status([pod])).get(workload.uid)
            if after is not None and after.phase not in ("Succeeded", "Failed"):
                return False
            if after is not None and not await self._recorder.complete(workload, after):
                return False
        await self._recorder.gone(workload, before)
        return True

    async def _done(self, workload: Workload) -> None:
        self._submitter.trust(workload.uid)
        await self._say(workload, "Its job is gone")
        await self._journal.store.mark_cleaned(workload.uid)
        self._journal.tell(workload.uid)

    async def _say(self, workload: Workload, message: str) -> None:
        # Of a failed workload the user must go on to read why it failed.
        if workload.state == State.CANCELLED:
            await self._journal.change(workload.uid, Change(message=message))
