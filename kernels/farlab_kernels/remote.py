"""One kernel at a site as a Python object: run code, move variables and files, call functions.

async with RemoteKernel(link, "vega") as kernel:
    await kernel.push(x=x)
    await kernel.execute("y = model(x)", on_output=show)
    y = await kernel.pull("y")
    z = await kernel.call(np.linalg.norm, y)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from farlab_kernels.calling import Caller
from farlab_kernels.cells import Cell, Channels, OnInput, OnOutput
from farlab_kernels.link.link import EndedError, KernelLink, KernelState, RefusedError
from farlab_kernels.mapping import map_on
from farlab_kernels.remote_errors import DeadKernelError
from farlab_kernels.variables.channel import Progress
from farlab_kernels.variables.client import Data

Result = TypeVar("Result")
_NEWS_PATIENCE = 10.0  # seconds in which the keeper says that a kernel that is gone is dead


class RemoteKernel:
    """The kernel behind a started link, called `place` in messages.

    `on_output` gets what called functions print and display; a cell has its own. After a cut,
    everything goes on by itself; when the kernel dies, all that waits for it raises
    DeadKernelError with the reason.
    """

    def __init__(
        self, link: KernelLink, place: str = "the site", *, on_output: OnOutput | None = None
    ) -> None:
        self.link = link
        self.place = place
        self.channels = Channels(link.connection_info, self._interrupt)
        self.data = Data(self._dial, place)
        self.caller = Caller(self.channels, self.data, place, on_output)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Wait until the channels are open."""
        await self.channels.ready()

    async def close(self) -> None:
        """Let go of the kernel, which goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.caller.close()
        await self.data.close()
        self.channels.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Code

    def begin(
        self, code: str, *, on_output: OnOutput | None = None, on_input: OnInput | None = None,
        **options: Any,
    ) -> Cell:  # fmt: skip
        """Send a cell and return it at once; `options` are fields of Jupyter's execute_request."""
        return self.channels.begin(code, on_output=on_output, on_input=on_input, **options)

    async def finish(self, cell: Cell) -> dict[str, Any]:
        """Wait for a cell's end and return its reply's content.

        Raises what the cell raised: an exception of the same type, if that is known here, caused by
        a RemoteError with the traceback. Cancelled, it interrupts the cell.
        """
        try:
            content = await cell.end()
        except asyncio.CancelledError:
            cell.interrupt()
            raise
        if content["status"] != "ok":
            raise await self.caller.error(content)
        return content

    async def execute(
        self, code: str, *, on_output: OnOutput | None = None, on_input: OnInput | None = None,
        **options: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Run a cell to its end; `begin` and `finish` in one."""
        cell = self.begin(code, on_output=on_output, on_input=on_input, **options)
        return await self.finish(cell)

    async def _dial(self, kind: str, **hello: Any) -> Any:
        """Open a data connection; wait for a kernel that is on its way. Raises DeadKernelError."""
        while True:
            state = self.link.kernel
            if state.state in ("dead", "ended"):
                raise DeadKernelError("DeadKernelError", state.reason, place=self.place)
            try:
                if state.state == "ready":
                    return await self.link.open(kind, **hello)
                await self._changed_from(state)
            except EndedError as error:
                raise DeadKernelError("DeadKernelError", str(error), place=self.place) from None
            except RefusedError:
                if not await self._changed_from(state):
                    raise

    async def _changed_from(self, state: KernelState) -> bool:
        """Wait for a while until the kernel's state is another one; tell whether it is."""
        with suppress(TimeoutError, EndedError):
            async with asyncio.timeout(_NEWS_PATIENCE):
                await self.link.wait_for(lambda kernel: kernel != state)
        return self.link.kernel != state

    async def interrupt(self) -> None:
        """Interrupt whatever runs there."""
        self._interrupt()

    def _interrupt(self) -> None:
        self._keep(self.link.interrupt())

    def _keep(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Variables and files

    async def push(
        self, values: Mapping[str, Any] | None = None, /, *, progress: Progress | None = None,
        **named: Any,
    ) -> None:  # fmt: skip
        """Set variables there, all or none. `progress` gets the bytes sent, and those in all."""
        await self.data.push({**(values or {}), **named}, progress)

    async def pull(self, *names: str, progress: Progress | None = None) -> Any:
        """Return a variable's value; of several names, a tuple."""
        values = await self.data.pull(list(names), progress)
        return values[names[0]] if len(names) == 1 else tuple(values[name] for name in names)

    async def delete(self, *names: str) -> None:
        """Delete variables there."""
        await self.data.delete(list(names))

    async def put_file(
        self, here: str | Path, there: str = "", *, progress: Progress | None = None
    ) -> None:
        """Copy a file to the kernel's working folder, or to a path of its own there."""
        await self.data.put_file(Path(here), there or Path(here).name, progress)

    async def get_file(
        self, there: str, here: str | Path = "", *, progress: Progress | None = None
    ) -> Path:
        """Copy a file from there to the working folder, or to a path; return where it is."""
        return await self.data.get_file(there, Path(here), progress)

    # Functions

    async def call(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Result:
        """Call a function there, with arguments from here; return what it returns.

        Raises what the function raised. Cancelled, it interrupts the function.
        """
        return await self.caller.call(function, args, kwargs)  # type: ignore[no-any-return]

    def submit(
        self, function: Callable[..., Result], /, *args: Any, **kwargs: Any
    ) -> asyncio.Task[Result]:
        """Call a function there and return at once, with what can be awaited and cancelled."""
        return self._keep(self.call(function, *args, **kwargs))

    async def map(
        self, function: Callable[..., Result], *items: Iterable[Any], chunksize: int | None = None
    ) -> list[Result]:
        """Call a function there with each item; for several kernels see `mapping.map_on`."""
        return await map_on([self.caller], function, *items, chunksize=chunksize)
