"""The keeper: starts kernels one after the other, says how they are, and ends with the last one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from farlab_kernels.keeper.channels import Channels
from farlab_kernels.keeper.first import FirstCell, failed
from farlab_kernels.keeper.idle import until_idle, words
from farlab_kernels.keeper.keys import message_key
from farlab_kernels.keeper.launch import Launched, launch
from farlab_kernels.keeper.messages import Signer
from farlab_kernels.keeper.process import Death, KernelProcess
from farlab_kernels.keeper.proof import Visitor
from farlab_kernels.keeper.remains import end_of_output
from farlab_kernels.keeper.router import Router
from farlab_kernels.keeper.server import Handler
from farlab_kernels.keeper.states import KernelState, OrderName, State
from farlab_kernels.variables.errors import TransferError
from farlab_kernels.variables.handover import Handover

SHUT_DOWN, DIED, IDLE, TOLD_TO_END = 0, 1, 79, 143
"""Exit codes."""
_START_PATIENCE = 600.0
"""Seconds for a kernel to answer: a shared file system may be very slow."""
_SHUTDOWN_PATIENCE = 5.0
"""Seconds between a polite request to end and the end of a kernel that is busy."""
_DEAD_PATIENCE = 600.0
"""Seconds that a dead kernel's output can still be fetched, and the kernel be restarted."""
_LAST_OUTPUT = 0.3
"""Seconds in which ipykernel publishes what was printed."""
_NEAR = 120.0
_FAREWELL = 5.0

log = logging.getLogger(__name__)


class StartError(Exception):
    """The first kernel could not be started; says why."""


class Keeper:
    """Keeps a kernel. `handlers` serve connections, by kind; further kinds may be added.

    `launched` is the first kernel, and `first` the cell that came with the job.
    """

    def __init__(
        self, folder: Path, key: str, environment: Mapping[str, str],
        launched: Launched, first: FirstCell | None = None,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._environment = environment
        self._key = message_key(key)
        self._router = Router(folder, Signer(self._key), self.order)
        self._launched: Launched | None = launched
        self._first = first
        self._process: KernelProcess | None = None
        self._generation = 0
        self._wish = ""
        self._outside = ""
        self._code = TOLD_TO_END
        self._visits = 0
        self._wished = asyncio.Event()
        self.ready = asyncio.Event()
        self.handlers: dict[str, Handler] = {
            "session": self._router.serve,
            "history": self._router.history.replay,
            "cells": self._router.history.list,
            "data": self._count(Handover(folder)),
        }

    async def run(self) -> int:
        """Keep kernels until one is shut down; return the exit code. Raises StartError."""
        watching = asyncio.create_task(self._end_when_idle())
        try:
            return await self._keep()
        finally:
            watching.cancel()

    async def _end_when_idle(self) -> None:
        """End the job when the kernel has done nothing for as long as the site allows."""
        allowed = self._environment.get("FARLAB_IDLE", "")
        if not allowed.isdigit():
            return
        await self.ready.wait()
        router = self._router
        await until_idle(
            int(allowed), router.cells.running, lambda: (router.spool.last, self._visits)
        )
        self._leave(f"the kernel did nothing for {words(int(allowed))}: the site ends it", IDLE)

    def _count(self, handler: Handler) -> Handler:
        """Take a client that brings or fetches data for a sign of life, as what is printed is."""

        async def handle(visitor: Visitor) -> None:
            self._visits += 1
            await handler(visitor)

        return handle

    async def _keep(self) -> int:
        while True:
            self._wish = ""
            self._wished.clear()
            death = await self._live()
            if not self._wish and not self._outside:
                if not self.ready.is_set():
                    raise StartError(death.reason)
                await self._mourn(death)
            if self._outside:
                return await self._finish(self._outside, self._code)
            if self._wish == "restart":
                self._router.close("the kernel was restarted")
                continue
            if self._wish == "end":
                return await self._finish("the kernel was shut down", SHUT_DOWN)
            return await self._finish(f"{death.reason}; nobody restarted it", DIED)

    async def _live(self) -> Death:
        """Start a kernel and wait for its end."""
        self._generation += 1
        self._announce("starting")
        launched, self._launched = self._launched, None
        if launched is None:
            launched = launch(self._folder, self._generation, self._key, self._environment)
        process = self._process = KernelProcess(launched)
        channels = Channels(process, self._router.signer, self._router.hear, self._router.settle)
        opening = asyncio.create_task(channels.open())
        try:
            await asyncio.wait(
                (opening, process.ended), timeout=_START_PATIENCE,
                return_when=asyncio.FIRST_COMPLETED,
            )  # fmt: skip
            if opening.done():
                await self._deliver()
                self._router.open(channels)
                self._announce("ready")
                self.ready.set()
            elif not process.ended.done():
                log.error("the kernel does not answer; it is ended")
                process.kill()
            death = await process.ended
            await channels.quiet()
            return death
        finally:
            opening.cancel()
            process.kill()
            channels.close()

    async def _deliver(self) -> None:
        """Give the first kernel what the cell that came with the job needs."""
        first, self._first = self._first, None
        if first is None:
            return
        request = first.request(self._key)
        self._router.hold(request)
        try:
            place = self._environment.get("FARLAB_SITE", "the site")
            await asyncio.to_thread(first.deliver, self._folder, place)
        except (TransferError, OSError) as error:
            log.error("the cell that came with the job did not run: %s", error)
            self._router.give_up(request, failed(error))

    async def _mourn(self, death: Death) -> None:
        """Say that the kernel is dead, and wait for somebody to restart it."""
        log.error("%s", death.reason)
        self._router.close(death.reason)
        self._announce("dead", death.reason)
        try:
            await asyncio.wait_for(self._wished.wait(), _DEAD_PATIENCE)
        except TimeoutError:
            log.error("the dead kernel was not restarted within %.0f s", _DEAD_PATIENCE)

    async def _finish(self, reason: str, code: int) -> int:
        self._router.close(reason)
        self._announce("ended", reason)
        remains = end_of_output(self._router.spool, self._router.cells)
        if remains:
            log.info("the end of what the last cell printed:\n%s", remains)
        await self._router.farewell(_FAREWELL)
        return code

    def _announce(self, state: State, reason: str = "") -> None:
        self._router.announce(KernelState(state, self._generation, reason))

    def order(self, name: OrderName) -> None:
        """Do something to the kernel.

        interrupt: as Ctrl-C would; restart, end: at once. expect-restart, expect-end: it was asked
        to end, and may do so by itself for some seconds.
        """
        process = self._process
        if name == "interrupt":
            if process is not None:
                process.interrupt()
            return
        self._wish = name.removeprefix("expect-")
        self._wished.set()
        if process is not None:
            if name.startswith("expect-"):
                asyncio.get_running_loop().call_later(_SHUTDOWN_PATIENCE, process.kill)
            else:
                process.kill()

    def end(self) -> None:
        """End the kernel and the keeper, as the job is told to end."""
        deadline = self._environment.get("FARLAB_DEADLINE", "")
        near = deadline.isdigit() and time.time() > int(deadline) - _NEAR
        cancelled = "the job was ended (cancelled, or by its node)"
        self._leave("the job met its walltime" if near else cancelled, TOLD_TO_END)

    def _leave(self, reason: str, code: int) -> None:
        if self._outside:
            return
        log.info("%s", reason)
        self._outside, self._code = reason, code
        self._wished.set()
        if self._process is not None:
            asyncio.get_running_loop().call_later(_LAST_OUTPUT, self._process.kill)
