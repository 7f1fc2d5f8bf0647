"""The durable memory of the hub service.

Every statement runs in one thread of its own: the event loop carries the users' byte streams and
must not wait for a disk. One thread also means that changes happen one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from .database import migrate, open_engine
from .errors import CannotCheckError
from .limits import Crowd
from .models import Change, Event, Workload, now
from .states import ENDED, LIVE, State, may_step
from .tables import EventRow, WorkloadRow
from .vault import Vault

T = TypeVar("T")

MOST_WORDS = 10_000  # characters of a reason, a message or a log's tail
KEPT_EVENTS = 200  # a place in a queue may change for days


class Store:
    """Workloads and their events.

    Every write outlives this process. What no site and no agent would tell again (a new workload,
    its first agent, a cancel) is also synced to the disk at once; the rest follows with it.
    """

    def __init__(self, url: str, vault: Vault, keys: Vault) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="farlab-store")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="farlab-reader")
        self._vault = vault
        self._keys = keys
        self._engines = [open_engine(url, synced=synced) for synced in (False, True)]
        self._sessions = [sessionmaker(engine) for engine in self._engines]

    async def open(self) -> None:
        """Bring the tables to this version, and drop secrets that are not needed any more."""
        await self._run(lambda: migrate(self._engines[0]))
        live = await self.find()
        waiting = {workload.uid for workload in live if not workload.submitted}
        await self._run(lambda: self._vault.keep(waiting))
        await self._run(lambda: self._keys.keep({workload.uid for workload in live}))

    async def close(self) -> None:
        """Finish what is being written and close the database."""
        for engine in self._engines:
            await self._run(engine.dispose)
        for thread in (self._reader, self._thread):
            thread.shutdown(wait=True)

    async def _run(self, work: Callable[[], T], thread: ThreadPoolExecutor | None = None) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread or self._thread, work)
        except OperationalError as error:
            msg = f"the service's database does not answer: {error.orig}"
            raise CannotCheckError(msg, "Try again in a moment.", code="no-database") from error

    async def transact(self, work: Callable[[Session], T], *, synced: bool = False) -> T:
        """Do something in one transaction; with `synced` the disk has it when this returns."""

        def transaction() -> T:
            with self._sessions[synced].begin() as session:
                return work(session)

        return await self._run(transaction)

    async def look(self, work: Callable[[Session], T]) -> T:
        """Look up what may take long, beside the changes, which go on meanwhile."""

        def transaction() -> T:
            with self._sessions[0].begin() as session:
                return work(session)

        return await self._run(transaction, self._reader)

    async def add(
        self,
        workload: Workload,
        submission: Mapping[str, Any],
        admit: Callable[[Crowd], None],
        key: str = "",
        also: Callable[[Session], None] = lambda session: None,
    ) -> Workload:
        """Write a new workload, what its job is started with, and its kernel's key if it has one.

        `admit` is shown what lives beside it, and raises if it is one too many; `also` is done in
        the same transaction and may raise, too.
        """
        # In another thread: the store's own has the disk to wait for as well.
        await asyncio.to_thread(self._vault.put, workload.uid, submission)
        if key:
            await asyncio.to_thread(self._keys.put, workload.uid, {"key": key})

        def work(session: Session) -> Workload:
            admit(_crowd(session, workload))
            row = _row(workload)
            session.add(row)
            session.flush()
            _note(session, row)
            also(session)
            return row.view(_events(session, row.uid))

        try:
            return await self.transact(work, synced=True)
        except BaseException:
            self._vault.drop(workload.uid)
            self._keys.drop(workload.uid)
            raise

    async def key(self, uid: str) -> str:
        """Return the key of a live kernel; empty for what has none any more."""
        return str((await asyncio.to_thread(self._keys.get, uid) or {}).get("key", ""))

    async def get(self, uid: str, after: int = 0) -> Workload | None:
        """Return a workload with its events after number `after`."""

        def work(session: Session) -> Workload | None:
            row = session.get(WorkloadRow, uid)
            return row.view(_events(session, uid, after)) if row else None

        return await self.transact(work)

    async def find(
        self,
        states: Collection[State] = LIVE,
        *,
        site: str | None = None,
        owner: str | None = None,
        submitted: bool | None = None,
        cleaned: bool | None = None,
        newest: int | None = None,
    ) -> list[Workload]:
        """Return workloads, oldest first, without their events; at most the `newest` ones."""
        query = select(WorkloadRow).where(WorkloadRow.state.in_([*states]))
        wanted = {"site": site, "owner": owner, "submitted": submitted, "cleaned": cleaned}
        for name, value in wanted.items():
            if value is not None:
                query = query.where(getattr(WorkloadRow, name) == value)
        query = query.order_by(WorkloadRow.created.desc()).limit(newest)
        found = await self.transact(lambda session: [row.view() for row in session.scalars(query)])
        return found[::-1]

    async def change(self, uid: str, change: Change) -> Workload | None:
        """Write what is newly known; None when it is nothing new or a step that cannot be.

        A change that holds the state it was made for is dropped when the workload has gone on.
        """
        change = _storable(change)

        def work(session: Session) -> Workload | None:
            row = session.get(WorkloadRow, uid)
            if row is None or not may_step(State(row.state), change.state or State(row.state)):
                return None
            if not row.view().differs(change):
                return None
            _apply(session, row, change)
            return row.view()

        ends = change.state in ENDED
        changed = await self.transact(work, synced=ends)
        if ends and changed is not None:
            await self._run(lambda: self._vault.drop(uid))
            await self._run(lambda: self._keys.drop(uid))
        return changed

    async def try_to_submit(self, uid: str) -> dict[str, Any] | None:
        """Count one more try and return what to send; None when nothing is to be sent.

        Empty when it should be sent but is not there: the disk lost it.
        """

        def work(session: Session) -> dict[str, Any] | None:
            row = session.get(WorkloadRow, uid)
            if row is None or row.submitted or State(row.state) in ENDED:
                return None
            row.tries += 1
            return self._vault.get(uid) or {}

        return await self.transact(work)

    async def record_submission(self, uid: str, job_id: str, message: str) -> Workload | None:
        """Write the job's id and erase what was sent; None when the workload has ended."""
        said = _storable(Change(job_id=job_id, message=message))

        def work(session: Session) -> Workload | None:
            row = session.get(WorkloadRow, uid)
            if row is None:
                return None
            row.submitted, row.job_id = True, said.job_id or ""
            if State(row.state) in ENDED:
                return None
            change = said
            if row.state == State.REQUESTED:  # its agent may have been quicker than the answer
                change = replace(said, state=State.SUBMITTED, reason="Submitted")
            _apply(session, row, change)
            return row.view()

        found = await self.transact(work)
        await self._run(lambda: self._vault.drop(uid))
        return found

    async def bind_agent(self, uid: str, instance: str) -> str:
        """Remember the first agent of a workload; return the one that is remembered."""

        def work(session: Session) -> str:
            row = session.get(WorkloadRow, uid)
            if row is None:
                return ""
            row.agent = row.agent or instance
            return row.agent

        return await self.transact(work, synced=True)

    async def move(self, uid: str, listeners: Mapping[int, int], address: str) -> None:
        """Write the ports of this host that lead to a workload."""

        def work(session: Session) -> None:
            row = session.get(WorkloadRow, uid)
            if row is not None:
                row.listeners = {str(port): listen for port, listen in listeners.items()}
                row.address, row.updated = address, now()

        await self.transact(work)

    async def mark_cleaned(self, uid: str) -> None:
        """Write that nothing of an ended workload is left at its site."""

        def work(session: Session) -> None:
            row = session.get(WorkloadRow, uid)
            if row is not None:
                row.cleaned, row.updated = True, now()

        await self.transact(work)


def _row(workload: Workload) -> WorkloadRow:
    columns = WorkloadRow.__table__.columns
    values = {name: value for name, value in vars(workload).items() if name in columns}
    values["listeners"] = {str(port): listen for port, listen in workload.listeners.items()}
    return WorkloadRow(**values)


def _storable(change: Change) -> Change:
    """Return a change whose texts every database takes, whatever a site or an agent has said."""

    def fit(name: str, text: str) -> str:
        most = getattr(WorkloadRow.__table__.columns[name].type, "length", None) or MOST_WORDS
        return text.encode(errors="replace").decode().replace("\0", "")[:most]

    said: dict[str, Any] = {
        name: fit(name, value)
        for name, value in vars(change).items()
        if isinstance(value, str) and name != "state"
    }
    return replace(change, **said)


def _apply(session: Session, row: WorkloadRow, change: Change) -> None:
    said = (row.state, row.reason, row.message)
    for name, value in vars(change).items():
        if value is not None:
            setattr(row, name, value)
    row.updated = now()
    if said != (row.state, row.reason, row.message):
        _note(session, row)


def _note(session: Session, row: WorkloadRow) -> None:
    row.seq += 1
    said = {"state": row.state, "reason": row.reason, "message": row.message}
    session.add(EventRow(workload=row.uid, seq=row.seq, time=row.updated, **said))
    old = EventRow.seq <= row.seq - KEPT_EVENTS
    session.execute(delete(EventRow).where(EventRow.workload == row.uid, old))


def _events(session: Session, uid: str, after: int = 0) -> tuple[Event, ...]:
    query = select(EventRow).where(EventRow.workload == uid, EventRow.seq > after)
    return tuple(row.view() for row in session.scalars(query.order_by(EventRow.seq)))


def _crowd(session: Session, workload: Workload) -> Crowd:
    """Return what lives beside a new workload."""
    live = WorkloadRow.state.in_([*LIVE])
    mine = WorkloadRow.owner == workload.owner
    here = WorkloadRow.site == workload.site

    def count(*conditions: ColumnElement[bool]) -> int:
        return session.scalar(select(func.count()).where(live, *conditions)) or 0

    return Crowd(
        at_site=count(here),
        mine_at_site=count(here, mine),
        of_that_name=count(mine, WorkloadRow.name == workload.name) if workload.name else 0,
    )
