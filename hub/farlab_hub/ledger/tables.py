"""The ledger's tables: one row for each workload, and sums by day and month.

Sums are whole numbers (milliseconds, milliwatt hours, milligrams), so that a correction takes out
exactly what was put in. They hold what has ended; what lives is added when somebody asks.
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import JSON, BigInteger, Index, String, Table, Text
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from ..tables import Base

NAME = String(255)


class UsageRow(Base):
    """One usage record; see `records.UsageRecord` for the fields."""

    __tablename__ = "usage_records"
    __table_args__ = (
        Index("usage_of_owner", "owner", "ended", "uid"),
        Index("usage_of_group", "vo", "ended"),
        Index("usage_by_end", "ended", "uid"),
    )

    uid: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(NAME)
    issuer_subject: Mapped[str] = mapped_column(Text)
    groups: Mapped[list[Any]] = mapped_column(JSON)
    vo: Mapped[str] = mapped_column(NAME)
    account: Mapped[str] = mapped_column(NAME)
    site: Mapped[str] = mapped_column(NAME)
    kind: Mapped[str] = mapped_column(String(16))
    profile: Mapped[str] = mapped_column(NAME)
    image: Mapped[str] = mapped_column(Text)
    job_id: Mapped[str] = mapped_column(NAME)
    submitted: Mapped[float]
    started: Mapped[float | None]
    ended: Mapped[float | None]
    heartbeat: Mapped[float]
    cores: Mapped[float]
    gpus: Mapped[float]
    gpu_type: Mapped[str] = mapped_column(NAME)
    memory: Mapped[int] = mapped_column(BigInteger)
    cpu_s: Mapped[float | None]
    peak_memory: Mapped[int | None] = mapped_column(BigInteger)
    energy_kwh: Mapped[float | None]
    energy_source: Mapped[str] = mapped_column(String(16))
    co2e_g: Mapped[float | None]
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    exit_code: Mapped[int | None] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(String(16))
    final: Mapped[bool]
    # How long it may run, in seconds: a budget holds that much back. No part of the record.
    walltime: Mapped[float | None]


class Sums:
    """What is added up."""

    workloads: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    wait_ms: Mapped[int] = mapped_column(BigInteger)
    core_ms: Mapped[int] = mapped_column(BigInteger)
    gpu_ms: Mapped[int] = mapped_column(BigInteger)
    idle_gpu_ms: Mapped[int] = mapped_column(BigInteger)
    cpu_ms: Mapped[int] = mapped_column(BigInteger)
    # Of the cores whose CPU time is known.
    known_core_ms: Mapped[int] = mapped_column(BigInteger)
    mib_s: Mapped[int] = mapped_column(BigInteger)
    measured_mwh: Mapped[int] = mapped_column(BigInteger)
    estimated_mwh: Mapped[int] = mapped_column(BigInteger)
    co2e_mg: Mapped[int] = mapped_column(BigInteger)


class _Clustered:
    @declared_attr.directive
    def __table_args__(cls) -> dict[str, Any]:  # noqa: N805 - SQLAlchemy's own way
        return {"sqlite_with_rowid": False}


class DayRow(_Clustered, Sums, Base):
    """A user's sums of one day (days since the epoch, UTC)."""

    __tablename__ = "usage_days"

    owner: Mapped[str] = mapped_column(NAME, primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    vo: Mapped[str] = mapped_column(NAME, primary_key=True)
    site: Mapped[str] = mapped_column(NAME, primary_key=True)
    profile: Mapped[str] = mapped_column(NAME, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)


class GroupDayRow(_Clustered, Sums, Base):
    """A group's sums of one day."""

    __tablename__ = "usage_group_days"

    vo: Mapped[str] = mapped_column(NAME, primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    site: Mapped[str] = mapped_column(NAME, primary_key=True)
    profile: Mapped[str] = mapped_column(NAME, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)


class MonthRow(_Clustered, Sums, Base):
    """Everybody's sums of one month (12 x year + month - 1)."""

    __tablename__ = "usage_months"

    month: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    vo: Mapped[str] = mapped_column(NAME, primary_key=True)
    site: Mapped[str] = mapped_column(NAME, primary_key=True)
    owner: Mapped[str] = mapped_column(NAME, primary_key=True)
    profile: Mapped[str] = mapped_column(NAME, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)


class RejectRow(Base):
    """Something that a site said of a job and that can't be true."""

    __tablename__ = "usage_rejects"

    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[float]
    site: Mapped[str] = mapped_column(NAME)
    workload: Mapped[str] = mapped_column(String(36))
    problem: Mapped[str] = mapped_column(Text)


def table_of(row: type[Base]) -> Table:
    """Return the table of a class of rows."""
    return cast("Table", row.__table__)
