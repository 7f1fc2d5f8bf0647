"""The ledger's records of a month, one after the other, however many there are.

Only what is published is read, into a plain tuple: a month can have a million of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Engine, Integer, Select, and_, or_, select, type_coerce
from sqlalchemy.exc import OperationalError, ProgrammingError

from ..ledger.tables import UsageRow
from .months import Month

_AT_ONCE = 5000  # rows in memory


class Usage(Protocol):
    """What is published of a usage record; see `ledger.records.UsageRecord`."""

    @property
    def uid(self) -> str: ...  # noqa: D102
    @property
    def owner(self) -> str: ...  # noqa: D102
    @property
    def issuer_subject(self) -> str: ...  # noqa: D102
    @property
    def vo(self) -> str: ...  # noqa: D102
    @property
    def account(self) -> str: ...  # noqa: D102
    @property
    def site(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def profile(self) -> str: ...  # noqa: D102
    @property
    def image(self) -> str: ...  # noqa: D102
    @property
    def job_id(self) -> str: ...  # noqa: D102
    @property
    def started(self) -> float | None: ...  # noqa: D102
    @property
    def ended(self) -> float | None: ...  # noqa: D102
    @property
    def heartbeat(self) -> float: ...  # noqa: D102
    @property
    def cores(self) -> float: ...  # noqa: D102
    @property
    def gpus(self) -> float: ...  # noqa: D102
    @property
    def gpu_type(self) -> str: ...  # noqa: D102
    @property
    def memory(self) -> int: ...  # noqa: D102
    @property
    def cpu_s(self) -> float | None: ...  # noqa: D102
    @property
    def peak_memory(self) -> int | None: ...  # noqa: D102
    @property
    def final(self) -> bool: ...  # noqa: D102


class Read(NamedTuple):
    """A `Usage` as it was read; in this order the columns are asked for."""

    uid: str
    owner: str
    issuer_subject: str
    vo: str
    account: str
    site: str
    kind: str
    profile: str
    image: str
    job_id: str
    started: float | None
    ended: float | None
    heartbeat: float
    cores: float
    gpus: float
    gpu_type: str
    memory: int
    cpu_s: float | None
    peak_memory: int | None
    final: bool


class SourceError(Exception):
    """The ledger can't be read; the message says why and what to do."""


def ledger_source(engine: Engine) -> Callable[[Month], Iterator[Usage]]:
    """Return what gives the records that touch a month, in an order that stays."""

    def records(month: Month) -> Iterator[Usage]:
        try:
            with engine.connect() as connection:
                options = connection.execution_options(yield_per=_AT_ONCE)
                for rows in options.execute(_query(month)).partitions():
                    yield from map(Read._make, rows)
        except (OperationalError, ProgrammingError) as error:
            fix = "check the state folder or --db-url, and start the hub service once"
            raise SourceError(f"the ledger can't be read: {error.orig}; {fix}") from None

    return records


def _query(month: Month) -> Select[Any]:
    *columns, final = (getattr(UsageRow, name) for name in Read._fields)
    # What lives counts while it was seen: a heartbeat before the month is of a job long dead.
    lives = and_(UsageRow.ended.is_(None), UsageRow.heartbeat >= month.start)
    touches = or_(UsageRow.ended >= month.start, lives)
    return (
        # As a number it is taken as it is, without a step in between for each row.
        select(*columns, type_coerce(final, Integer))
        .where(UsageRow.started < month.end, touches)
        .order_by(UsageRow.ended, UsageRow.uid)
    )
