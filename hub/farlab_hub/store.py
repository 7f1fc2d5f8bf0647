"""The durable memory of the hub service.

Every statement runs in one thread of its own: the event loop carries the users' byte streams and
must not wait for a disk. One thread also means that changes happen one after the other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import create_engine, delete, event, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from .models import Change, Event, Workload, now
from .states import ENDED, LIVE, State, may_step
from .tables import Base, EventRow, WorkloadRow
from .vault import Vault

T = TypeVar("T")

KEPT_EVENTS = 200  # a place in a queue may change for days


def sqlite_url(folder: Path) -> str:
    """Return the address of the database in a state folder, which only its owner may read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "farlab.sqlite"
    # Made before SQLite does, because SQLite would follow the umask; its journal copies this mode.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    return f"sqlite:///{path}"


def _engine(url: str, *, synced: bool) -> Engine:
    engine = create_engine(url)

    def tune(connection: Any, _record: object) -> None:
        for pragma in ("journal_mode=WAL", f"synchronous={'FULL' if synced else 'NORMAL'}"):
            connection.execute(f"PRAGMA {pragma}")

    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", tune)
    return engine


class Store:
    """Workloads and their events.

    Every write outlives this process. What no site and no agent would tell again (a new workload,
    its first agent, a cancel) is also synced to the disk at once; the rest follows with it.
    """

    def __init__(self, url: str, vault: Vault) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="farlab-store")
        self._vault = vault
        self._engines = [_engine(url, synced=synced) for synced in (False, True)]
        self._sessions = [sessionmaker(engine) for engine in self._engines]

    async def open(self) -> None:
        """Create the tables that are missing, and drop submissions that are not needed."""

        def create() -> None:
            Base.metadata.create_all(self._engines[0])

        await self._run(create)
        waiting = {workload.uid for workload in await self.find(submitted=False)}
        await self._run(lambda: self._vault.keep(waiting))

    async def close(self) -> None:
        """Finish what is being written and close the database."""
        for engine in self._engines:
            await self._run(engine.dispose)
        self._thread.shutdown(wait=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _do(self, work: Callable[[Session], T], *, synced: bool = False) -> T:
        def transaction() -> T:
            with self._sessions[synced].begin() as session:
                return work(session)

        return await self._run(transaction)

    async def add(self, workload: Workload, submission: Mapping[str, Any]) -> Workload:
        """Write a new workload and what its job is started with."""
        # In another thread: the store's own has the disk to wait for as well.
        await asyncio.to_thread(self._vault.put, workload.uid, submission)

        def work(session: Session) -> Workload:
            row = _row(workload)
            session.add(row)
            session.flush()
            _note(session, row)
            return row.view(_events(session, row.uid))

        try:
            return await self._do(work, synced=True)
        except BaseException:
            self._vault.drop(workload.uid)
            raise

    async def get(self, uid: str, after: int = 0) -> Workload | None:
        """Return a workload with its events after number `after`."""

        def work(session: Session) -> Workload | None:
            row = session.get(WorkloadRow, uid)
            return row.view(_events(session, uid, after)) if row else None

        return await self._do(work)

    async def find(
        self,
        states: Collection[State] = LIVE,
        *,
        site: str | None = None,
        submitted: bool | None = None,
        cleaned: bool | None = None,
    ) -> list[Workload]:
        """Return workloads, oldest first, without their events."""
        query = select(WorkloadRow).where(WorkloadRow.state.in_([*states]))
        wanted = {"site": site, "submitted": submitted, "cleaned": cleaned}
        for name, value in wanted.items():
            if value is not None:
                query = query.where(getattr(WorkloadRow, name) == value)
        query = query.order_by(WorkloadRow.created)
        return await self._do(lambda session: [row.view() for row in session.scalars(query)])

    async def change(self, uid: str, change: Change) -> Workload | None:
        """Write what is newly known; None when it is nothing new or a step that cannot be.

        A change that holds the state it was made for is dropped when the workload has gone on.
        """

        def work(session: Session) -> Workload | None:
            row = session.get(WorkloadRow, uid)
            if row is None or not may_step(State(row.state), change.state or State(row.state)):
                return None
            if not row.view().differs(change):
                return None
            _apply(session, row, change)
            return row.view()

        ends = change.state in ENDED
        changed = await self._do(work, synced=ends)
        if ends and changed is not None:
            await self._run(lambda: self._vault.drop(uid))
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

        return await self._do(work)

    async def record_submission(self, uid: str, job_id: str, message: str) -> Workload | None:
        """Write the job's id and erase what was sent; None when the workload has ended."""

        def work(session: Session) -> Workload | None:
            row = session.get(WorkloadRow, uid)
            if row is None:
                return None
            row.submitted, row.job_id = True, job_id
            if State(row.state) in ENDED:
                return None
            change = Change(message=message)
            if row.state == State.REQUESTED:  # its agent may have been quicker than the answer
                change = Change(state=State.SUBMITTED, reason="Submitted", message=message)
            _apply(session, row, change)
            return row.view()

        found = await self._do(work)
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

        return await self._do(work, synced=True)

    async def move(self, uid: str, listeners: Mapping[int, int], address: str) -> None:
        """Write the ports of this host that lead to a workload."""

        def work(session: Session) -> None:
            row = session.get(WorkloadRow, uid)
            if row is not None:
                row.listeners = {str(port): listen for port, listen in listeners.items()}
                row.address, row.updated = address, now()

        await self._do(work)

    async def mark_cleaned(self, uid: str) -> None:
        """Write that nothing of an ended workload is left at its site."""

        def work(session: Session) -> None:
            row = session.get(WorkloadRow, uid)
            if row is not None:
                row.cleaned, row.updated = True, now()

        await self._do(work)


def _row(workload: Workload) -> WorkloadRow:
    columns = WorkloadRow.__table__.columns
    values = {name: value for name, value in vars(workload).items() if name in columns}
    values["listeners"] = {str(port): listen for port, listen in workload.listeners.items()}
    return WorkloadRow(**values)


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
