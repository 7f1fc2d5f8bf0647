"""Calls of functions at a site: the arguments and the result go beside the kernel's channels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from farlab_kernels.cells import Cell, Channels, OnOutput
from farlab_kernels.remote_errors import DeadKernelError, RemoteError, from_reply, rebuild
from farlab_kernels.variables.calls import RUN
from farlab_kernels.variables.client import Data
from farlab_kernels.variables.errors import TransferError

_AT_ONCE = 2  # calls with the kernel: one runs, and the next one's arguments are there already
_ERROR_PATIENCE = 10.0  # seconds for the exception behind a cell's error


class Caller:
    """Calls functions in one kernel; calls wait for each other, in the order they were made."""

    def __init__(
        self, channels: Channels, data: Data, place: str, on_output: OnOutput | None
    ) -> None:
        self.place = place
        self.data = data
        self._channels = channels
        self._on_output = on_output
        self._turns = asyncio.Semaphore(_AT_ONCE)
        # The next call's arguments may be there sooner than this one's: it must not run sooner.
        self._sending = asyncio.Lock()
        self._news = asyncio.Lock()
        self._telling: set[asyncio.Task[None]] = set()

    async def call(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Call a function. Raises TransferError, RemoteError, or what the function raised."""
        name = getattr(function, "__name__", type(function).__name__)
        payload = {f"the call of {name}": (function, tuple(args), dict(kwargs))}
        return await self.run(payload)

    async def run(self, payload: dict[str, Any], token: str = "", first: int = 0) -> Any:
        """Do a call, or the chunk of the map called `token` that begins with item `first`."""
        async with self._turns:
            id_ = self._channels.new_id()
            try:
                async with self._sending:
                    await self.data.ask("call", payload, id=id_, token=token)
                    cell = self._channels.begin(
                        RUN, id_=id_, on_output=self._on_output, store_history=False,
                        stop_on_error=False,
                    )  # fmt: skip
            except asyncio.CancelledError:
                self._cancel(id_)
                raise
            return await self._result(id_, cell, first)

    async def _result(self, id_: str, cell: Cell, first: int) -> Any:
        """Wait for the result, and for the output before it."""
        fetching = asyncio.create_task(self._fetch(id_, first))
        ending = asyncio.create_task(cell.end())
        try:
            await asyncio.wait((fetching, ending), return_when=asyncio.FIRST_COMPLETED)
            if ending.done() and ending.result()["status"] != "ok" and not fetching.done():
                raise from_reply(ending.result(), self.place)  # the kernel is gone, for example
            result, failure = await fetching
            await ending
        except asyncio.CancelledError:
            # Before anything is awaited: calls are cancelled there in the order they were here.
            self._cancel(id_)
            raise
        finally:
            fetching.cancel()
            ending.cancel()
            await asyncio.gather(fetching, ending, return_exceptions=True)
        if failure is not None:
            raise failure
        return result

    async def _fetch(self, id_: str, first: int) -> tuple[Any, Exception | None]:
        values, failed = await self.data.result(id_)
        sent = next(iter(values.values()), None)
        if failed is None:
            return sent, None
        lines = str(failed["traceback"]).splitlines()
        name, index = str(failed["name"]), failed["index"]
        index = None if index is None else first + int(index)
        remote = RemoteError(
            name.rpartition(".")[2], str(failed["message"]), lines, place=self.place, index=index
        )
        return None, rebuild(remote, str(failed["module"]), name, sent)

    async def close(self) -> None:
        """Drop what is still to be told to the kernel."""
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _cancel(self, id_: str) -> None:
        """Stop a call there."""
        self._tell_later("cancel", id=id_)

    def forget(self, token: str) -> None:
        """Let go of a map's function there."""
        self._tell_later("drop", token=token)

    def _tell_later(self, op: str, **said: str) -> None:
        """Tell the kernel something that nobody here waits for."""

        async def tell() -> None:
            # In turn: a call that waits is cancelled before the one that it waits for.
            async with self._news:
                with suppress(TransferError, DeadKernelError):
                    await self.data.tell(op, **said)

        task = asyncio.get_running_loop().create_task(tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def error(self, content: dict[str, Any]) -> Exception:
        """Return what to raise for a cell's reply: the exception itself, if it can be had."""
        plain = from_reply(content, self.place)
        remote = plain if isinstance(plain, RemoteError) else plain.__cause__
        if content.get("status") != "error" or type(remote) is not RemoteError:
            return plain
        try:
            async with asyncio.timeout(_ERROR_PATIENCE):
                values, failed = await self.data.error(remote.ename)
        except (TransferError, TimeoutError):
            return plain
        sent = next(iter(values.values()), None)
        return rebuild(remote, str(failed["module"]), str(failed["name"]), sent)
