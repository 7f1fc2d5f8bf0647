"""A kernel's workload in the role of a process: it starts, is signalled, and ends."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from farlab_kernels.link.link import EndedError
from farlab_kernels.provisioning.early import EarlyLink
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import ServiceError
from farlab_kernels.service.models import Workload
from farlab_kernels.watch import Watch

_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
_RESTART_PATIENCE = 120.0  # seconds


class Job:
    """One workload and the link to its kernel, in the event loop that it was made in.

    `on_news` gets a sentence on how the kernel is coming along, and "" when it is there.
    """

    def __init__(self, client: Client, workload: Workload, on_news: Callable[[str], None]) -> None:
        self.workload = workload
        self._client = client
        self._on_news = on_news
        self._watch = Watch(client, workload, self._fail)
        self._aliases = Path(tempfile.mkdtemp(prefix="farlab-k-"))
        self.link: EarlyLink
        self._telling: asyncio.Task[None] | None = None

    async def start(self, **session: Any) -> None:
        """Open the local sockets. `session`: client and seen of an earlier link. ServiceError."""
        key = self.workload.key or (await self._client.get(self.workload.uid)).key
        self.link = EarlyLink(self._watch.open, key, **session)
        await self.link.listen()
        if self._watch.ended:
            self.link.fail(self._watch.ended)
        self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        """Tell how the kernel is coming along, until it is there or will not come."""
        async for text in self._watch.news():
            said = f"{self.workload.site}: {text}"
            self.link.tell(said)
            self._on_news(said)
        with suppress(EndedError, ServiceError):
            await self.link.wait_for(lambda kernel: kernel.generation > 0)
            self.workload = await self._client.get(self.workload.uid)
            node = f" on {self.workload.node}" if self.workload.node else ""
            self.link.tell(f"{self.workload.site}: running{node}")
        self._on_news(self._watch.ended)

    def _fail(self, reason: str) -> None:
        if hasattr(self, "link"):
            self.link.fail(reason)

    def connection_info(self) -> dict[str, Any]:
        """Return where the local sockets are, as a KernelManager wants to know it.

        It removes the files of the sockets when it restarts a kernel: so it gets other names of
        them, which are made anew.
        """
        info = self.link.connection_info
        alias = str(self._aliases / "k")
        for port in (info[name] for name in _PORTS):
            path = Path(f"{alias}-{port}")
            path.unlink(missing_ok=True)
            path.symlink_to(f"{info['ip']}-{port}")
        return {**info, "ip": alias, "key": info["key"].encode()}

    @property
    def ended(self) -> str:
        """Why there will be no kernel any more; empty while there may be one."""
        if self.link.kernel.state == "ended":
            return self.link.kernel.reason or "the kernel has ended"
        return ""

    @property
    def running(self) -> bool:
        """Whether the kernel runs, or is waited for."""
        return self.link.alive

    async def interrupt(self) -> None:
        """Interrupt the cell that runs."""
        if not self.link.waiting:
            await self.link.interrupt()

    async def restarted(self, since: int) -> None:
        """Wait for the kernel that follows number `since`. Raises EndedError, TimeoutError."""
        async with asyncio.timeout(_RESTART_PATIENCE):
            await self.link.wait_for(lambda kernel: kernel.generation > since)
            await self.link.wait_for(lambda kernel: kernel.state != "starting")

    async def restart(self) -> None:
        """Start the kernel anew, whatever it does. Raises EndedError, TimeoutError."""
        if not self.link.waiting:
            async with asyncio.timeout(_RESTART_PATIENCE):
                await self.link.restart()

    async def end(self) -> None:
        """End the workload, and let go of it."""
        with suppress(ServiceError):
            await self._client.cancel(self.workload.uid)
        await self.close()

    async def close(self) -> None:
        """Let go of the kernel, which goes on."""
        if self._telling is not None:
            self._telling.cancel()
        await self._watch.close()
        await self.link.close()
        await self._client.close()
        shutil.rmtree(self._aliases, ignore_errors=True)
