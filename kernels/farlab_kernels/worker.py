"""One kernel at a site: its workload, the link to it, and what can be done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from farlab_kernels.cells import Message
from farlab_kernels.keeper.wire import Writer
from farlab_kernels.link.link import EndedError, KernelLink, RefusedError
from farlab_kernels.remote import RemoteKernel
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import ServiceError, UnreachableError
from farlab_kernels.service.models import Event, Workload

OnNews = Callable[[str], None]
"""Gets a sentence, whenever there is news of a workload that is waited for."""

_NOT_YET = (409, 425)  # HTTP: the workload is not ready
_LOG_LINES = 20


class StartError(Exception):
    """A workload ended before its kernel was ready; says why."""


class Worker:
    """A kernel workload of `client`'s user. `on_output` gets what called functions print."""

    def __init__(
        self, client: Client, workload: Workload, on_output: Callable[[Message], None] | None = None
    ) -> None:
        self.client = client
        self.workload = workload
        self.calls = 0
        """Calls under way."""
        self._on_output = on_output
        self._news = asyncio.Event()
        self._ready = asyncio.Event()
        self._ended = ""
        self._event: Event | None = None
        self._link: KernelLink | None = None
        self._kernel: RemoteKernel | None = None
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    @property
    def kernel(self) -> RemoteKernel:
        """The kernel of a started worker."""
        if self._kernel is None:
            raise RuntimeError("this worker is not started")
        return self._kernel

    @property
    def alive(self) -> bool:
        """Whether there still is a job, as far as is known."""
        return not self._ended and (self._link is None or self._link.kernel.state != "ended")

    @property
    def words(self) -> str:
        """Say how it is."""
        return self._ended or (self._event.words if self._event else self.workload.words)

    async def start(self, on_news: OnNews | None = None) -> None:
        """Wait until the kernel is there. Raises StartError, ServiceError."""
        await self._wait(on_news or _nothing)
        try:
            self.workload = await self.client.get(self.workload.uid)
            link = self._link = KernelLink(self._open, self.workload.key)
            await link.start()
            kernel = RemoteKernel(link, self.workload.site, on_output=self._on_output)
            await kernel.start()
            self._kernel = kernel
        except (EndedError, RefusedError) as error:
            raise StartError(await self._why(str(error))) from None

    async def _wait(self, on_news: OnNews) -> None:
        told = ""
        while not self._ready.is_set():
            if self._ended:
                raise StartError(await self._why(self._ended))
            if self.words != told:
                told = self.words
                on_news(told)
            self._news.clear()
            await self._news.wait()

    async def _why(self, reason: str) -> str:
        """Return the reason, and the last lines of the job's log."""
        with suppress(ServiceError):
            workload = await self.client.get(self.workload.uid)
            reason = workload.message or workload.reason or reason
            tail = "\n".join(workload.log_tail.splitlines()[-_LOG_LINES:])
            if tail and tail not in reason:
                return f"{reason}\nThe last lines of its log:\n{tail}"
        return reason

    async def _watch(self) -> None:
        """Follow the workload to its end."""
        try:
            async for event in self.client.events(self.workload.uid):
                self._event = event
                if event.state == "ready":
                    self._ready.set()
                if event.ended:
                    self._end(event.words)
                self._news.set()
        except ServiceError as error:
            self._end(str(error))

    def _end(self, reason: str) -> None:
        self._ended = reason
        if self._link is not None:
            self._link.fail(reason)
        self._news.set()

    async def _open(self, port: int) -> tuple[asyncio.StreamReader, Writer]:
        """Connect to the kernel's keeper. Raises EndedError, or OSError to try again."""
        try:
            return await self.client.open_stream(self.workload.uid, port)
        except UnreachableError:
            raise
        except ServiceError as error:
            workload = await self.client.get(self.workload.uid)
            if error.status in _NOT_YET and not workload.ended:
                raise ConnectionError(str(error)) from None
            raise EndedError(workload.words if workload.ended else str(error)) from None

    async def close(self) -> None:
        """Let go of the kernel, which goes on."""
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        if self._kernel is not None:
            await self._kernel.close()
        if self._link is not None:
            await self._link.close()


def _nothing(_: str) -> None:
    """Tell nobody."""
