"""The ledger as the service uses it: records in, records out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, select, tuple_

from ..store import Store
from . import writing
from .records import UsageRecord

T = TypeVar("T")
R = writing.RECORDS.c

LOST_AFTER = 180.0
"""Seconds after the last heartbeat from which a live record is not taken to go on."""


@dataclass(frozen=True)
class Place:
    """Where a page of records ended: the next one begins after it."""

    ended: float
    uid: str


class Ledger:
    """Every workload's usage, in the service's database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: list[tuple[UsageRecord, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def put(self, record: UsageRecord) -> None:
        """Write a record, in place of what was there of its workload; it is on the disk then.

        Those that come while others are written go together in the next transaction.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((record, done))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                records = [record for record, _ in batch]
                failure = await self._try(records)
                for _, done in batch:
                    if not done.done():
                        _settle(done, failure)
        finally:
            self._flushing = None

    async def _try(self, records: list[UsageRecord]) -> Exception | None:
        try:
            await self.write(lambda connection: writing.put(connection, records))
        except Exception as error:
            return error
        return None

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction, which is on the disk when this returns."""
        return await self._store.transact(lambda session: work(session.connection()), synced=True)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Look something up, beside what is written."""
        return await self._store.look(lambda session: work(session.connection()))

    async def begin(self, records: Iterable[UsageRecord]) -> None:
        """Write when these workloads began, of those that have not ended meanwhile.

        Nothing of it adds to the sums yet.
        """
        batch = {record.uid: record for record in records}

        def work(connection: Connection) -> None:
            known = dict(writing.known(connection, [*batch]))
            alive = [batch[uid] for uid, record in known.items() if record.ended is None]
            writing.put(connection, alive)

        await self.write(work)

    async def beat(self, uids: Iterable[str], when: float) -> None:
        """Note that these workloads were seen running."""
        seen = list(uids)
        await self._store.transact(lambda s: writing.beat(s.connection(), seen, when))

    async def reject(self, site: str, uid: str, problem: str, when: float) -> None:
        """Note what a site said that can't be true."""
        await self.write(lambda c: writing.reject(c, site, uid, problem, when))

    async def get(self, uid: str) -> UsageRecord | None:
        """Return a workload's record."""
        return await self._store.transact(lambda s: writing.get(s.connection(), uid))

    async def some(self, uids: Sequence[str]) -> dict[str, UsageRecord]:
        """Return these workloads' records by uid."""
        return await self._store.transact(lambda s: dict(writing.known(s.connection(), uids)))

    async def records(
        self,
        since: float,
        until: float,
        *,
        owner: str | None = None,
        group: str | None = None,
        site: str | None = None,
        after: Place | None = None,
        limit: int | None = None,
        newest: bool = False,
    ) -> list[UsageRecord]:
        """Return the ended records that used something of [since, until), or ended in it.

        In the order of their ends, the `newest` first if so wished; after a place, at most
        `limit`.
        """
        query = _ended(since, until)
        query = _of(query, owner=owner, group=group, site=site)
        place = tuple_(R.ended, R.uid)
        if after is not None:
            there = tuple_(after.ended, after.uid)
            query = query.where(place < there if newest else place > there)
        order = [R.ended.desc(), R.uid.desc()] if newest else [R.ended, R.uid]
        query = query.order_by(*order).limit(limit)
        return await self._found(query)

    async def live(
        self, *, owner: str | None = None, group: str | None = None, site: str | None = None
    ) -> list[UsageRecord]:
        """Return the records of workloads that have not ended, oldest first."""
        query = _of(select(*writing.COLUMNS).where(R.ended.is_(None)), owner, group, site)
        return await self._found(query.order_by(R.submitted, R.uid))

    async def _found(self, query: Any) -> list[UsageRecord]:
        def work(connection: Connection) -> list[UsageRecord]:
            return [writing.record_of(row) for row in connection.execute(query)]

        return await self.read(work)


def _settle(done: asyncio.Future[None], failure: Exception | None) -> None:
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)


def _ended(since: float, until: float) -> Any:
    begun = R.started.is_(None) | (R.started < until)
    never = R.started.is_(None) & (R.ended >= until)
    return select(*writing.COLUMNS).where(R.ended >= since, begun, ~never)


def _of(
    query: Any, owner: str | None = None, group: str | None = None, site: str | None = None
) -> Any:
    for column, value in ((R.owner, owner), (R.vo, group), (R.site, site)):
        if value is not None:
            query = query.where(column == value)
    return query


def live_until(record: UsageRecord, now: float) -> float:
    """Return until when a live record counts: now, or when it was last seen if that is long ago."""
    return max(record.heartbeat, now) if now - record.heartbeat < LOST_AFTER else record.heartbeat
