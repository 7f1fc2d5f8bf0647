"""A session for code that does not await: scripts, and cells of a running notebook.

with connect("vega", gpus=1) as vega:
    vega.push(x=x)
    vega.run("y = model(x)")
    y = vega.pull("y")
"""

from __future__ import annotations

import concurrent.futures
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from farlab_kernels.cells import Cell
from farlab_kernels.errands import send_off
from farlab_kernels.loops import LoopThread, shared_loop
from farlab_kernels.notebook.comms import Comms
from farlab_kernels.notebook.errors import dress
from farlab_kernels.notebook.frontend import hook
from farlab_kernels.notebook.news import Bar, News
from farlab_kernels.notebook.output import NotebookOutput, Output, TerminalOutput, ask, may_ask
from farlab_kernels.notebook.waiting import Left, Waiting
from farlab_kernels.replay import replay
from farlab_kernels.session import Session, attach_session, open_session

Result = TypeVar("Result")


class BlockingSession:
    """The methods of a Session, which wait; output appears where the caller's own would.

    Ctrl-C, or the notebook's interrupt button, interrupts the cell there; a second one within three
    seconds starts its kernel anew, a third one leaves it alone and waits no longer.
    """

    def __init__(self, session: Session, thread: LoopThread) -> None:
        self.session = session
        self._thread = thread
        self._shell = notebook_shell()
        self._comms: list[Comms] = []
        if self._shell is not None:
            hook(self._shell.kernel)
            self._comms = thread.run(self._make_comms(self._shell.kernel))

    async def _make_comms(self, kernel: Any) -> list[Comms]:
        return [Comms(kernel, worker.kernel) for worker in self.session.workers]

    @property
    def name(self) -> str:
        """The name that `attach` finds it by."""
        return self.session.name

    @property
    def site(self) -> str:
        """The site's name."""
        return self.session.site

    @property
    def alive(self) -> bool:
        """Whether its kernels have their jobs still, as far as is known."""
        return self.session.alive

    # Code

    def run(self, code: str, **options: Any) -> None:
        """Run a cell to its end. Raises what it raised; KeyboardInterrupt if interrupted."""
        self.revive()
        output, waiting = self._output(), Waiting(self._thread)
        cells: list[Cell] = []

        async def work() -> None:
            cells.extend(self.begin_here(code, output, waiting, **options))
            await self.session.finish(cells)

        self._wait(waiting, work(), output, lambda count: self._pressed(count, cells))

    def begin_here(
        self, code: str, output: Output, waiting: Waiting, **options: Any
    ) -> list[Cell]:  # fmt: skip
        """Send a cell whose output is shown by the thread that waits. In the loop's thread."""
        may = self._shell is None or may_ask(self._shell)
        cells = self.session.begin(
            code, on_output=waiting.inbox.wrap(output.show),
            on_input=waiting.inbox.wrap_question(ask) if may else None, **options,
        )  # fmt: skip
        if isinstance(output, NotebookOutput):
            for comms, cell in zip(self._comms, cells, strict=True):
                comms.adopt(cell.id, output.parent)
        return cells

    def leave(self, code: str, **options: Any) -> None:
        """Send a cell, and return as soon as it goes on whatever becomes of this program."""
        self.revive()
        self.wait(self.session.leave(code, **options))

    def replay(self, cells: list[dict[str, Any] | None]) -> None:
        """Show what cells of the keepers' lists, one a worker, have said and say, to their ends.

        Raises what they raised. An interrupt ends the show, and not the cells: it raises Left.
        """
        output, waiting = self._output(), Waiting(self._thread)
        show = waiting.inbox.wrap(output.show)
        with self._replaying(cells, output):
            self._wait(waiting, replay(self.session, cells, show), output, self._leave)

    @contextmanager
    def _replaying(self, cells: list[dict[str, Any] | None], output: Output) -> Iterator[None]:
        """Let what the cells publish now not be shown twice."""
        if not isinstance(output, NotebookOutput):
            yield
            return
        pairs = [(one, cell) for one, cell in zip(self._comms, cells, strict=True) if cell]
        tell = self._thread.loop.call_soon_threadsafe
        for comms, cell in pairs:
            tell(comms.begin_replay, cell, output.parent)
        try:
            yield
        finally:
            for comms, cell in pairs:
                tell(comms.end_replay, cell["id"])

    def _leave(self, _: int) -> None:
        raise Left(self.name)

    def missing(self, names: list[str]) -> list[str]:
        """Return those of the names that are not defined there."""
        return self.wait(self.session.missing(names))

    def _pressed(self, count: int, cells: list[Cell]) -> None:
        """Do what an interrupt asks for."""
        loop = self._thread.loop
        if count == 1:
            for cell in cells:
                loop.call_soon_threadsafe(cell.interrupt)
        elif count == 2:
            sys.stderr.write(f"{self.site}: its kernel is started anew; its variables are gone\n")
            self._thread.start(self._restart())
        else:
            raise Left(f"it goes on; farlab_kernels.attach({self.name!r}) brings its output")

    def revive(self) -> None:
        """Start kernels anew that have died since their last cell."""
        died = self.session.died
        if died:
            sys.stderr.write(f"{self.name}: {died}; it is started anew, without its variables\n")
            sys.stderr.flush()
            self.restart()

    def restart(self) -> None:
        """Start the kernels anew, in the same jobs: variables are gone."""
        self.wait(self._restart())

    async def _restart(self) -> None:
        await self.session.restart()
        for comms in self._comms:
            comms.reset()

    def interrupt(self) -> None:
        """Interrupt whatever runs there."""
        self.wait(self.session.interrupt())

    # Variables and files

    def push(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Set variables there."""
        bar, waiting = self._bar("to"), Waiting(self._thread)
        progress = waiting.inbox.wrap(bar)
        self._wait(waiting, self.session.push(values, progress=progress, **named))

    def pull(self, *names: str) -> Any:
        """Return a variable's value; of several names a tuple; with several workers a list."""
        bar, waiting = self._bar("from"), Waiting(self._thread)
        return self._wait(waiting, self.session.pull(*names, progress=waiting.inbox.wrap(bar)))

    def put_file(self, here: str | Path, there: str = "") -> None:
        """Copy a file to the working folder there, or to a path of its own."""
        bar, waiting = self._bar("to"), Waiting(self._thread)
        progress = waiting.inbox.wrap(bar)
        self._wait(waiting, self.session.put_file(here, there, progress=progress))

    def get_file(self, there: str, here: str | Path = "") -> Path:
        """Copy a file from there; return where it is."""
        bar, waiting = self._bar("from"), Waiting(self._thread)
        progress = waiting.inbox.wrap(bar)
        return self._wait(waiting, self.session.get_file(there, here, progress=progress))

    def _bar(self, direction: str) -> Bar:
        return Bar(self._shell, f"{direction} {self.site}")

    # Functions

    def call(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Result:
        """Call a function there; return what it returns. Raises what it raised."""
        return self._show(self.session.call(function, *args, **kwargs))

    def submit(
        self, function: Callable[..., Result], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Result]:
        """Call a function there, and return at once with what can be waited for and cancelled."""
        self.session.on_output = self._output().show
        return self._thread.start(self.session.call(function, *args, **kwargs))

    def map(
        self, function: Callable[..., Result], *items: Iterable[Any], chunksize: int | None = None
    ) -> list[Result]:
        """Call a function with each item, on all workers; return the results in order.

        Items of a worker that dies are done by the others: each is done at least once.
        """
        waiting = Waiting(self._thread)
        warn = waiting.inbox.wrap(_warn)
        mapping = self.session.map(function, *items, chunksize=chunksize, warn=warn)
        return self._show(mapping, waiting)

    # Its end

    def detach(self) -> None:
        """Let go of the kernels, which go on."""
        self.wait(self.session.close())

    def stop(self) -> None:
        """End the kernels and their jobs."""
        for comms in self._comms:
            self._thread.loop.call_soon_threadsafe(comms.reset)
        self.wait(self.session.stop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.session.attached:
            self.detach()
        else:
            self.stop()

    # Waiting

    def _output(self) -> Output:
        if self._shell is None:
            return TerminalOutput()
        return NotebookOutput(self._shell, lambda message, at: self._comms[at].publish(message))

    def _show(
        self, work: Coroutine[Any, Any, Result], waiting: Waiting | None = None
    ) -> Result:  # fmt: skip
        """Wait for work, and show what it prints."""
        output, waiting = self._output(), waiting or Waiting(self._thread)
        self.session.on_output = waiting.inbox.wrap(output.show)
        try:
            return self._wait(waiting, work, output)
        finally:
            self.session.on_output = output.show

    def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for work in the loop of its kernels."""
        return self._wait(Waiting(self._thread), work)

    def _wait(
        self, waiting: Waiting, work: Coroutine[Any, Any, Result], output: Output | None = None,
        pressed: Callable[[int], None] | None = None,
    ) -> Result:  # fmt: skip
        return wait(waiting, work, output, pressed)


def wait(
    waiting: Waiting, work: Coroutine[Any, Any, Result], output: Output | None = None,
    pressed: Callable[[int], None] | None = None,
) -> Result:  # fmt: skip
    """Wait for work; its error is raised as a notebook is to show it."""
    try:
        return waiting.run(work, pressed)
    except (Exception, KeyboardInterrupt) as error:
        dressed = dress(error)
        if dressed is error:
            raise
        raise dressed from dressed.__cause__
    finally:
        if output is not None:
            output.finish()


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)


def notebook_shell() -> Any | None:
    """Return IPython's shell if this is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if shell is not None and hasattr(shell, "kernel") else None


def connect(site: str = "", *, name: str = "", **wishes: Any) -> BlockingSession:
    """Start kernels at a site and wait for them; see `session.open_session`."""
    return _open(lambda on_news: open_session(site, name=name, on_news=on_news, **wishes))


def attach(name: str) -> BlockingSession:
    """Connect to the live session of that name; see `session.attach_session`."""
    return _open(lambda on_news: attach_session(name, on_news=on_news))


def leave(
    site: str, code: str, *, name: str = "", inputs: Mapping[str, Any] | None = None,
    files: Sequence[str] = (), **wishes: Any,
) -> str:  # fmt: skip
    """Start kernels that begin with a cell, and wait for nothing; see `errands.send_off`."""
    going = send_off(site, code, name=name, inputs=inputs, files=files, **wishes)
    return wait(Waiting(shared_loop()), going)


def _open(
    work: Callable[[Callable[[str], None]], Coroutine[Any, Any, Session]],
) -> BlockingSession:
    thread, news = shared_loop(), News(notebook_shell())
    waiting = Waiting(thread)
    session = wait(waiting, work(waiting.inbox.wrap(news.tell)))
    node = session.workers[0].workload.node
    many = f", {len(session.workers)} workers" if len(session.workers) > 1 else ""
    again = "goes on" if session.attached else "is ready"
    news.tell(f"{session.name} {again} at {session.site}{f' on {node}' if node else ''}{many}")
    return BlockingSession(session, thread)
