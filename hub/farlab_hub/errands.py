"""One background task for each workload that needs one, with pauses that can be cut short."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Errands:
    """Tasks of one kind, by workload; never two for the same one."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._hurry: dict[str, asyncio.Event] = {}

    def start(self, uid: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin to work for a workload, or cut the pause of the work that goes on."""
        if uid in self._tasks:
            self._hurry[uid].set()
            return
        self._hurry[uid] = asyncio.Event()
        task = asyncio.create_task(work(), name=f"{self._what} {uid}")
        self._tasks[uid] = task
        task.add_done_callback(lambda _: self._forget(uid))

    async def pause(self, uid: str, seconds: float) -> None:
        """Rest between two tries, until someone is in a hurry."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry[uid].wait(), seconds)
        self._hurry[uid].clear()

    async def finish(self, uid: str) -> None:
        """Wait until nothing goes on for a workload, without further pauses."""
        if uid in self._tasks:
            self._hurry[uid].set()
            await asyncio.wait([self._tasks[uid]])

    async def close(self) -> None:
        """Stop everything at once."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, uid: str) -> None:
        task = self._tasks.pop(uid)
        self._hurry.pop(uid, None)
        if not task.cancelled() and task.exception():
            log.error("%s %s broke", self._what, uid, exc_info=task.exception())
