"""What keeps the ledger true: told of every workload's beginning, life and end.

A record is made in the transaction that takes a workload, so each one has its own. Nothing of an
ended workload is taken away at its site before its record is on the disk: a service that is killed
in between finds the workload not clean at its next start, and asks the site again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from farlab_sites.accounting import SiteAccounting
from farlab_sites.carriers import PodStatus
from sqlalchemy.orm import Session

from ..errors import HubServiceError
from ..identity.person import Person
from ..links import Links
from ..models import NewWorkload, Workload, now
from ..states import ENDED
from ..store import Store
from . import writing
from .budgets import Budgets
from .closing import begun, closed, told
from .ledger import Ledger
from .opening import found, opened

log = logging.getLogger(__name__)

BEAT = 60.0  # seconds between two heartbeats of a site's workloads
FINAL_PATIENCE = 60.0  # seconds that a batch system has for its last word about an ended job
_LIVE = ("Waiting", "Running")


class Recorder:
    """Writes one record for each workload, whatever happens to this service."""

    def __init__(self, store: Store, links: Links) -> None:
        self._store = store
        self._links = links
        self.ledger = Ledger(store)
        self.budgets = Budgets(self.ledger)
        self._begun: set[str] = set()
        self._beats: dict[str, float] = {}
        self._late: dict[str, float] = {}

    async def resume(self) -> None:
        """Come back after a crash: whatever has ended gets its end."""
        live = {record.uid: record for record in await self.ledger.live()}
        self._begun = {uid for uid, record in live.items() if record.started is not None}
        for workload in await self._store.find():
            if workload.uid not in live and await self.ledger.get(workload.uid) is None:
                await self.ledger.put(found(workload))
        for workload in await self._store.find(ENDED, cleaned=False):
            if await self.ledger.get(workload.uid) is None:
                await self.ledger.put(found(workload))
        for uid in live:
            ended = await self._store.get(uid)
            if ended is not None and ended.ended and (ended.cleaned or self._site(ended) is None):
                await self.orphaned(ended)

    async def opening(
        self, request: NewWorkload, pod: Mapping[str, Any], workload: Workload, person: Person
    ) -> Callable[[Session], None]:
        """Return what takes a new workload into the ledger, in the transaction that takes it.

        It raises `TooManyError` when a budget has no room for it.
        """
        catalogue = await self._links.catalogue()
        site = catalogue.site(request.site)
        record = opened(
            request,
            pod,
            workload.created,
            account=workload.account,
            site_groups=site.groups,
            person=person,
        )

        def take(session: Session) -> None:
            connection = session.connection()
            self.budgets.admit(
                connection, catalogue.budgets, record, workload.walltime, workload.created
            )
            writing.put(connection, [record], workload.walltime)

        return take

    async def seen(
        self, site: str, workloads: Sequence[Workload], statuses: Mapping[str, PodStatus]
    ) -> None:
        """Note what a site has just said of its live workloads; a database's trouble is logged."""
        running = [w.uid for w in workloads if _phase(statuses.get(w.uid)) == "Running"]
        try:
            await self._begin([uid for uid in running if uid not in self._begun], statuses)
            await self._beat(site, running)
        except HubServiceError as error:
            log.warning("usage at %s is not written now: %s", site, error.message)

    async def _begin(self, uids: Sequence[str], statuses: Mapping[str, PodStatus]) -> None:
        if not uids:
            return
        known = await self.ledger.some(uids)
        records = [record for record in known.values() if record.ended is None]
        time = now()
        await self.ledger.begin(begun(r, told(r, statuses[r.uid], time), time) for r in records)
        self._begun.update(uids)

    async def _beat(self, site: str, running: list[str]) -> None:
        time = asyncio.get_running_loop().time()
        if running and time - self._beats.get(site, -BEAT) >= BEAT:
            await self.ledger.beat(running, now())
            self._beats[site] = time

    async def complete(self, workload: Workload, status: PodStatus | None) -> bool:
        """Write the end of a workload as its site tells it; False when more is still to come.

        Of a job that still runs nothing is written yet: it is to be taken away first.
        """
        if _phase(status) in _LIVE:
            return True
        more = status is not None and status.usage is not None and not status.usage.final
        last = not (more and self._waits(workload.uid))
        await self._close(workload, status, last=last)
        return last

    async def gone(self, workload: Workload, before: PodStatus | None) -> None:
        """Write the end of a workload that its site does not know any more.

        `before` is the last that it said of it.
        """
        await self._close(workload, before, last=True)

    async def orphaned(self, workload: Workload) -> None:
        """Write the end of a workload whose site is not there to be asked."""
        await self._close(workload, None, last=True)

    async def interrupted(self, workload: Workload) -> None:
        """Write what is known of an end while its site does not answer; more will come."""
        record = await self.ledger.get(workload.uid)
        if record is not None and record.ended is None:
            await self._close(workload, None, last=False)

    def _waits(self, uid: str) -> bool:
        time = asyncio.get_running_loop().time()
        return time - self._late.setdefault(uid, time) < FINAL_PATIENCE

    async def _close(self, workload: Workload, status: PodStatus | None, *, last: bool) -> None:
        record = await self.ledger.get(workload.uid)
        if record is None:
            record = found(workload)
        if record.final:
            return
        said = told(record, status, now())
        for problem in said.problems:
            log.warning("usage of workload %s: refused: %s", workload.uid, problem)
            await self.ledger.reject(workload.site, workload.uid, problem, now())
        await self.ledger.put(
            closed(
                record,
                workload,
                said,
                now=now(),
                site=self._site(workload) or SiteAccounting(),
                status=status,
                last=last,
            )
        )
        self._forget(workload.uid, last=last)

    def _forget(self, uid: str, *, last: bool) -> None:
        if last:
            self._begun.discard(uid)
            self._late.pop(uid, None)

    def _site(self, workload: Workload) -> SiteAccounting | None:
        link = self._links.by_name.get(workload.site)
        return link.site.accounting if link is not None else None


def _phase(status: PodStatus | None) -> str:
    return status.phase if status is not None else ""
