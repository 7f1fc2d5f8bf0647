"""A kernel behind a real relay and agent: what a cut does to variables, files, calls and maps."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from farlab_kernels.remote import RemoteKernel
from farlab_real.kernel_parts import Site, linked, site

PATIENCE = 120.0
MB = 1_000_000


@pytest.fixture
async def place() -> AsyncIterator[Site]:
    async with site() as here:
        yield here


@pytest.fixture
async def kernel(place: Site) -> AsyncIterator[RemoteKernel]:
    async with linked(place) as link, RemoteKernel(link, "vega") as here:
        yield here


class Cutter:
    """Cuts a site off in the middle of a transfer, once: a `progress` function."""

    def __init__(self, place: Site) -> None:
        self._place = place
        self._cutting: asyncio.Task[None] | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._cutting is None and done > total / 4:
            self._cutting = asyncio.create_task(self._cut())

    async def _cut(self) -> None:
        await self._place.cut()
        await self._place.mend()

    async def done(self) -> None:
        assert self._cutting is not None
        await finished(self._cutting)


async def finished(work: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(work, PATIENCE)


async def test_variables_and_files_arrive_though_the_relay_is_restarted(place, kernel, tmp_path):
    array = np.arange(20 * MB)
    pushing = Cutter(place)
    await finished(kernel.push(array=array, progress=pushing))
    await pushing.done()
    pulling = Cutter(place)
    assert np.array_equal(await finished(kernel.pull("array", progress=pulling)), array)
    await pulling.done()
    source, there, here = (tmp_path / name for name in ("source", "there", "here"))
    source.write_bytes(os.urandom(60 * MB))
    putting = Cutter(place)
    await finished(kernel.put_file(source, str(there), progress=putting))
    await putting.done()
    getting = Cutter(place)
    await finished(kernel.get_file(str(there), here, progress=getting))
    await getting.done()
    assert here.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "source", "there"]


async def test_a_call_runs_once_though_the_relay_is_restarted(place, kernel, tmp_path):
    def work(items: Any) -> Any:
        with (tmp_path / "begun").open("a") as file:
            file.write("once ")
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        return items * 2

    work.__module__ = "__main__"
    await kernel.execute("import time")
    call = kernel.submit(work, np.arange(2 * MB))
    await _until((tmp_path / "begun").exists)
    await place.cut()
    (tmp_path / "go").touch()
    await place.mend()
    result = await finished(call)
    assert np.array_equal(result, np.arange(2 * MB) * 2)
    assert (tmp_path / "begun").read_text() == "once "


async def test_a_map_and_its_output_go_on_after_a_restart(place, kernel, tmp_path):
    def work(item: int) -> int:
        print(item)
        if item == 20:
            (tmp_path / "half").touch()
        return -item

    work.__module__ = "__main__"
    printed: list[str] = []
    kernel.caller._on_output = lambda message: printed.append(message["content"]["text"])
    mapping = asyncio.create_task(kernel.map(work, range(60), chunksize=3))
    await _until((tmp_path / "half").exists)
    await place.cut()
    await place.mend()
    assert await finished(mapping) == [-item for item in range(60)]
    assert sorted(map(int, "".join(printed).split())) == list(range(60))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
