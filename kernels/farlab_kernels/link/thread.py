"""A link in a thread of its own, for programs without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from farlab_kernels.link.connection import OpenStream
from farlab_kernels.link.link import KernelLink

Result = TypeVar("Result")


class LinkThread:
    """Runs a KernelLink; a context manager. Arguments are KernelLink's.

    `open_stream` and `on_change` are called in the thread.
    """

    def __init__(self, open_stream: OpenStream, key: str, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._make: Callable[[], KernelLink] = lambda: KernelLink(open_stream, key, **options)
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="farlab-link", daemon=True
        )
        self.link: KernelLink

    def start(self, timeout: float | None = None) -> None:
        """Connect. Raises RefusedError, EndedError, TimeoutError (`timeout`: seconds)."""
        self._thread.start()
        try:
            self.call(self._start(timeout))
        except BaseException:
            self._stop()
            raise

    async def _start(self, timeout: float | None) -> None:
        self.link = self._make()
        async with asyncio.timeout(timeout):
            await self.link.start()

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do one of the link's asynchronous methods in the thread: `call(x.link.interrupt())`."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Let go of the kernel, and end the thread."""
        if self._thread.is_alive():
            self.call(self.link.close())
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
