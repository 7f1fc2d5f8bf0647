"""What the usage API is asked: whose usage, when, by what."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from farlab_sites.fields import Walltime
from farlab_sites.wishes import Wish
from pydantic import BeforeValidator, Field

from ..operations import Query
from .ledger import Place
from .queries import By, Span

DAYS = 30  # if nothing else is asked for
MOST_RECORDS = 1000
EPOCH, FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(1970, 1, 2), date(9999, 12, 1)

Name = Annotated[str, Field(min_length=1, max_length=255)]


def _written_out(value: object) -> object:
    """Refuse what pydantic would take for a date as well, such as seconds."""
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        msg = "write it as 2026-11-26"
        raise ValueError(msg)
    return value


Day = Annotated[date, BeforeValidator(_written_out)]
BY: tuple[By, ...] = ("day", "month", "site", "profile", "kind", "user", "group")
_BY = "^(({0})(,({0}))*)?$".format("|".join(BY))


def today() -> date:
    """Return today (UTC)."""
    return datetime.now(UTC).date()


class WhoseQuery(Query):
    """Whose usage."""

    owner: Name | None = Field(
        default=None, description="Another user's, for administrators; with `group` for managers."
    )
    group: Name | None = Field(
        default=None, description="What was used in a group, for its managers and administrators."
    )
    all: bool = Field(default=False, description="Everybody's, for administrators.")


class SpanQuery(WhoseQuery):
    """Whose usage, and when."""

    since: Day = Field(
        default_factory=lambda: today() - timedelta(days=DAYS - 1),
        description="First day (UTC); default: 29 days ago.",
    )
    until: Day = Field(
        default_factory=today, description="Last day, itself included; default: today."
    )

    @property
    def span(self) -> Span:
        """The days, since the epoch."""
        first, last = (min(max(day, FIRST_DAY), LAST_DAY) for day in (self.since, self.until))
        return Span((first - EPOCH).days, (last - EPOCH).days)


class UsageQuery(SpanQuery):
    """Whose usage, when, and by what."""

    by: str = Field(
        default="day,site",
        pattern=_BY,
        max_length=100,
        description="Dimensions with commas in between: day, month, site, profile, kind, user, "
        "group. Empty: only totals.",
    )

    @property
    def dimensions(self) -> list[By]:
        """The dimensions in the order in which they were named."""
        known: dict[str, By] = {name: name for name in BY}
        return [known[name] for name in dict.fromkeys(self.by.split(",")) if name]


class RecordsQuery(SpanQuery):
    """Whose records, when, and which page."""

    limit: int = Field(default=100, ge=1, le=MOST_RECORDS, description="At most so many.")
    cursor: str = Field(
        default="",
        pattern=r"^(\d{1,12}(\.\d{1,9})?_[0-9a-f-]{36})?$",
        description="`next` of the page before.",
    )

    @property
    def after(self) -> Place | None:
        """Where the page begins."""
        ended, _, uid = self.cursor.partition("_")
        return Place(float(ended), uid) if ended else None


class ExportQuery(SpanQuery):
    """Whose records, when, and as what."""

    format: Literal["csv", "parquet"] = Field(default="csv", description="Kind of file.")


class BudgetsQuery(Query):
    """Whose budgets."""

    owner: Name | None = Field(default=None, description="Another user's, for administrators.")
    group: Name | None = Field(
        default=None, description="A group's, for its managers and administrators."
    )


class EstimateQuery(Query):
    """What somebody thinks of starting; what is left out is the catalogue's first that fits."""

    site: Name = Field(description="The site's name.")
    profile: str = Field(default="", max_length=255, description="The profile's name.")
    size: str = Field(default="", max_length=255, description="The size's key or title.")
    partition: str = Field(default="", max_length=255, description="The partition's key or title.")
    walltime: Walltime | None = Field(default=None, description="H:MM:SS, or minutes.")
    user: Name | None = Field(default=None, description="Another user, for the spawner alone.")
    user_group: list[str] = Field(
        default=[], max_length=500, description="With `user`: the groups of that user."
    )

    @property
    def wish(self) -> Wish:
        """What is asked of the catalogue."""
        return Wish(
            site=self.site,
            profile=self.profile,
            size=self.size,
            partition=self.partition,
            walltime=self.walltime,
        )
