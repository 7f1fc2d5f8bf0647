"""One function over many inputs, on several kernels: in chunks, in order, until an item fails."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from farlab_kernels.calling import Caller

Result = TypeVar("Result")
_CHUNKS = 8  # for each kernel, unless a size is asked for: so that a slow one may do fewer
_LANES = 2  # chunks with each kernel: one runs, and the next one is there already


async def map_on(
    callers: Sequence[Caller], function: Callable[..., Result], *items: Iterable[Any],
    chunksize: int | None = None,
) -> list[Result]:  # fmt: skip
    """Return `function(*item)` for each item of the zipped iterables, in their order.

    The function goes to each kernel once. Raises what an item raised, with a note that has its
    number, and stops the others.
    """
    inputs = list(zip(*items, strict=False))
    size = chunksize or max(1, -(-len(inputs) // (_CHUNKS * len(callers))))
    work = _Map(function, inputs, size)
    try:
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(work.run(caller))
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
        self._begins = iter(range(0, len(inputs), size))
        self._token = secrets.token_hex(8)
        self.results: list[Any] = [None] * len(inputs)

    async def run(self, caller: Caller) -> None:
        """Do chunks in one kernel until there are none."""
        name = getattr(self._function, "__name__", type(self._function).__name__)
        await caller.data.ask("keep", {f"the function {name}": self._function}, token=self._token)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_LANES):
                    group.create_task(self._lane(caller))
        finally:
            caller.forget(self._token)

    async def _lane(self, caller: Caller) -> None:
        for begin in self._begins:
            chunk = self._inputs[begin : begin + self._size]
            end = begin + len(chunk)
            payload = {f"items {begin} to {end - 1}": chunk}
            self.results[begin:end] = await caller.run(payload, self._token, begin)


def _first(error: BaseException) -> BaseException:
    """Return the first error of a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
