"""What callers ask of the ledger: usage, records, budgets, estimates, overviews."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from farlab_sites.accounting import Budget
from farlab_sites.catalogue import Catalogue, Site
from farlab_sites.manifest import walltime
from farlab_sites.profiles import Choice, ChoiceError
from farlab_sites.wishes import Wish, granted
from sqlalchemy import Connection

from ..apel.months import Month
from ..apel.preview import Preview, previews
from ..apel.state import Published, publication
from ..errors import BadRequestError, NotFoundError
from ..identity.person import Person
from ..links import Links
from ..models import Workload, now
from ..store import Store
from . import overview
from .budgets import OPEN_END, Share, Standing, cost, matching, over_budget
from .energy import Draw, Energy, energy
from .ledger import Place, live_until
from .opening import attributed
from .queries import By, Span, Used, Whose, usage
from .recorder import Recorder
from .records import UsageRecord
from .rollup import DAY, day_of

HOUR = 3600.0
PAGE = 5000  # records in one step of an export
MONTHS = 12  # of which the publication is told


@dataclass(frozen=True)
class Now:
    """A live workload and what it has used until now; times in seconds."""

    record: UsageRecord
    workload: Workload
    elapsed_s: float
    left_s: float | None
    wait_s: float

    @property
    def hours(self) -> float:
        """How long it has run."""
        return self.elapsed_s / HOUR


@dataclass(frozen=True)
class Estimate:
    """What a choice will use if it runs to its end, and what that leaves of the budgets."""

    cores: float
    gpus: int
    memory: int
    seconds: float
    limited: bool
    """Whether there is an end: without one, an hour is taken."""
    energy: Energy
    shares: tuple[tuple[Standing, float], ...]
    """Each budget and what this would take of it."""
    refused: str


@dataclass(frozen=True)
class Overview:
    """What those who run a hub or a group look at."""

    users: list[Used]
    groups: list[Used]
    sites: list[Used]
    images: list[overview.ImageUse]
    starts: list[overview.Starts]
    active_users: dict[str, int]


@dataclass(frozen=True)
class Health:
    """How complete the ledger is."""

    sites: list[overview.LastRecord]
    gaps: list[overview.Gap]
    duplicates: list[overview.Duplicate]
    rejects: list[overview.Rejected]
    publication: list[Published]


class Desk:
    """Answers questions about usage; who may ask them, others check."""

    def __init__(self, store: Store, links: Links, recorder: Recorder, state_dir: Path) -> None:
        self._store = store
        self._links = links
        self._ledger = recorder.ledger
        self._budgets = recorder.budgets
        self._state_dir = state_dir

    async def managed(self, user: str) -> list[str]:
        """Return the groups whose usage a user may read."""
        managers = (await self._links.catalogue()).accounting.managers
        return [group for group, users in managers.items() if user in users]

    async def usage(self, span: Span, by: Sequence[By], whose: Whose) -> tuple[list[Used], Used]:
        """Return what was used by these dimensions, and in total."""
        return await self._ledger.read(lambda c: usage(c, span, by, whose, now()))

    async def now(self, whose: Whose) -> list[Now]:
        """Return what lives, and what it has used until now."""
        workloads = {w.uid: w for w in await self._store.find(owner=whose.owner)}
        live = await self._ledger.live(owner=whose.owner, group=whose.group)
        return [_now(record, workloads[record.uid]) for record in live if record.uid in workloads]

    async def page(
        self, span: Span, whose: Whose, after: Place | None, limit: int
    ) -> tuple[list[UsageRecord], Place | None]:
        """Return a page of records, the newest first, and where the next one begins."""
        found = await self._page(span, whose, after, limit + 1, newest=True)
        more = len(found) > limit
        found = found[:limit]
        return found, _place(found[-1]) if more else None

    async def pages(self, span: Span, whose: Whose) -> AsyncIterator[list[UsageRecord]]:
        """Yield all records, in the order of their ends."""
        after: Place | None = None
        while found := await self._page(span, whose, after, PAGE):
            yield found
            after = _place(found[-1])

    async def _page(
        self,
        span: Span,
        whose: Whose,
        after: Place | None,
        limit: int,
        *,
        newest: bool = False,
    ) -> list[UsageRecord]:
        found = await self._ledger.records(
            span.first * DAY,
            (span.last + 1) * DAY,
            owner=whose.owner,
            group=whose.group,
            after=after,
            limit=limit,
            newest=newest,
        )
        if whose.group is None:
            return found
        # Who reads a group's usage is not told in which other groups its members are.
        return [replace(record, groups=(whose.group,)) for record in found]

    async def budgets(self, owner: str | None, groups: Sequence[str]) -> list[Standing]:
        """Return how the budgets of a user, and of these groups, stand."""
        budgets = (await self._links.catalogue()).budgets
        return await self._budgets.standings(budgets, now(), owner=owner, groups=groups)

    async def budgets_at(self, sites: Sequence[Site], person: Person) -> dict[str, list[Standing]]:
        """Return the budgets that count for a person's new workload at each of these sites."""
        budgets = (await self._links.catalogue()).budgets
        shares = {site.name: [*_shares(budgets, site, person)] for site in sites}
        found = await self._budgets.of({share for some in shares.values() for share in some}, now())
        return {site: [found[s] for s in some if s in found] for site, some in shares.items()}

    async def estimate(
        self, wish: Wish, user: str, groups: Sequence[str], entitlements: Collection[str] = ()
    ) -> Estimate:
        """Return what a choice will use, and whether the budgets have room for it."""
        catalogue = await self._links.catalogue()
        chosen = _granted(catalogue, wish, groups)
        gpus = chosen.partition.gpus if chosen.partition else 0
        limit = walltime(chosen.site, chosen.profile, chosen.partition)
        seconds = float(limit or OPEN_END)
        draw = Draw(chosen.size.cpu, gpus, chosen.size.memory)
        vo = attributed(chosen.site.groups, groups, entitlements)
        standings = await self._budgets.standings(
            catalogue.budgets,
            now(),
            owner=user,
            groups=[vo] if vo else [],
            site=chosen.site.name,
        )
        shares = tuple((stands, _asked(stands, draw, seconds)) for stands in standings)
        full = next((over for over in shares if over[1] > over[0].left + 1e-6), None)
        refused = over_budget(*full) if full else None
        return Estimate(
            cores=draw.cores,
            gpus=gpus,
            memory=draw.memory,
            seconds=seconds,
            limited=limit is not None,
            energy=energy(chosen.site.accounting, draw, now(), now() + seconds),
            shares=shares,
            refused=f"{refused.message}. {refused.fix}" if refused else "",
        )

    async def overview(self, span: Span, whose: Whose) -> Overview:
        """Return what those who run a hub, or a group, look at."""
        time = now()

        def work(connection: Connection) -> Overview:
            def by(dimension: By) -> list[Used]:
                rows, _ = usage(connection, span, [dimension], whose, time)
                return sorted(rows, key=lambda row: -row.core_hours)[: overview.SHOWN]

            return Overview(
                users=by("user"),
                groups=by("group"),
                sites=by("site"),
                images=overview.images(connection, span, whose),
                starts=overview.starts(connection, span, whose),
                active_users=overview.active_users(connection, day_of(time), whose),
            )

        return await self._ledger.read(work)

    async def health(self) -> Health:
        """Return how complete the ledger is, and what of the last year was published."""
        time = now()
        published = await asyncio.to_thread(publication, self._state_dir, _year_until(time))
        return await self._ledger.read(
            lambda c: Health(
                sites=overview.last_records(c),
                gaps=overview.gaps(c, time),
                duplicates=overview.duplicates(c, time),
                rejects=overview.rejects(c),
                publication=published,
            )
        )

    async def messages(self, uid: str, whose: Callable[[UsageRecord], None]) -> list[Preview]:
        """Return what is published of a workload, to each target; `whose` checks who may know."""
        record = await self._ledger.get(uid)
        if record is None:
            msg = f"there is no usage record {uid}"
            raise NotFoundError(msg, "Choose one that GET usage/records names.")
        whose(record)
        return previews(record, await self._links.catalogue())


def _year_until(time: float) -> list[str]:
    """Return the last twelve months, the newest first."""
    month = Month.of(time)
    months = [month]
    while len(months) < MONTHS:
        months.append(month := month.previous())
    return [str(one) for one in months]


def _place(record: UsageRecord) -> Place:
    return Place(record.ended or 0.0, record.uid)


def _now(record: UsageRecord, workload: Workload) -> Now:
    time = now()
    started = record.started
    elapsed = max(0.0, live_until(record, time) - started) if started is not None else 0.0
    left = workload.walltime
    if workload.deadline is not None:
        left = max(0.0, workload.deadline - time)
    elif workload.walltime is not None and started is not None:
        left = max(0.0, workload.walltime - elapsed)
    wait = max(0.0, (started if started is not None else time) - record.submitted)
    return Now(record, workload, elapsed, left, wait)


def _shares(budgets: Sequence[Budget], site: Site, person: Person) -> Iterator[Share]:
    vo = attributed(site.groups, person.groups, person.entitlements)
    groups = [vo] if vo else []
    return matching(budgets, owner=person.name, groups=groups, site=site.name)


def _asked(stands: Standing, draw: Draw, seconds: float) -> float:
    gib = draw.memory / 2**30
    hourly = cost(stands.budget.unit, core=draw.cores, gpu=draw.gpus, gib=gib)
    return hourly * seconds / HOUR


def _granted(catalogue: Catalogue, wish: Wish, groups: Sequence[str]) -> Choice:
    try:
        return granted(catalogue, wish, groups)
    except ChoiceError as error:
        msg, fix = f"{error.field}: {error.message}", f"{error.fix[:1].upper()}{error.fix[1:]}."
        if error.field == "site":
            raise NotFoundError(msg, fix, code="no-such-site") from error
        raise BadRequestError(msg, fix, code="bad-choice") from error
