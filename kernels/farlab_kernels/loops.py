"""An event loop in a thread of its own, for code that has none or whose own is busy: a notebook's.

What is called back (output, input, progress) runs in the thread that waits, as it would without
asyncio: so displays belong to the cell that waits, and input() asks there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")
_Task = Callable[[], None] | None


class Inbox:
    """What is to be done in the thread that waits."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Task] = SimpleQueue()

    def wrap(self, callback: Callable[..., Any]) -> Callable[..., None]:
        """Return a function for the loop's thread that lets the waiting thread call `callback`."""
        return lambda *args: self._queue.put(lambda: callback(*args))

    def wrap_question(self, callback: Callable[..., Result]) -> Callable[..., Any]:
        """Return an awaitable form of `callback`, which the waiting thread calls and answers."""

        async def ask(*args: Any) -> Result:
            answer: concurrent.futures.Future[Result] = concurrent.futures.Future()

            def call() -> None:
                try:
                    answer.set_result(callback(*args))
                except EOFError as error:
                    answer.set_exception(error)
                except KeyboardInterrupt:
                    answer.set_exception(EOFError())

            self._queue.put(call)
            return await asyncio.wrap_future(answer)

        return ask

    def end(self, _: object = None) -> None:
        """Let `work` return."""
        self._queue.put(None)

    def work(self) -> None:
        """Do what comes, until the end."""
        while (task := self._queue.get()) is not None:
            task()


class LoopThread:
    """The thread, which starts with the first use and never keeps a program from ending."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="farlab", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def run(
        self, work: Coroutine[Any, Any, Result], inbox: Inbox | None = None,
        interrupt: Callable[[], None] | None = None,
    ) -> Result:  # fmt: skip
        """Do some work in the loop, and wait for it.

        An interrupt (Ctrl-C) cancels the work. Where `interrupt` is given, the first one only calls
        that, in the loop, and the work is still waited for; another one cancels.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("this would wait for itself: use the asynchronous form here")
        inbox = inbox or Inbox()
        future = self.start(work)
        future.add_done_callback(inbox.end)
        try:
            if interrupt is None:
                inbox.work()
            else:
                self._work_on(inbox, interrupt)
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def start(self, work: Coroutine[Any, Any, Result]) -> concurrent.futures.Future[Result]:
        """Do some work in the loop; return at once."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def _work_on(self, inbox: Inbox, interrupt: Callable[[], None]) -> None:
        try:
            inbox.work()
        except KeyboardInterrupt:
            self.loop.call_soon_threadsafe(interrupt)
            inbox.work()

    def close(self) -> None:
        """End the thread; what still runs in it is dropped."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


_shared: LoopThread | None = None
_lock = threading.Lock()


def shared_loop() -> LoopThread:
    """Return this process's thread for such loops."""
    global _shared  # noqa: PLW0603  (one for a process, made when it is first needed)
    with _lock:
        if _shared is None:
            _shared = LoopThread()
        return _shared
