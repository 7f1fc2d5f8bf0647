"""The hub service's tables (SQLAlchemy 2, typed)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .models import Event, Workload
from .states import State


class Base(DeclarativeBase):
    """The parent of every table."""

    type_annotation_map = {dict[str, Any]: JSON, float: Double}  # noqa: RUF012 - SQLAlchemy's own way


class WorkloadRow(Base):
    """One workload; see `models.Workload` for the fields."""

    __tablename__ = "workloads"
    __table_args__ = (Index("by_site", "site", "state", "cleaned"),)

    uid: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(String(255), index=True)
    server_name: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(16))
    site: Mapped[str] = mapped_column(String(255))
    profile: Mapped[str] = mapped_column(String(255))
    options: Mapped[dict[str, Any]]
    account: Mapped[str | None] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    job_id: Mapped[str] = mapped_column(String(255))
    node: Mapped[str] = mapped_column(String(255))
    address: Mapped[str] = mapped_column(String(255))
    listeners: Mapped[dict[str, Any]]
    secret_sha256: Mapped[str] = mapped_column(String(64))
    pod: Mapped[dict[str, Any]]
    created: Mapped[float]
    updated: Mapped[float]
    walltime: Mapped[float | None]
    deadline: Mapped[float | None] = mapped_column(default=None)
    log_tail: Mapped[str] = mapped_column(Text, default="")
    exit_code: Mapped[int | None] = mapped_column(default=None)
    agent: Mapped[str] = mapped_column(String(64), default="")
    tries: Mapped[int] = mapped_column(default=0)
    submitted: Mapped[bool] = mapped_column(default=False)
    cleaned: Mapped[bool] = mapped_column(default=False)
    seq: Mapped[int] = mapped_column(default=0)

    def view(self, events: tuple[Event, ...] = ()) -> Workload:
        """Return the row as a plain value."""
        values = {name: getattr(self, name) for name in _COLUMNS}
        values["state"] = State(self.state)
        values["listeners"] = {int(port): listen for port, listen in self.listeners.items()}
        return Workload(**values, events=events)


_COLUMNS = tuple(column.key for column in WorkloadRow.__table__.columns)


class EventRow(Base):
    """One event of a workload."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("workload", "seq"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    workload: Mapped[str] = mapped_column(ForeignKey("workloads.uid", ondelete="CASCADE"))
    seq: Mapped[int]
    time: Mapped[float]
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)

    def view(self) -> Event:
        """Return the row as a plain value."""
        return Event(self.seq, self.time, State(self.state), self.reason, self.message)
