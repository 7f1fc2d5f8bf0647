"""One function over many inputs, on several kernels: in chunks, in order, until an item fails.

Chunks of a kernel that dies are done by the others. So an item may be done more than once, where
nobody knows whether the kernel that died had done it already.
"""

from __future__ import annotations

import asyncio
import secrets
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from farlab_kernels.calling import Caller
from farlab_kernels.remote_errors import DeadKernelError, UnfinishedMapError
from farlab_kernels.variables.errors import CutError, MissingError

Result = TypeVar("Result")
_CHUNKS = 8  # for each kernel, unless a size is asked for: so that a slow one may do fewer
_LANES = 2  # chunks with each kernel: one runs, and the next one is there already
_DEADLY = 3  # kernels that were lost with a chunk, after which it is the chunk's fault
_LOST = (DeadKernelError, MissingError, CutError)
"""The kernel has died, has been started anew, or can't be reached any more."""


async def map_on(
    callers: Sequence[Caller], function: Callable[..., Result], *items: Iterable[Any],
    chunksize: int | None = None, warn: Callable[[str], None] = warnings.warn,
) -> list[Result]:  # fmt: skip
    """Return `function(*item)` for each item of the zipped iterables, in their order.

    The function goes to each kernel once. Raises what an item raised, with a note that has its
    number, and stops the others. `warn` is told of kernels that died; when none is left, raises
    UnfinishedMapError, which has the results so far.
    """
    inputs = list(zip(*items, strict=False))
    size = chunksize or max(1, -(-len(inputs) // (_CHUNKS * len(callers))))
    work = _Map(function, inputs, size)
    try:
        async with asyncio.TaskGroup() as group:
            for number, caller in enumerate(callers, 1):
                who = f"worker {number} at {caller.place}"
                group.create_task(work.run(caller, len(callers), who, warn))
    except ExceptionGroup as errors:
        error = _first(errors)
        raise error from error.__cause__
    return work.results


class _Map:
    """The items that are left, and the results so far."""

    def __init__(
        self, function: Callable[..., Any], inputs: list[tuple[Any, ...]], size: int
    ) -> None:
        self._function = function
        self._inputs = inputs
        self._size = size
        self._waiting = deque(range(0, len(inputs), size))
        self._done: set[int] = set()
        self._losses: Counter[int] = Counter()
        self._lost = 0
        self._changed = asyncio.Event()
        self._token = secrets.token_hex(8)
        self.results: list[Any] = [None] * len(inputs)

    @property
    def _over(self) -> bool:
        return len(self._done) * self._size >= len(self._inputs)

    async def run(
        self, caller: Caller, workers: int, who: str, warn: Callable[[str], None]
    ) -> None:
        """Do chunks in one kernel until there are none, or until it dies."""
        try:
            await self._run(caller)
        except UnfinishedMapError:
            raise
        except _LOST as error:
            self._lost += 1
            reason = str(getattr(error, "evalue", error)).rstrip(".")
            if self._over:
                return
            if self._lost == workers:
                raise self._unfinished(caller, workers, reason) from error
            warn(f"{who} is lost ({reason}); its items are done by the others, some perhaps again")

    async def _run(self, caller: Caller) -> None:
        name = getattr(self._function, "__name__", type(self._function).__name__)
        await caller.data.ask("keep", {f"the function {name}": self._function}, token=self._token)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_LANES):
                    group.create_task(self._lane(caller))
        except ExceptionGroup as errors:
            error = _first(errors)
            raise error from error.__cause__
        finally:
            caller.forget(self._token)

    async def _lane(self, caller: Caller) -> None:
        while (begin := await self._next()) is not None:
            end = min(begin + self._size, len(self._inputs))
            payload = {f"items {begin} to {end - 1}": self._inputs[begin:end]}
            try:
                self.results[begin:end] = await caller.run(payload, self._token, begin)
                self._done.add(begin)
            except _LOST:
                self._lost_with(begin, end, caller.place)
                raise
            finally:
                if begin not in self._done:
                    self._waiting.appendleft(begin)
                self._changed.set()

    async def _next(self) -> int | None:
        """Return the first item of a chunk to do; None when all are done.

        What another kernel is doing may have to be done again.
        """
        while not self._waiting and not self._over:
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft() if self._waiting else None

    def _lost_with(self, begin: int, end: int, place: str) -> None:
        self._losses[begin] += 1
        if self._losses[begin] >= _DEADLY:
            words = f"{_DEADLY} workers were lost with items {begin} to {end - 1}"
            raise self._error(f"{words}: they may be what killed them", place)

    def _unfinished(self, caller: Caller, workers: int, reason: str) -> UnfinishedMapError:
        who = "the only worker" if workers == 1 else f"the last of {workers} workers"
        return self._error(f"{who} is lost ({reason})", caller.place)

    def _error(self, words: str, place: str) -> UnfinishedMapError:
        ends = ((begin, begin + self._size) for begin in self._done)
        numbers = sorted(number for begin, end in ends for number in range(begin, end)
                         if number < len(self._inputs))  # fmt: skip
        done = {number: self.results[number] for number in numbers}
        count = f"{len(done)} of {len(self._inputs)} items are done"
        return UnfinishedMapError(f"{words}; {count}: the error's `results` has them", place, done)


def _first(error: BaseException) -> BaseException:
    """Return the first error of a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
