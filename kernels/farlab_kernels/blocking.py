"""RemoteKernel for code that does not await: scripts, and cells of a running notebook.

kernel = BlockingKernel(kernel)          # a RemoteKernel that lives in `shared_loop()`
kernel.execute("y = model(x)", on_output=show)
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from farlab_kernels.cells import Cell, OnOutput
from farlab_kernels.loops import Inbox, LoopThread, shared_loop
from farlab_kernels.remote import RemoteKernel
from farlab_kernels.remote_errors import InterruptedCellError
from farlab_kernels.variables.channel import Progress

Result = TypeVar("Result")


class BlockingKernel:
    """The methods of `kernel`, which lives in the loop of `thread`; they wait.

    Callbacks are called in the thread that waits. Ctrl-C, or the notebook's interrupt button,
    interrupts the cell there; once more, and it is not waited for any longer.
    """

    def __init__(self, kernel: RemoteKernel, thread: LoopThread | None = None) -> None:
        self.kernel = kernel
        self._thread = thread or shared_loop()

    def execute(
        self, code: str, *, on_output: OnOutput | None = None,
        on_input: Callable[[str, bool], str] | None = None, **options: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Run a cell to its end. Raises what it raised; KeyboardInterrupt if interrupted."""
        inbox = Inbox()
        cells: list[Cell] = []

        async def work() -> dict[str, Any]:
            cell = self.kernel.begin(
                code, on_output=on_output and inbox.wrap(on_output),
                on_input=on_input and inbox.wrap_question(on_input), **options,
            )  # fmt: skip
            cells.append(cell)
            return await self.kernel.finish(cell)

        def interrupt() -> None:
            for cell in cells:
                cell.interrupt()

        try:
            return self._thread.run(work(), inbox, interrupt)
        except InterruptedCellError as error:
            raise KeyboardInterrupt from error

    def push(
        self, values: Mapping[str, Any] | None = None, /, *, progress: Progress | None = None,
        **named: Any,
    ) -> None:  # fmt: skip
        """Set variables there, all or none."""
        inbox = Inbox()
        report = progress and inbox.wrap(progress)
        self._thread.run(self.kernel.push(values, progress=report, **named), inbox)

    def pull(self, *names: str, progress: Progress | None = None) -> Any:
        """Return a variable's value; of several names, a tuple."""
        inbox = Inbox()
        report = progress and inbox.wrap(progress)
        return self._thread.run(self.kernel.pull(*names, progress=report), inbox)

    def delete(self, *names: str) -> None:
        """Delete variables there."""
        self._thread.run(self.kernel.delete(*names))

    def put_file(
        self, here: str | Path, there: str = "", *, progress: Progress | None = None
    ) -> None:
        """Copy a file to there."""
        inbox = Inbox()
        report = progress and inbox.wrap(progress)
        self._thread.run(self.kernel.put_file(here, there, progress=report), inbox)

    def get_file(
        self, there: str, here: str | Path = "", *, progress: Progress | None = None
    ) -> Path:
        """Copy a file from there; return where it is."""
        inbox = Inbox()
        report = progress and inbox.wrap(progress)
        return self._thread.run(self.kernel.get_file(there, here, progress=report), inbox)

    def call(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Result:
        """Call a function there; return what it returns. Raises what it raised."""
        return self._thread.run(self.kernel.call(function, *args, **kwargs))

    def submit(
        self, function: Callable[..., Result], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Result]:
        """Call a function there, and return at once with what can be waited for and cancelled."""
        return self._thread.start(self.kernel.call(function, *args, **kwargs))

    def map(
        self, function: Callable[..., Result], *items: Iterable[Any], chunksize: int | None = None
    ) -> list[Result]:
        """Call a function there with each item."""
        return self._thread.run(self.kernel.map(function, *items, chunksize=chunksize))

    def interrupt(self) -> None:
        """Interrupt whatever runs there."""
        self._thread.run(self.kernel.interrupt())

    def close(self) -> None:
        """Let go of the kernel, which goes on."""
        self._thread.run(self.kernel.close())
