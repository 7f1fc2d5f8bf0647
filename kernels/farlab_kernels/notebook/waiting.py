"""Waits, in the thread that asks, for work in an event loop's thread; Ctrl-C reaches that work."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from farlab_kernels.loops import Inbox, LoopThread

Result = TypeVar("Result")
AGAIN = 3.0
"""Seconds within which another interrupt asks for more than the one before."""


class Left(Exception):  # noqa: N818  (no error: it is what was asked for)
    """Nobody waits any longer; the work at the site goes on."""


class Presses:
    """Counts interrupts that follow each other within AGAIN seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = float("-inf")
        self._count = 0

    def press(self) -> int:
        """Take note of an interrupt; return how many there were in a row."""
        now = self._clock()
        self._count = self._count + 1 if now - self._last < AGAIN else 1
        self._last = now
        return self._count


class Waiting:
    """One wait. What `inbox` wraps is called in the waiting thread."""

    def __init__(self, thread: LoopThread) -> None:
        self.inbox = Inbox()
        self._thread = thread
        self._task: asyncio.Task[Any] | None = None

    def run(
        self, work: Coroutine[Any, Any, Result], pressed: Callable[[int], None] | None = None
    ) -> Result:
        """Wait for the work. Each interrupt calls `pressed` with how many there were in a row.

        Without `pressed`, the first one cancels the work, whose end is still waited for.
        """
        presses, pressed = Presses(), pressed or self._cancel
        future = self._thread.start(self._hold(work))
        future.add_done_callback(self.inbox.end)
        while True:
            try:
                self.inbox.work()
                return self._result(future.result)
            except KeyboardInterrupt:
                if future.done():
                    raise
                pressed(presses.press())
            except BaseException:
                self.cancel()
                raise

    async def _hold(self, work: Coroutine[Any, Any, Result]) -> Result:
        self._task = asyncio.current_task()
        return await work

    def _result(self, result: Callable[[], Result]) -> Result:
        try:
            return result()
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            raise KeyboardInterrupt from None

    def cancel(self) -> None:
        """Cancel the work."""
        if self._task is not None:
            self._thread.loop.call_soon_threadsafe(self._task.cancel)

    def _cancel(self, count: int) -> None:
        self.cancel()
        if count > 1:
            raise KeyboardInterrupt
