"""Changes of workloads: written first, then told to whoever waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator

from .models import Change, Workload
from .states import ENDED, State
from .store import Store

log = logging.getLogger(__name__)


class Journal:
    """The one way to change a workload, and to wait for a change."""

    def __init__(self, store: Store, on_end: Callable[[Workload], Awaitable[None]]) -> None:
        self.store = store
        self._on_end = on_end
        self.on_ready: Callable[[Workload], None] = lambda workload: None
        self._waiters: dict[str, set[asyncio.Event]] = {}

    @property
    def waiting(self) -> int:
        """How many callers wait for a change now."""
        return sum(len(waiters) for waiters in self._waiters.values())

    async def change(self, uid: str, change: Change) -> Workload | None:
        """Write a change and wake who waits; None when there was nothing to write."""
        changed = await self.store.change(uid, change)
        if changed is not None:
            log.info("workload %s: %s %s", uid, changed.state, changed.reason)
            self.tell(uid)
            if changed.state == State.READY:
                self.on_ready(changed)
            if change.state in ENDED:
                await self._on_end(changed)
        return changed

    async def submitted(self, uid: str, job_id: str, message: str) -> None:
        """Write that the site has a workload, under this job id."""
        if await self.store.record_submission(uid, job_id, message) is not None:
            log.info("workload %s: job %s", uid, job_id)
            self.tell(uid)

    def tell(self, uid: str) -> None:
        """Wake everyone who waits for a workload."""
        for waiter in self._waiters.get(uid, ()):
            waiter.set()

    async def wait(
        self, uid: str, done: Callable[[Workload], bool], timeout: float | None, *, after: int = 0
    ) -> Workload | None:
        """Return the workload once it is `done`, or as it is after `timeout` seconds.

        None sets no limit. The workload comes with its events after number `after`; None when there
        is no such workload.
        """
        with self._listen(uid) as told, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    told.clear()
                    found = await self.store.get(uid, after)
                    if found is None or done(found):
                        return found
                    await told.wait()
        return await self.store.get(uid, after)

    @contextlib.contextmanager
    def _listen(self, uid: str) -> Iterator[asyncio.Event]:
        told = asyncio.Event()
        self._waiters.setdefault(uid, set()).add(told)
        try:
            yield told
        finally:
            self._waiters[uid].discard(told)
            if not self._waiters[uid]:
                del self._waiters[uid]
