"""Sending new workloads to their sites, again and again until a site takes or refuses them.

A notebook server's pod in Kubernetes is made by KubeSpawner, in the hub. It is not sent but waited
for, and watched from then on like all others.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from farlab_sites.carriers import CarrierError, CarrierRejected

from .errands import Errands
from .journal import Journal
from .links import Links, SiteLink
from .models import SERVER, Change, Workload, now
from .states import State

log = logging.getLogger(__name__)

PATIENCE = 120.0  # seconds from the request until an unreachable site fails the workload
PAUSES = (0.5, 1.0, 2.0, 4.0, 5.0)  # seconds between tries
GLANCE = 0.5  # seconds between two looks for a pod that the hub itself makes
# A create whose answer never came may still be worked on at the site for this many seconds.
UNCERTAIN = 10.0


class Submitter:
    """One task for each workload that its site does not have yet."""

    def __init__(self, links: Links, journal: Journal) -> None:
        self._links = links
        self._journal = journal
        self._errands = Errands("submission")
        self._uncertain: dict[str, float] = {}

    async def resume(self) -> None:
        """Go on with what was not submitted when the service last ended."""
        for workload in await self._journal.store.find(submitted=False):
            self.start(workload)

    def start(self, workload: Workload) -> None:
        """Begin to submit a workload; nothing happens when that goes on already."""
        self._errands.start(workload.uid, lambda: self._submit(workload))

    async def settled(self, uid: str) -> bool:
        """Wait until nothing is on its way to the site; False when a create may be still there."""
        await self._errands.finish(uid)
        return asyncio.get_running_loop().time() >= self._uncertain.get(uid, 0.0)

    def doubt(self, uid: str) -> None:
        """Note that a create may just have reached the site although no answer came."""
        self._uncertain[uid] = asyncio.get_running_loop().time() + UNCERTAIN

    def trust(self, uid: str) -> None:
        """Forget the doubt about a workload: it is answered for, or gone."""
        self._uncertain.pop(uid, None)

    async def close(self) -> None:
        """Stop at once; a create under way is tried again at the next start."""
        await self._errands.close()

    async def _submit(self, workload: Workload) -> None:
        link = self._links.by_name.get(workload.site)
        if link is None:
            message = f"The catalogue has no site {workload.site} any more."
            await self._fail(workload.uid, "Rejected", message)
            return
        tries = 0
        try:
            if made_by_hub(workload, link):
                await self._adopt(workload, link)
                return
            while await self._try(workload, link):
                await self._errands.pause(workload.uid, PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1
        except Exception:
            log.exception("workload %s cannot be submitted", workload.uid)
            self.doubt(workload.uid)
            await self._fail(workload.uid, "Rejected", "The hub service could not hand it over.")

    async def _adopt(self, workload: Workload, link: SiteLink) -> None:
        """Wait for the pod that the hub makes; give up when it does not come."""
        uid = workload.uid
        # From now on there may be one, for the cleaner to take away.
        if await self._journal.store.try_to_submit(uid) is None:
            return
        while (found := await self._journal.store.get(uid)) is not None and not found.ended:
            self.doubt(uid)
            try:
                status = (await link.carrier.status([dict(found.pod)])).get(uid)
            except CarrierError as error:
                link.failed(error)
                if not await self._unreachable(uid, link):
                    return
            else:
                link.answered()
                if status is not None:
                    self.trust(uid)
                    words = f"Kubernetes has its pod {found.pod['metadata']['name']}"
                    await self._journal.submitted(uid, status.job_id, words)
                    return
                if now() - found.created > PATIENCE:
                    words = "The hub has not made its pod: it was restarted, or could not."
                    await self._fail(uid, "NoPod", words)
                    return
            await self._errands.pause(uid, GLANCE)

    async def _try(self, workload: Workload, link: SiteLink) -> bool:
        """Send the workload once; True when it must be sent again."""
        uid = workload.uid
        async with link.creating:
            submission = await self._journal.store.try_to_submit(uid)
            if submission is None:
                return False
            if not submission:
                await self._fail(uid, "Rejected", "Its description is lost in the hub's folder.")
                return False
            try:
                job_id = await _create(link, submission)
            except CarrierRejected as error:
                link.answered()
                await self._fail(uid, "Rejected", str(error))
                return False
            except CarrierError as error:
                self.doubt(uid)
                link.failed(error)
                return await self._unreachable(uid, link)
        link.answered()
        self.trust(uid)
        words = f"{link.site.title} has it" + (f" as job {job_id}" if job_id else "")
        await self._journal.submitted(uid, job_id, words)
        return False

    async def _fail(self, uid: str, reason: str, message: str) -> None:
        log.warning("workload %s: %s: %s", uid, reason, message)
        await self._journal.change(uid, Change(State.FAILED, reason, message))

    async def _unreachable(self, uid: str, link: SiteLink) -> bool:
        found = await self._journal.store.get(uid)
        if found is None or found.ended:
            return False
        if found.state != State.REQUESTED:  # its agent is here: the site has it after all
            return True
        if now() - found.created > PATIENCE:
            await self._fail(uid, "Unreachable", f"{link.explanation}.")
            return False
        reason = f"{link.explanation}; trying again"
        waiting = Change(state=State.REQUESTED, reason=reason, message="")
        await self._journal.change(uid, waiting)
        return True


def made_by_hub(workload: Workload, link: SiteLink) -> bool:
    """Say whether KubeSpawner makes a workload's pod, and not this service."""
    return workload.kind == SERVER and link.site.carrier.kubernetes is not None


async def _create(link: SiteLink, submission: dict[str, Any]) -> str:
    pod, secrets = submission["pod"], submission["secrets"]
    return await link.carrier.create(pod, secrets, submission["configmaps"])
