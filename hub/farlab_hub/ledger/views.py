"""What the usage API answers. Times in seconds since the epoch, memory in bytes."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .budgets import Standing
from .queries import By, Used


class View(BaseModel):
    """A part of an answer, made of the value of that name."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class SumsView(View):
    """What was used."""

    core_hours: float
    gpu_hours: float
    memory_gib_hours: float
    wait_hours: float
    cpu_hours: float = Field(description="CPU time that was really used, where that is known.")
    efficiency: float | None = Field(
        description="CPU time per core time, of the workloads whose CPU time is known."
    )
    idle_gpu_hours: float = Field(description="GPU hours of jobs that used hardly any CPU.")
    workloads: int = Field(description="That ended then, or live and were seen then.")
    failed: int
    energy_kwh: float | None
    energy_source: Literal["measured", "estimated", "mixed", ""]
    co2e_g: float | None


class UsageRow(SumsView):
    """What was used, of one value of each dimension that was asked for."""

    day: str | None = Field(default=None, description="Such as 2026-11-26 (UTC).")
    month: str | None = Field(default=None, description="Such as 2026-11.")
    site: str | None = None
    profile: str | None = None
    kind: str | None = None
    user: str | None = None
    group: str | None = Field(default=None, description="Empty: of users in no group.")


class UsageView(View):
    """What was used in a time."""

    since: date
    until: date
    rows: list[UsageRow]
    totals: SumsView


class NowView(View):
    """A live workload and what it has used until now."""

    uid: str
    owner: str
    name: str
    kind: str
    site: str
    profile: str
    job_id: str
    state: str
    reason: str
    started: float | None = Field(description="By the batch system's clock; null while it waits.")
    cores: float
    gpus: float
    gpu_type: str
    memory: int
    elapsed_s: float
    left_s: float | None = Field(description="Until its time limit; null where there is none.")
    wait_s: float
    core_hours: float
    gpu_hours: float


class RecordView(View):
    """What one workload used; see docs/accounting.md for the fields."""

    uid: str
    owner: str
    issuer_subject: str
    groups: list[str]
    vo: str
    account: str
    site: str
    kind: str
    profile: str
    image: str
    job_id: str
    submitted: float
    started: float | None
    ended: float | None
    heartbeat: float
    cores: float
    gpus: float
    gpu_type: str
    memory: int
    cpu_s: float | None
    peak_memory: int | None
    energy_kwh: float | None
    energy_source: str
    co2e_g: float | None
    state: str
    reason: str
    exit_code: int | None
    source: str
    final: bool
    wait_s: float
    wall_s: float


class RecordsView(View):
    """A page of records, the newest first."""

    records: list[RecordView]
    next: str | None = Field(description="The next page's `cursor`; null on the last one.")


class BudgetView(View):
    """How a budget stands."""

    name: str
    scope: Literal["user", "group"]
    subject: str
    sites: list[str] = Field(description="Empty: all.")
    unit: str
    amount: float
    used: float
    held: float = Field(description="What live workloads may still use of it.")
    left: float
    window: str
    state: Literal["ok", "warn", "full"] = Field(description="`warn` from 80 % on.")
    empty_on: float | None = Field(description="When it is used up at the last week's rate.")
    room_at: float | None = Field(description="When there is room again, if it is full.")


class WeightsView(View):
    """What an hour of each resource costs in a budget's unit."""

    core: float
    gpu: float
    gib: float
    cpu: float


class SiteBudgetView(BudgetView):
    """A budget that counts at a site."""

    weights: WeightsView
    coming: list[tuple[float, float]] = Field(
        description="When old use leaves a rolling window, and what is left from then on."
    )


class AfterView(BudgetView):
    """How a budget stands, and what a choice would leave of it."""

    takes: float
    after: float = Field(description="What is left then; below 0: there is no room.")


class EstimateView(View):
    """What a choice will use if it runs to its end."""

    core_hours: float
    gpu_hours: float
    memory_gib_hours: float
    per_hour: dict[str, float] = Field(description="Cores, GPUs and GiB of memory.")
    hours: float
    limited: bool = Field(description="Without a time limit, one hour is taken.")
    energy_kwh: float | None
    co2e_g: float | None
    budgets: list[AfterView]
    refused: str = Field(description="Why it would be refused, and what to do; empty if it is not.")


class ImageUseView(View):
    """What was run with an image."""

    image: str
    workloads: int
    core_hours: float
    gpu_hours: float


class StartsView(View):
    """How workloads started at a site; times in seconds, `p90`: nine of ten were not above it."""

    site: str
    asked: int
    started: int
    failed: int = Field(description="Before they were ready.")
    success: float | None = Field(description="Started, of those that started or failed.")
    first_cell_p50: float | None = Field(description="From the request until it was ready.")
    first_cell_p90: float | None
    wait_p50: float | None = Field(description="From the request until the job's start.")
    wait_p90: float | None
    wait_p99: float | None


class ActiveUsersView(View):
    """How many users used something in the last day, week and month."""

    day: int
    week: int
    month: int


class OverviewView(View):
    """What those who run a hub or a group look at; the first hundred of each."""

    since: date
    until: date
    users: list[UsageRow]
    groups: list[UsageRow]
    sites: list[UsageRow]
    images: list[ImageUseView]
    starts: list[StartsView]
    active_users: ActiveUsersView


class LastRecordView(View):
    """The newest that the ledger has of a site."""

    site: str
    heartbeat: float
    ended: float | None
    live: int


class GapView(View):
    """Something that the ledger should know of a workload and does not."""

    uid: str
    owner: str
    site: str
    job_id: str
    since: float
    problem: str


class DuplicateView(View):
    """Several workloads' records that name one job."""

    site: str
    job_id: str
    uids: list[str]


class RejectView(View):
    """What a site said that can't be true."""

    time: float
    site: str
    uid: str
    problem: str


class PublishedView(View):
    """How far a month is with one target."""

    target: str
    month: str = Field(description="Such as 2026-11.")
    records: int = Field(description="That the target has.")
    messages: int = Field(description="That were sent.")
    waiting: int = Field(description="Messages that could not be sent yet.")
    last_sent: float | None
    rejected: int = Field(description="Records that can't be sent as they are.")
    failure: str = Field(description="Why the last try failed; empty after one that did not.")

    @field_validator("rejected", mode="before")
    @classmethod
    def _how_many(cls, value: Any) -> Any:
        return len(value) if isinstance(value, tuple) else value


class MessageView(View):
    """What a target gets of one workload."""

    target: str
    month: str
    records: Literal["cloud", "jobs", "summaries"] = Field(
        description="In `summaries` it is added to what else the user ran in that month."
    )
    text: str = Field(description="The message, as if this were alone in it.")
    problem: str = Field(description="Why it is not sent; empty if it is.")


class ReadableView(View):
    """Whose usage the caller may read besides its own."""

    groups: list[str] = Field(description="Those that it manages.")
    all: bool


class HealthView(View):
    """How complete the ledger is."""

    sites: list[LastRecordView]
    gaps: list[GapView]
    duplicates: list[DuplicateView]
    rejects: list[RejectView]
    publication: list[PublishedView] = Field(
        description="What was published in the last twelve months, by month and target."
    )


def budget_of(stands: Standing) -> BudgetView:
    """Return how a budget stands."""
    budget = stands.budget
    return BudgetView(
        name=budget.name,
        scope=stands.share.scope,
        subject=stands.share.subject,
        sites=[*(budget.sites or ())],
        unit=budget.unit.name,
        amount=budget.amount,
        used=stands.used,
        held=stands.held,
        left=stands.left,
        window=str(budget.window),
        state=stands.state,
        empty_on=stands.empty_on,
        room_at=stands.room_at,
    )


def site_budget_of(stands: Standing) -> SiteBudgetView:
    """Return how a budget stands, with what it takes to tell what a choice would use of it."""
    return SiteBudgetView(
        **budget_of(stands).model_dump(),
        weights=WeightsView.model_validate(stands.budget.unit),
        coming=[*stands.coming],
    )


def row_of(by: list[By], used: Used) -> UsageRow:
    """Return a row of sums with its dimensions."""
    key: dict[str, Any] = dict(zip(by, used.key, strict=True))
    return UsageRow(**SumsView.model_validate(used).model_dump(), **key)
