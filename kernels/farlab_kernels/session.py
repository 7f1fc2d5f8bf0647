"""A session at a site: one kernel, or several workers, for code that awaits.

async with await open_session("vega", gpus=1) as session:
    await session.push(x=x)
    await session.run("y = model(x)", on_output=show)
    y = await session.pull("y")
    squares = await session.map(square, range(1000))
"""

from __future__ import annotations

import ast
import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self, TypeVar

from farlab_kernels.cells import Cell, Message, OnInput
from farlab_kernels.mapping import map_on
from farlab_kernels.remote import RemoteKernel
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import ServiceError
from farlab_kernels.service.models import Workload
from farlab_kernels.variables.channel import Progress
from farlab_kernels.wishes import (
    Wish,
    WishError,
    another_name,
    check_name,
    check_profile,
    choose_site,
    near,
    new_name,
    this_notebook,
    worker_names,
)
from farlab_kernels.worker import OnNews, Worker

Result = TypeVar("Result")
_ARRIVAL_PAUSE = 0.02  # seconds
OnOutput = Callable[[Message, int], None]
"""Gets a message of a cell, and the number of the worker that it comes from."""


class Session:
    """Kernels at one site. After a cut everything goes on by itself.

    `on_output` gets what called functions print and display. Leaving an `async with` block ends
    kernels that were started for it, and lets go of those that were `attached` to.
    """

    def __init__(
        self, client: Client, name: str, wish: Wish, workloads: Sequence[Workload], *,
        attached: bool = False,
    ) -> None:  # fmt: skip
        self.client = client
        self.name = name
        self.wish = wish
        self.attached = attached
        self.on_output: OnOutput | None = None
        self.workers = [
            Worker(client, workload, self._printer(number))
            for number, workload in enumerate(workloads)
        ]
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def _printer(self, number: int) -> Callable[[Message], None]:
        return lambda message: self.on_output(message, number) if self.on_output else None

    @property
    def site(self) -> str:
        """The site's name."""
        return self.wish.site

    @property
    def alive(self) -> bool:
        """Whether all kernels have their jobs still, as far as is known."""
        return all(worker.alive for worker in self.workers)

    @property
    def died(self) -> str:
        """Why a kernel has died whose job goes on; empty if none has."""
        states = (worker.kernel.link.kernel for worker in self.workers)
        return next((kernel.reason for kernel in states if kernel.state == "dead"), "")

    @property
    def kernel(self) -> RemoteKernel:
        """The (first) kernel."""
        return self.workers[0].kernel

    # Its life

    async def start(self, on_news: OnNews | None = None) -> None:
        """Wait until all kernels are there. Raises StartError, ServiceError."""
        many = len(self.workers) > 1

        def teller(number: int) -> OnNews | None:
            who = f"{self.site}, worker {number}" if many else self.site
            return on_news and (lambda text: on_news(f"{who}: {text}"))

        await _all(worker.start(teller(at)) for at, worker in enumerate(self.workers))

    async def close(self) -> None:
        """Let go of the kernels, which go on."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _all(worker.close() for worker in self.workers)
        await self.client.close()

    async def stop(self) -> None:
        """End the kernels and their jobs; of one that was let go of, nothing."""
        if self._closed:
            return
        try:
            await _all(self.client.cancel(worker.workload.uid) for worker in self.workers)
        finally:
            await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await (self.close() if self.attached else self.stop())

    # Code

    def begin(
        self, code: str, *, on_output: OnOutput | None = None, on_input: OnInput | None = None,
        **options: Any,
    ) -> list[Cell]:  # fmt: skip
        """Send a cell to each kernel, and return at once. Only the first one may ask for input."""
        return [
            worker.kernel.begin(
                code, on_output=on_output and _of(number, on_output),
                on_input=None if number else on_input, **options,
            )
            for number, worker in enumerate(self.workers)
        ]  # fmt: skip

    async def finish(self, cells: Sequence[Cell]) -> None:
        """Wait for the cells' ends. Raises what a cell raised; cancelled, it interrupts them."""
        pairs = zip(self.workers, cells, strict=True)
        await _all(worker.kernel.finish(cell) for worker, cell in pairs)

    async def run(
        self, code: str, *, on_output: OnOutput | None = None, on_input: OnInput | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        """Run a cell to its end, on each kernel. Raises what it raised."""
        await self.finish(self.begin(code, on_output=on_output, on_input=on_input, **options))

    async def leave(self, code: str, **options: Any) -> list[Cell]:
        """Send a cell, and return as soon as it goes on whatever becomes of this program."""
        cells = self.begin(code, **options)
        pairs = zip(self.workers, cells, strict=True)
        await _all(_arrived(worker.kernel, cell.id) for worker, cell in pairs)
        return cells

    async def interrupt(self) -> None:
        """Interrupt whatever runs."""
        await _all(worker.kernel.interrupt() for worker in self.workers)

    async def restart(self) -> None:
        """Start the kernels anew, in the same jobs: what runs ends, variables are gone."""
        await _all(worker.kernel.link.restart() for worker in self.workers)

    # Variables and files

    async def push(
        self, values: Mapping[str, Any] | None = None, /, *, progress: Progress | None = None,
        **named: Any,
    ) -> None:  # fmt: skip
        """Set variables there, on each kernel."""
        await _all(
            worker.kernel.push(values, progress=None if number else progress, **named)
            for number, worker in enumerate(self.workers)
        )

    async def pull(self, *names: str, progress: Progress | None = None) -> Any:
        """Return a variable's value; of several names a tuple; with several workers a list."""
        pulled = await _all(
            worker.kernel.pull(*names, progress=None if number else progress)
            for number, worker in enumerate(self.workers)
        )
        return pulled[0] if len(pulled) == 1 else pulled

    async def missing(self, names: Sequence[str]) -> list[str]:
        """Return those of the names that are not defined in the (first) kernel."""
        ask = f"[name for name in {list(names)!r} if name not in globals()]"
        reply = await self.kernel.execute(
            "", silent=True, store_history=False, user_expressions={"missing": ask}
        )
        text = reply["user_expressions"]["missing"]["data"]["text/plain"]
        return [str(name) for name in ast.literal_eval(text)]

    async def put_file(
        self, here: str | Path, there: str = "", *, progress: Progress | None = None
    ) -> None:
        """Copy a file to the working folder there, or to a path of its own."""
        await _all(
            worker.kernel.put_file(here, there, progress=None if number else progress)
            for number, worker in enumerate(self.workers)
        )

    async def get_file(
        self, there: str, here: str | Path = "", *, progress: Progress | None = None
    ) -> Path:
        """Copy a file from there (from the first worker); return where it is."""
        return await self.kernel.get_file(there, here, progress=progress)

    # Functions

    async def call(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Result:
        """Call a function there, on the worker with the fewest calls; return what it returns."""
        worker = min(self.workers, key=lambda worker: worker.calls)
        worker.calls += 1
        try:
            return await worker.kernel.call(function, *args, **kwargs)
        finally:
            worker.calls -= 1

    def submit(
        self, function: Callable[..., Result], /, *args: Any, **kwargs: Any
    ) -> asyncio.Task[Result]:
        """Call a function there and return at once, with what can be awaited and cancelled."""
        task = asyncio.get_running_loop().create_task(self.call(function, *args, **kwargs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def map(
        self, function: Callable[..., Result], *items: Iterable[Any], chunksize: int | None = None,
        warn: Callable[[str], None] = warnings.warn,
    ) -> list[Result]:  # fmt: skip
        """Call a function with each item, on all workers; return the results in order.

        Items of a worker that dies are done by the others: each is done at least once.
        """
        callers = [worker.kernel.caller for worker in self.workers]
        return await map_on(callers, function, *items, chunksize=chunksize, warn=warn)


def _of(number: int, on_output: OnOutput) -> Callable[[Message], None]:
    return lambda message: on_output(message, number)


async def _arrived(kernel: RemoteKernel, cell: str) -> None:
    """Wait until a kernel's keeper has a cell."""
    while all(known["id"] != cell for known in await kernel.link.cells()):  # noqa: ASYNC110
        await asyncio.sleep(_ARRIVAL_PAUSE)


async def _all(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Do it all at the same time, and all to its end; then raise the first error, if any."""
    tasks = [asyncio.get_running_loop().create_task(one) for one in work]
    try:
        await asyncio.gather(*tasks, return_exceptions=True)
    except asyncio.CancelledError:  # the tasks are cancelled too, and end in their own time
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return [task.result() for task in tasks]


async def open_session(
    site: str = "", *, name: str = "", on_news: OnNews | None = None, **wishes: Any
) -> Session:
    """Start kernels at a site and wait for them; `name` of live ones attaches to those.

    `wishes`: profile, size, partition, gpus, image, walltime (such as "2:00:00") and workers.
    `on_news` gets a sentence whenever there is one about what is waited for. Cancelled, or failing,
    it leaves no job behind. Raises WishError, ServiceError, StartError.
    """
    wish = Wish(site, **{key: value for key, value in wishes.items() if value is not None})
    if wish.workers < 1:
        raise WishError(f"{wish.workers} workers are none", "Ask for at least 1.", code="bad-count")
    async with _closed_on_error(Client()) as client:
        known = await find(client, name, wish) if name else None
        session = known or await _begin(client, name, wish)
    return await _started(session, on_news)


@asynccontextmanager
async def _closed_on_error(client: Client) -> AsyncIterator[Client]:
    try:
        yield client
    except BaseException:
        await client.close()
        raise


async def _started(session: Session, on_news: OnNews | None) -> Session:
    try:
        await session.start(on_news)
    except BaseException:
        await asyncio.shield(session.close() if session.attached else session.stop())
        raise
    return session


async def settle(client: Client, name: str, wish: Wish) -> tuple[str, Wish]:
    """Return the name of a session to start, and the wish with its site. Raises WishError."""
    site = choose_site(await client.sites(), wish.site)
    check_profile(site, wish.profile)
    wish = replace(wish, site=str(site["name"]))
    return check_name(name) if name else new_name(wish, this_notebook()), wish


async def _begin(client: Client, name: str, wish: Wish) -> Session:
    """Ask for the workloads, or find those that this notebook has."""
    chosen, wish = await settle(client, name, wish)
    if name:
        return await _create(client, chosen, wish)
    return await find(client, chosen, wish) or await _create_anyhow(client, chosen, wish)


async def _create_anyhow(client: Client, name: str, wish: Wish) -> Session:
    try:
        return await _create(client, name, wish)
    except ServiceError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        return await _create(client, another_name(wish.site), wish)


async def _create(client: Client, name: str, wish: Wish) -> Session:
    return Session(client, name, wish, await create_all(client, name, wish))


async def create_all(client: Client, name: str, wish: Wish, **more: Any) -> list[Workload]:
    """Ask for a session's workloads: all, or none. Raises ServiceError."""
    workloads: list[Workload] = []
    try:
        for one in worker_names(name, wish.workers):
            workloads.append(await client.create(wish.site, name=one, **wish.options(), **more))
    except BaseException:
        await asyncio.shield(_all(client.cancel(workload.uid) for workload in workloads))
        raise
    return workloads


def named(workloads: Iterable[Workload], name: str) -> list[Workload]:
    """Return the workloads of the session of that name, of workloads whose names differ."""
    known = {workload.name: workload for workload in workloads if workload.kind in ("", "kernel")}
    found = [known[name]] if name in known else []
    while name not in known and f"{name}-{len(found) + 1}" in known:
        found.append(known[f"{name}-{len(found) + 1}"])
    return found


async def find(client: Client, name: str, wish: Wish | None = None) -> Session | None:
    """Return the session that has this name already, not started; None if there is none.

    Raises WishError when it is another site's than `wish` wants.
    """
    found = named(await client.list(), name)
    if not found:
        return None
    site = found[0].site
    if wish is not None and wish.site not in ("", site):
        fix = "Choose another name, or leave out the site."
        raise WishError(f"{name} is at {site}, not at {wish.site}", fix, code="name-taken")
    wish = Wish(site, found[0].profile, workers=len(found))
    return Session(client, name, wish, found, attached=True)


async def attach_session(name: str, *, on_news: OnNews | None = None) -> Session:
    """Connect to the live session of that name, of whichever notebook or script it was.

    Raises WishError when there is none.
    """
    async with _closed_on_error(Client()) as client:
        session = await find(client, name)
        if session is None:
            raise await none_of(client, name)
    return await _started(session, on_news)


async def none_of(client: Client, name: str) -> WishError:
    """Return the error that says why there is no session of that name: how it ended, if it did."""
    ended = named(await client.ended(), name)
    if ended:
        fix = f"`%offload logs {name}` shows that."
        return WishError(f"{name} {how_ended(ended[0])}", fix, code="ended")
    names = [workload.name for workload in await client.list() if workload.name]
    return WishError(f"nothing called {name} runs{near(name, names)}", code="no-workload")


def how_ended(workload: Workload) -> str:
    """Say how a workload has ended, and what is left of it."""
    when = time.strftime("%d %b %H:%M", time.localtime(workload.updated))
    how = f"has ended at {workload.site} ({when}): {workload.words}".rstrip(".")
    return f"{how}. Its variables are gone; the end of its output is in the job's log"
