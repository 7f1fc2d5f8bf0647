"""The addresses of the usage API: what was used, by whom it may be read, and for Prometheus."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from .auth import ADMIN, METRICS, Caller
from .handlers import ApiHandler
from .ledger.access import for_whom, may_read, may_scrape, must_be_admin, whose
from .ledger.asking import (
    BudgetsQuery,
    EstimateQuery,
    ExportQuery,
    RecordsQuery,
    SpanQuery,
    UsageQuery,
    WhoseQuery,
)
from .ledger.desk import Desk, Estimate, Now
from .ledger.exporting import ParquetFile, csv_head, csv_lines
from .ledger.ledger import Place
from .ledger.queries import Whose
from .ledger.views import (
    AfterView,
    BudgetView,
    EstimateView,
    HealthView,
    MessageView,
    NowView,
    OverviewView,
    ReadableView,
    RecordsView,
    RecordView,
    SumsView,
    UsageView,
    budget_of,
    row_of,
)
from .metrics import CONTENT_TYPE
from .openapi import Route
from .operations import TEXT, Answer, operation
from .service import HubService

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
CHUNK = 2**20


class _Usage:
    """What all usage addresses share."""

    service: HubService
    caller: Caller

    @property
    def desk(self) -> Desk:
        """What answers questions about usage."""
        return self.service.usage

    async def whose(self, query: WhoseQuery) -> Whose:
        """Return whose usage is meant, if the caller may read it."""
        managed = await self.desk.managed(self.caller.name) if self.caller.is_user else []
        return whose(self.caller, managed, owner=query.owner, group=query.group, everyone=query.all)


class SumsHandler(_Usage, ApiHandler):
    """Usage, added up."""

    @operation(
        "What was used, by day, site and so on",
        Answer("A row for each combination in which something was used.", UsageView),
        query=UsageQuery,
    )
    async def get(self) -> None:
        """Hours count on the days and in the months (UTC) in which they were used."""
        query: UsageQuery = self.query
        mine, by = await self.whose(query), query.dimensions
        rows, total = await self.while_connected(self.desk.usage(query.span, by, mine))
        self.answer(
            UsageView(
                since=query.since,
                until=query.until,
                rows=[row_of(by, row) for row in rows],
                totals=SumsView.model_validate(total),
            )
        )


class NowHandler(_Usage, ApiHandler):
    """What is being used."""

    @operation(
        "What lives now, and what it has used",
        Answer("The oldest first.", list[NowView]),
        query=WhoseQuery,
    )
    async def get(self) -> None:
        """Count from the batch system's start of each job."""
        found = await self.while_connected(self.desk.now(await self.whose(self.query)))
        self.answer([_now(one) for one in found])


class RecordsHandler(_Usage, ApiHandler):
    """Records, by the page."""

    @operation(
        "Usage records of what has ended, the newest first",
        Answer("A page of them.", RecordsView),
        query=RecordsQuery,
    )
    async def get(self) -> None:
        """Give every record that used something in that time, or ended in it."""
        query: RecordsQuery = self.query
        mine = await self.whose(query)
        page = self.desk.page(query.span, mine, query.after, query.limit)
        records, place = await self.while_connected(page)
        shown = [RecordView.model_validate(record) for record in records]
        self.answer(RecordsView(records=shown, next=_cursor(place)))


class ExportHandler(_Usage, ApiHandler):
    """Records as a file."""

    @operation(
        "Usage records as a file",
        Answer("One line for each record.", str, CSV),
        Answer("The same as Parquet.", str, PARQUET),
        query=ExportQuery,
    )
    async def get(self) -> None:
        """Give every record that used something in that time, the oldest first."""
        query: ExportQuery = self.query
        mine = await self.whose(query)
        name = f"usage-{query.since}-{query.until}.{query.format}"
        write = self._csv if query.format == "csv" else self._parquet
        await self.while_connected(write(query, mine, name))

    def _begin(self, kind: str, name: str) -> None:
        self.set_header("Content-Type", kind)
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')

    async def _csv(self, query: ExportQuery, mine: Whose, name: str) -> None:
        self._begin(f"{CSV}; charset=utf-8", name)
        self.write(csv_head())
        async for records in self.desk.pages(query.span, mine):
            self.write(await asyncio.to_thread(csv_lines, records))
            await self.flush()
        await self.finish()

    async def _parquet(self, query: ExportQuery, mine: Whose, name: str) -> None:
        with tempfile.TemporaryDirectory(prefix="farlab-export-") as folder:
            path = Path(folder) / name
            file = await asyncio.to_thread(ParquetFile, path)
            async for records in self.desk.pages(query.span, mine):
                await asyncio.to_thread(file.add, records)
            await asyncio.to_thread(file.close)
            self._begin(PARQUET, name)
            with path.open("rb") as whole:
                while chunk := await asyncio.to_thread(whole.read, CHUNK):
                    self.write(chunk)
                    await self.flush()
        await self.finish()


class BudgetsHandler(_Usage, ApiHandler):
    """What may still be used."""

    @operation(
        "The caller's budgets and those of its groups",
        Answer("How each one stands.", list[BudgetView]),
        query=BudgetsQuery,
    )
    async def get(self) -> None:
        """Ask for another user's, or for one group's alone, as who may read its usage."""
        query: BudgetsQuery = self.query
        # Each alone: a budget of a user counts what the user did in other groups, too, and one of
        # a group what its other members did.
        asked = [WhoseQuery(owner=query.owner)] if query.owner or not query.group else []
        asked += [WhoseQuery(group=query.group)] if query.group else []
        each = [await self.whose(one) for one in asked]
        owner, group = each[0].owner, each[-1].group
        own = self.caller.is_user and (owner, group) == (self.caller.name, None)
        groups = [*self.caller.groups] if own else [group] if group else []
        found = await self.while_connected(self.desk.budgets(owner, groups))
        self.answer([budget_of(one) for one in found])


class EstimateHandler(_Usage, ApiHandler):
    """What something would use."""

    @operation(
        "What a choice will use, and whether the budgets have room for it",
        Answer("If it runs to its time limit.", EstimateView),
        query=EstimateQuery,
        refusals=(404,),
    )
    async def get(self) -> None:
        """Name the user and its groups in the query only when acting for another."""
        query: EstimateQuery = self.query
        user, groups = for_whom(self.caller, query.user, query.user_group)
        entitlements = await self.service.entitlements(user, groups)
        asked = self.desk.estimate(query.wish, user, groups, entitlements)
        self.answer(_estimate(await self.while_connected(asked)))


class ReadableHandler(_Usage, ApiHandler):
    """Whose usage may be read."""

    @operation(
        "Whose usage the caller may read besides its own",
        Answer("The groups that it manages; all as an administrator.", ReadableView),
    )
    async def get(self) -> None:
        """Find managers in the catalogue, under accounting."""
        groups = await self.desk.managed(self.caller.name) if self.caller.is_user else []
        self.answer(ReadableView(groups=groups, all=ADMIN in self.caller.scopes))


class MessagesHandler(_Usage, ApiHandler):
    """What is published of one workload."""

    @operation(
        "What is published of a workload",
        Answer(
            "For each target and month; nothing where no target takes its site.", list[MessageView]
        ),
        refusals=(404,),
    )
    async def get(self, uid: str) -> None:
        """Tell the owner, and administrators."""
        caller = self.caller
        asked = self.desk.messages(uid, lambda record: may_read(caller, record.owner))
        found = await self.while_connected(asked)
        self.answer([MessageView.model_validate(one) for one in found])


class OverviewHandler(_Usage, ApiHandler):
    """What those who run a hub or a group look at."""

    @operation(
        "Users, groups, sites, images, and how workloads started",
        Answer("The first hundred of each.", OverviewView),
        query=SpanQuery,
    )
    async def get(self) -> None:
        """Name a group as its manager; `all` as an administrator."""
        query: SpanQuery = self.query
        mine = await self.whose(query)
        found = await self.while_connected(self.desk.overview(query.span, mine))
        self.answer(
            OverviewView.model_validate(
                {
                    "since": query.since,
                    "until": query.until,
                    "users": [row_of(["user"], row) for row in found.users],
                    "groups": [row_of(["group"], row) for row in found.groups],
                    "sites": [row_of(["site"], row) for row in found.sites],
                    "images": found.images,
                    "starts": found.starts,
                    "active_users": found.active_users,
                }
            )
        )


class HealthHandler(_Usage, ApiHandler):
    """Whether the ledger is complete."""

    @operation(
        "What the ledger misses, has twice, or has refused",
        Answer("The first hundred of each.", HealthView),
    )
    async def get(self) -> None:
        """Tell administrators."""
        must_be_admin(self.caller)
        self.answer(HealthView.model_validate(await self.while_connected(self.desk.health())))


class MetricsHandler(_Usage, ApiHandler):
    """Figures for Prometheus."""

    enough = frozenset({METRICS})

    @operation(
        "Figures about all workloads together, for Prometheus",
        Answer("Prometheus's text format.", str, TEXT),
    )
    async def get(self) -> None:
        """Tell nothing of any single user."""
        may_scrape(self.caller)
        text = await self.while_connected(self.service.metrics.text())
        self.set_header("Content-Type", CONTENT_TYPE)
        await self.finish(text)


def _cursor(place: Place | None) -> str | None:
    return f"{place.ended!r}_{place.uid}" if place is not None else None


def _now(one: Now) -> NowView:
    record, workload = one.record, one.workload
    return NowView(
        uid=record.uid,
        owner=record.owner,
        name=workload.name or workload.server_name,
        kind=record.kind,
        site=record.site,
        profile=record.profile,
        job_id=workload.job_id or record.job_id,
        state=workload.state,
        reason=workload.reason,
        started=record.started,
        cores=record.cores,
        gpus=record.gpus,
        gpu_type=record.gpu_type,
        memory=record.memory,
        elapsed_s=one.elapsed_s,
        left_s=one.left_s,
        wait_s=one.wait_s,
        core_hours=record.cores * one.hours,
        gpu_hours=record.gpus * one.hours,
    )


def _estimate(found: Estimate) -> EstimateView:
    hours, gib = found.seconds / 3600, found.memory / 2**30
    return EstimateView(
        core_hours=found.cores * hours,
        gpu_hours=found.gpus * hours,
        memory_gib_hours=gib * hours,
        per_hour={"core_hours": found.cores, "gpu_hours": found.gpus, "memory_gib_hours": gib},
        hours=hours,
        limited=found.limited,
        energy_kwh=found.energy.kwh,
        co2e_g=found.energy.co2e_g,
        budgets=[
            AfterView(**budget_of(stands).model_dump(), takes=takes, after=stands.left - takes)
            for stands, takes in found.shares
        ],
        refused=found.refused,
    )


ROUTES = (
    Route("usage", SumsHandler),
    Route("usage/now", NowHandler),
    Route("usage/records", RecordsHandler),
    Route("usage/records/{uid}/apel", MessagesHandler),
    Route("usage/readable", ReadableHandler),
    Route("usage/export", ExportHandler),
    Route("usage/budgets", BudgetsHandler),
    Route("usage/estimate", EstimateHandler),
    Route("usage/overview", OverviewHandler),
    Route("usage/health", HealthHandler),
    Route("metrics", MetricsHandler),
)
