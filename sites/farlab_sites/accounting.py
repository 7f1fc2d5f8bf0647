"""The catalogue's accounting: what a site's machines draw, who reads whose usage, budgets."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from farlab_sites.fields import Group, Label, Line
from farlab_sites.models import Model, refuse_duplicates
from farlab_sites.units import wrong

EVERYONE = "*"
"""In a budget: each user or each group, with an amount of its own."""

MOST_HOURS = 168
_SPAN = re.compile(r"([1-9]\d{0,3}) ?(hour|day|week)s?", re.ASCII)
_SECONDS = {"hour": 3600, "day": 86400, "week": 7 * 86400}

Positive = Annotated[float, Field(gt=0, le=1e12)]
Weight = Annotated[float, Field(ge=0, le=1e9)]
User = Annotated[str, Field(min_length=1, max_length=255)]


def _month(text: str) -> str:
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text, re.ASCII):
        raise wrong("is not a month", "write it as 2026-11")
    return text


Month = Annotated[str, AfterValidator(_month)]
GramsPerKwh = Annotated[float, Field(ge=0, le=10_000)]


def _every_month(value: object) -> object:
    """Return the months that one number stands for."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return {"0001-01": value} if plain else value


class Watts(Model):
    """What a site's machines draw for what is allocated, where the batch system can't say it."""

    core: Weight = Field(default=0, description="Watts per core.")
    gpu: Weight = Field(default=0, description="Watts per GPU.")
    gib: Weight = Field(default=0, description="Watts per GiB of memory.")


class Benchmark(Model):
    """How fast a site's cores are, for records of whoever compares sites."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")] = Field(
        default="HEPscore23", description="Name of the benchmark."
    )
    value: Positive = Field(description="Result per core.")


class SiteAccounting(Model):
    """A site's name in the records, and what its energy is estimated from."""

    name: Line = Field(
        default="", description="The site's name in published records; absent: the site's `name`."
    )
    benchmark: Benchmark | None = Field(
        default=None, description="How fast its cores are; absent: not said in records."
    )
    watts: Watts | None = Field(
        default=None, description="What estimates of energy start from; absent: no estimates."
    )
    pue: Annotated[float, Field(ge=1, le=10)] = Field(
        default=1.0, description="Energy of the whole data centre per energy of its machines."
    )
    grid: (
        Annotated[
            dict[Month, GramsPerKwh],
            Field(min_length=1),
            BeforeValidator(_every_month, json_schema_input_type=float | dict[Month, float]),
        ]
        | None
    ) = Field(
        default=None,
        description="Grams of CO2e per kWh: a number, or `{2026-11: 210}`, each one valid until "
        "the next.",
    )

    def grams_per_kwh(self, month: str) -> float | None:
        """Return the grid's factor in a month such as 2026-11: the latest that is known by then."""
        known = [known for known in sorted(self.grid or ()) if known <= month]
        return self.grid[known[-1]] if self.grid and known else None


class Accounting(Model):
    """Who reads the usage of others."""

    managers: dict[Group, Annotated[tuple[User, ...], Field(min_length=1)]] = Field(
        default={}, description="Users who read the usage of a group's members, by group."
    )


class Unit(Model):
    """What a budget counts: what an hour of each resource costs in it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z -]{0,39}$")] = Field(
        default="credits", description="What the unit is called."
    )
    core: Weight = Field(default=0, description="An hour of an allocated core.")
    gpu: Weight = Field(default=0, description="An hour of an allocated GPU.")
    gib: Weight = Field(default=0, description="An hour of a GiB of allocated memory.")
    cpu: Weight = Field(default=0, description="An hour of CPU time that was really used.")

    @model_validator(mode="after")
    def _something_costs(self) -> Self:
        """Refuse a unit in which everything is free."""
        if not (self.core or self.gpu or self.gib or self.cpu):
            raise wrong("counts nothing", 'add "core: 1", or another of core, gpu, gib and cpu')
        return self


UnitName = Literal["core-hours", "gpu-hours", "cpu-hours"]


def _unit(value: object) -> object:
    """Return the unit that a usual name stands for."""
    if not isinstance(value, str):
        return value
    if value not in get_args(UnitName):
        fix = f"write {', '.join(get_args(UnitName))}, or weights such as {{core: 1, gpu: 20}}"
        raise wrong(f'"{value[:40]}" is not a unit', fix)
    return {"name": value, value.partition("-")[0]: 1}


class Window(Model):
    """The time in which an amount may be used: always the last while, or between two days."""

    last: str | None = Field(
        default=None, description="How long a rolling window is, such as `30 days`."
    )
    start: date | None = Field(
        default=None, alias="from", description="First day of a fixed allocation (UTC)."
    )
    end: date | None = Field(default=None, alias="to", description="Its last day.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        """Refuse half an allocation, one that ends before it begins, and a while without unit."""
        fix = 'write "30 days", "12 hours", "4 weeks" or {from: 2026-01-01, to: 2026-12-31}'
        fixed = self.start is not None and self.end is not None
        if (self.last is None) != fixed or (self.last and (self.start or self.end)):
            raise wrong("is neither a while nor two days", fix)
        if self.last and not _SPAN.fullmatch(self.last):
            raise wrong("is not a while", fix)
        if self.last and "hour" in self.last and (self.seconds or 0) > MOST_HOURS * 3600:
            # Each record of these hours is looked at before every start; days are added up already.
            raise wrong(f"is more than {MOST_HOURS} hours", 'write it in days, such as "30 days"')
        if self.start and self.end and self.end < self.start:
            raise wrong("is before the first day", "swap them", ("to",))
        return self

    @property
    def seconds(self) -> float | None:
        """The length of a rolling window; None for a fixed allocation."""
        found = _SPAN.fullmatch(self.last or "")
        return float(int(found[1]) * _SECONDS[found[2]]) if found else None

    @property
    def bounds(self) -> tuple[float, float]:
        """The first second of a fixed allocation and the first one after it."""
        assert self.start and self.end  # noqa: S101, PT018 - the model was validated
        first, last = (
            datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
            for day in (self.start, self.end)
        )
        return first, last + 86400

    def __str__(self) -> str:
        return self.last or f"{self.start} to {self.end}"


def _window(value: object) -> object:
    return {"last": value} if isinstance(value, str) else value


class Budget(Model):
    """How much may be used: by each of these users, or by each of these groups together."""

    name: Label = Field(description="Name of the budget, unique in the file.")
    users: Annotated[tuple[User, ...], Field(min_length=1)] | None = Field(
        default=None, description='Users, each with this amount; `["*"]`: every user.'
    )
    groups: Annotated[tuple[Group, ...], Field(min_length=1)] | None = Field(
        default=None,
        description='Groups, whose members share this amount; `["*"]`: every group.',
    )
    sites: Annotated[tuple[Label, ...], Field(min_length=1)] | None = Field(
        default=None, description="Sites that it is for; absent: all together."
    )
    unit: Annotated[Unit, BeforeValidator(_unit, json_schema_input_type=UnitName | Unit)] = Field(
        description="What is counted: `core-hours`, `gpu-hours`, `cpu-hours`, or a unit of one's "
        "own such as `{name: credits, core: 1, gpu: 20}`."
    )
    amount: Annotated[float, Field(ge=0, le=1e12)] = Field(description="How many units.")
    window: Annotated[Window, BeforeValidator(_window, json_schema_input_type=str | Window)] = (
        Field(
            description="When: `30 days` (always the last ones), or an allocation's days, "
            "`{from: 2026-01-01, to: 2026-12-31}`."
        )
    )

    @model_validator(mode="after")
    def _of_users_or_groups(self) -> Self:
        """Refuse a budget of nobody, and one of both."""
        if (self.users is None) == (self.groups is None):
            raise wrong('needs one of "users" and "groups"', 'keep "users:" or "groups:"')
        return self


def budget_problem(
    budgets: Sequence[Budget], sites: Collection[str]
) -> tuple[str, str, tuple[str | int, ...]] | None:
    """Return what is wrong with a catalogue's budgets, the fix, and where; None if nothing."""
    refuse_duplicates("budgets", budgets)
    for number, budget in enumerate(budgets):
        for index, site in enumerate(budget.sites or ()):
            if site not in sites:
                fix = f"name one of {', '.join(sites)}"
                return f'there is no site "{site}"', fix, ("budgets", number, "sites", index)
    return None
