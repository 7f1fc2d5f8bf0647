"""Cells that nobody waits for: sent to a kernel, or with the request for one."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterable, Iterator
from typing import Any

from farlab_kernels.blocking_session import BlockingSession, wait
from farlab_kernels.errands import TAKEN, send_off
from farlab_kernels.loops import shared_loop
from farlab_kernels.magics.sessions import Sessions
from farlab_kernels.notebook.waiting import Waiting
from farlab_kernels.service.client import Client
from farlab_kernels.service.models import Workload
from farlab_kernels.session import Session, how_ended, named, open_session, settle
from farlab_kernels.wishes import Wish, WishError


class Detached:
    """Starts what is to go on by itself."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._starting: dict[str, concurrent.futures.Future[Session]] = {}
        """Cells for kernels that were asked for before, and whose jobs have not started."""
        self._sent: set[str] = set()
        """Names of what was sent off, until it is known to have ended."""

    def begin(
        self, wish: Wish, name: str, code: str, inputs: dict[str, Any], files: list[str]
    ) -> str:
        """Send a cell to a kernel that is there, or that is started; return the kernel's name.

        Raises ServiceError.
        """
        session = self._sessions.find(wish, name)
        if session is not None:
            self._sessions.use(session)
            session.wait(_send(session.session, code, inputs, files))
            return session.name
        said = {**vars(wish), "name": name, "inputs": inputs, "files": files}
        try:
            name = wait(Waiting(shared_loop()), send_off(code=code, **said))
        except WishError as error:
            if error.code != TAKEN:
                raise
            name, wish = wait(Waiting(shared_loop()), _settle(wish, name))
            self._starting[name] = shared_loop().start(_start(wish, name, code, inputs, files))
        self._sent.add(name)
        return name

    def wait_for(self, name: str) -> None:
        """Wait until a cell has been sent. Raises what went wrong with its kernel."""
        starting = self._starting.get(name)
        if starting is None:
            return
        session = wait(Waiting(shared_loop()), _of(starting))
        self._starting.pop(name, None)
        self._sessions.use(BlockingSession(session, shared_loop()))

    def cancel(self, name: str) -> bool:
        """Give up a start; False if there is none of that name."""
        starting = self._starting.pop(name, None)
        return starting is not None and starting.cancel()

    def is_sent(self, name: str) -> bool:
        """Tell whether a cell is at its site, and needs this process no more."""
        starting = self._starting.get(name)
        return starting is None or starting.done()

    def news(self, live: Iterable[Workload]) -> Iterator[str]:
        """Yield which cells wait here for their jobs, and which have ended, or were not started."""
        gone = [name for name in self._sent if not named(live, name) and self.is_sent(name)]
        ended = wait(Waiting(shared_loop()), _ended()) if gone else []
        for name in gone:
            self._sent.discard(name)
            for workload in named(ended, name):
                yield f"{workload.name} {how_ended(workload)} (%offload logs {name})"
        for name, starting in self._starting.items():
            if not starting.done():
                yield f"{name}: its cell waits in this notebook's kernel until the job has started"
            elif not starting.cancelled() and (error := starting.exception()) is not None:
                yield f"{name} was not started: {error}"


async def _of(starting: concurrent.futures.Future[Session]) -> Session:
    # That nobody waits any more is no reason to give it up.
    return await asyncio.shield(asyncio.wrap_future(starting))


async def _ended() -> list[Workload]:
    async with Client() as client:
        return await client.ended()


async def _settle(wish: Wish, name: str) -> tuple[str, Wish]:
    async with Client() as client:
        return await settle(client, name, wish)


async def _start(
    wish: Wish, name: str, code: str, inputs: dict[str, Any], files: list[str]
) -> Session:
    session = await open_session(name=name, **vars(wish))
    await _send(session, code, inputs, files)
    return session


async def _send(session: Session, code: str, inputs: dict[str, Any], files: list[str]) -> None:
    if inputs:
        await session.push(inputs)
    for file in files:
        await session.put_file(file)
    await session.leave(code)
