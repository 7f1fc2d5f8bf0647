"""Follows a workload from afar: how it is, when it is ready, and why it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from farlab_kernels.keeper.wire import Writer
from farlab_kernels.link.link import EndedError
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import ServiceError, UnreachableError
from farlab_kernels.service.models import Event, Workload

_NOT_YET = (409, 425)  # HTTP: the workload is not ready
_LOG_LINES = 20


class Watch:
    """Follows `workload` until `close`. `ended` says why it has ended, and is empty until then.

    `on_end` is called with that, once.
    """

    def __init__(
        self, client: Client, workload: Workload, on_end: Callable[[str], None] | None = None
    ) -> None:
        self._client = client
        self._workload = workload
        self._on_end = on_end
        self._event: Event | None = None
        self._news = asyncio.Event()
        self.ready = False
        self.ended = ""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    @property
    def words(self) -> str:
        """Say how it is."""
        return self.ended or (self._event.words if self._event else self._workload.words)

    async def news(self) -> AsyncIterator[str]:
        """Yield what there is to say, until it is ready or has ended."""
        told = ""
        while not self.ready and not self.ended:
            if self.words != told:
                told = self.words
                yield told
            self._news.clear()
            await self._news.wait()

    async def open(self, port: int) -> tuple[asyncio.StreamReader, Writer]:
        """Connect to one of its ports, as soon as it is ready.

        Raises EndedError, or OSError to try again.
        """
        async for _ in self.news():
            pass
        if self.ended:
            raise EndedError(self.ended)
        try:
            return await self._client.open_stream(self._workload.uid, port)
        except UnreachableError:
            raise
        except ServiceError as error:
            workload = await self._client.get(self._workload.uid)
            if error.status in _NOT_YET and not workload.ended:
                raise ConnectionError(str(error)) from None
            reason = await self.why() if workload.ended else str(error)
            raise EndedError(reason) from None

    async def why(self) -> str:
        """Return why it has ended, and the last lines of its job's log."""
        reason = self.words
        with suppress(ServiceError):
            workload = await self._client.get(self._workload.uid)
            reason = workload.words or reason
            tail = "\n".join(workload.log_tail.splitlines()[-_LOG_LINES:])
            if tail and tail not in reason:
                return f"{reason}\nThe last lines of its log:\n{tail}"
        return reason

    async def _watch(self) -> None:
        try:
            async for event in self._client.events(self._workload.uid):
                self._event = event
                self.ready = self.ready or event.state == "ready"
                if event.ended:
                    break
                self._news.set()
            self._end(await self.why() if not self.ready else self.words)
        except ServiceError as error:
            self._end(str(error))

    def _end(self, reason: str) -> None:
        self.ended = reason or "it has ended"
        self._news.set()
        if self._on_end is not None:
            self._on_end(self.ended)

    async def close(self) -> None:
        """Follow it no longer."""
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
