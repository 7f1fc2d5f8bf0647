"""One kernel at a site: its workload, the link to it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable

from farlab_kernels.cells import Message
from farlab_kernels.link.link import EndedError, KernelLink, RefusedError
from farlab_kernels.remote import RemoteKernel
from farlab_kernels.service.client import Client
from farlab_kernels.service.models import Workload
from farlab_kernels.watch import Watch

OnNews = Callable[[str], None]
"""Gets a sentence, whenever there is news of a workload that is waited for."""


class StartError(Exception):
    """A workload ended before its kernel was ready; says why."""


class Worker:
    """A kernel workload of `client`'s user. `on_output` gets what called functions print."""

    def __init__(
        self, client: Client, workload: Workload, on_output: Callable[[Message], None] | None = None
    ) -> None:
        self.workload = workload
        self.calls = 0
        """Calls under way."""
        self._client = client
        self._on_output = on_output
        self._watch = Watch(client, workload, self._fail)
        self._link: KernelLink | None = None
        self._kernel: RemoteKernel | None = None

    @property
    def kernel(self) -> RemoteKernel:
        """The kernel of a started worker."""
        if self._kernel is None:
            raise RuntimeError("this worker is not started")
        return self._kernel

    @property
    def alive(self) -> bool:
        """Whether there still is a job, as far as is known."""
        return not self._watch.ended and (self._link is None or self._link.kernel.state != "ended")

    async def start(self, on_news: OnNews | None = None) -> None:
        """Wait until the kernel is there. Raises StartError, ServiceError."""
        async for text in self._watch.news():
            if on_news is not None:
                on_news(text)
        if self._watch.ended:
            raise StartError(self._watch.ended)
        self.workload = await self._client.get(self.workload.uid)
        link = self._link = KernelLink(self._watch.open, self.workload.key)
        try:
            await link.start()
        except EndedError:
            raise StartError(await self._watch.why()) from None
        except RefusedError as error:
            raise StartError(str(error)) from None
        self._kernel = RemoteKernel(link, self.workload.site, on_output=self._on_output)
        await self._kernel.start()

    def _fail(self, reason: str) -> None:
        if self._link is not None:
            self._link.fail(reason)

    async def close(self) -> None:
        """Let go of the kernel, which goes on."""
        await self._watch.close()
        if self._kernel is not None:
            await self._kernel.close()
        if self._link is not None:
            await self._link.close()
