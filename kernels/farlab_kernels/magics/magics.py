"""The magics. Each does one thing of the Python API."""

# IPython's decorators have no types.
# mypy: disable-error-code="untyped-decorator, no-untyped-call"

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from farlab_kernels.blocking_session import BlockingSession, wait
from farlab_kernels.datalake.bring import ahead, bring, dids
from farlab_kernels.loops import shared_loop
from farlab_kernels.magics import names, sent, tables
from farlab_kernels.magics.arguments import listed, start_arguments, wish
from farlab_kernels.magics.completion import ACTIONS
from farlab_kernels.magics.detached import Detached
from farlab_kernels.magics.sessions import Sessions
from farlab_kernels.notebook.errors import add_line, opaque
from farlab_kernels.notebook.waiting import Left, Waiting
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import ServiceError
from farlab_kernels.service.models import Workload
from farlab_kernels.session import how_ended, named
from farlab_kernels.wishes import near

Result = TypeVar("Result")
_UNKNOWN = re.compile(r"name '(\w+)' is not defined")


@magics_class
class OffloadMagics(Magics):
    """Cells and commands for kernels at sites."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._here: dict[str, Any] = shell.user_ns
        self.sessions = Sessions()
        self._detached = Detached(self.sessions)

    # The cell magic

    @magic_arguments()
    @argument(
        "site", nargs="?", default="", help="the site; else the one used last, or the only one"
    )
    @start_arguments
    @argument("-i", "--input", nargs="+", action="extend", metavar="NAME",
              help="variables to set there before the cell")  # fmt: skip
    @argument("-o", "--output", nargs="+", action="extend", metavar="NAME",
              help="variables to fetch from there after the cell")  # fmt: skip
    @argument(
        "--put", nargs="+", action="extend", metavar="FILE", help="files to copy there before"
    )
    @argument("--get", nargs="+", action="extend", metavar="FILE", help="files to copy here after")
    @argument("--data", nargs="+", action="extend", metavar="DID",
              help="data of the DataLake to have at the site before, as scope:name; its path, or "
              "the list of a dataset's paths, is in `data` there, or in x with x=DID")  # fmt: skip
    @argument("-a", "--detach", action="store_true",
              help="return at once; `%%offload attach NAME` brings what came of it")  # fmt: skip
    @cell_magic("offload")  # type: ignore[arg-type]
    def offload_cell(self, line: str, cell: str) -> None:
        """Run the cell at a site, as if it ran here.

        Output, plots, widgets and errors appear below the cell; the kernel there stays for the next
        one. The interrupt button interrupts the cell there; twice within three seconds starts its
        kernel anew; three times leaves it alone.
        """
        arguments = parse_argstring(self.offload_cell, line)
        inputs = self._values(listed(arguments.input))
        outputs = _identifiers(listed(arguments.output))
        files = _files(listed(arguments.put))
        data = self._guard(lambda: dids(arguments.data or []))
        code = sent.head(line.strip(), cell)
        if arguments.detach and data:
            raise UsageError("--data waits for the data: leave out --detach")
        if arguments.detach:
            self._guard(lambda: self._detach(arguments, code, inputs, files))
            return
        if data:
            self._guard(lambda: self._ahead(arguments, data))
        session = self._guard(lambda: self.sessions.choose(wish(arguments), arguments.name or ""))
        if not arguments.site and not arguments.name:
            _say(f"at {session.site} ({session.name})")
        if data:
            inputs |= self._guard(lambda: bring(session, data))
        if inputs:
            session.push(inputs)
        for file in files:
            session.put_file(file)
        self._run(session, code, cell)
        self._fetch(session, outputs, listed(arguments.get))

    def _ahead(self, arguments: Any, data: dict[str, str]) -> None:
        """Have data at the site before a job begins there and waits for it."""
        wanted = wish(arguments)
        if self.sessions.find(wanted, arguments.name or "") is None:
            ahead(wanted.site, data)

    def _run(self, session: BlockingSession, code: str, cell: str) -> None:
        try:
            session.run(code)
        except Left:
            _say(f"{session.name} goes on; `%offload attach {session.name}` brings its output")
        except NameError as error:
            self._advise(session, error, cell)
            raise
        except Exception as error:
            raise opaque(error) from None

    def _advise(self, session: BlockingSession, error: NameError, cell: str) -> None:
        """Say which names are missing that are known here."""
        found = _UNKNOWN.search(str(error))
        if found is None:
            return
        here = self._here
        wanted = [found[1], *(name for name in names.used(cell) if name != found[1])]
        try:
            missing = session.missing([name for name in wanted if name in here])
        except Exception:  # advice is no reason for another error
            missing = [found[1]]
        advice = names.advise(missing, here, session.site)
        if advice:
            add_line(error, advice)

    def _fetch(self, session: BlockingSession, outputs: list[str], files: list[str]) -> None:
        if outputs:
            values = session.pull(*outputs)
            many = len(session.session.workers) > 1
            self._here.update(_named(outputs, values, many=many))
        for file in files:
            session.get_file(file)

    def _detach(
        self, arguments: argparse.Namespace, code: str, inputs: dict[str, Any], files: list[str]
    ) -> None:
        name = self._detached.begin(wish(arguments), arguments.name or "", code, inputs, files)
        attach = f"`%offload attach {name}` brings its output"
        if self._detached.is_sent(name):
            _say(f"{name} goes on by itself; {attach}")
        else:
            _say(f"{name} goes on by itself once its job has started: keep this notebook's kernel "
                 f"until then (`%offload status` says when); {attach}")  # fmt: skip

    def _values(self, wanted: list[str]) -> dict[str, Any]:
        here = self._here
        missing = [name for name in wanted if name not in here]
        if missing:
            public = [name for name in here if not name.startswith("_")]
            hint = near(missing[0], public) if len(missing) == 1 else ""
            hint = hint if "did you mean" in hint else ""
            raise UsageError(f"{', '.join(missing)}: not defined here{hint}")
        return {name: here[name] for name in wanted}

    # The line magic

    @magic_arguments()
    @argument("action", nargs="?", default="status", choices=ACTIONS,
              help="sites: what there is; status: what you have; use: start or choose a kernel; "
              "attach: output and variables of a cell that nobody waited for; logs: what the job "
              "wrote; stop: end the job")  # fmt: skip
    @argument("site", nargs="?", default="", help="a kernel's name; for use also a site")
    @start_arguments
    @argument("-o", "--output", nargs="+", action="extend", metavar="NAME",
              help="attach: variables to fetch, besides those that the cell named")  # fmt: skip
    @argument(
        "--get", nargs="+", action="extend", metavar="FILE", help="attach: files to copy here"
    )
    @argument("-f", "--follow", action="store_true", help="logs: go on as more is written")
    @argument("--all", action="store_true", help="stop: all that you have")
    @line_magic("offload")  # type: ignore[arg-type]
    def offload_line(self, line: str) -> None:
        """Look after kernels at sites."""
        arguments = parse_argstring(self.offload_line, line)
        work: Callable[[argparse.Namespace], None] = getattr(self, f"_{arguments.action}")
        self._guard(lambda: work(arguments))

    def _sites(self, _: argparse.Namespace) -> None:
        _print(tables.sites(_ask(lambda client: client.sites())))

    def _status(self, _: argparse.Namespace) -> None:
        last = self.sessions.last
        found = _ask(lambda client: client.list())
        _print(tables.status(found, last.name if last else ""))
        for line in self._detached.news(found):
            _print(line)

    def _use(self, arguments: argparse.Namespace) -> None:
        session = self.sessions.get(arguments.site)
        if session is not None:
            self.sessions.use(session)
        else:
            session = self.sessions.choose(wish(arguments), arguments.name or "")
        _say(f"cells go to {session.name} at {session.site} now")

    def _stop(self, arguments: argparse.Namespace) -> None:
        live = _ask(lambda client: client.list())
        name = (
            arguments.site or arguments.name or ("" if arguments.all else self.sessions.must().name)
        )
        ours = [w for w in live if arguments.all or _belongs(w.name, name)]
        if not ours and not self._detached.cancel(name):
            known = sorted(workload.name for workload in live if workload.name)
            raise UsageError(f"nothing called {name} runs{near(name, known)}")
        for session in list(self.sessions):
            if arguments.all or session.name == name:
                self.sessions.forget(session.name)
                session.stop()
        for workload in ours:
            _ask(lambda client, uid=workload.uid: client.cancel(uid))  # type: ignore[misc]
        stopped = ", ".join(workload.name for workload in ours) or name or "nothing, there is none"
        _say(f"stopped: {stopped}")

    def _logs(self, arguments: argparse.Namespace) -> None:
        name, live = self._name(arguments), _ask(lambda client: client.list())
        ours = [workload for workload in live if _belongs(workload.name, name)]
        ended = [] if ours else named(_ask(lambda client: client.ended()), name)
        if not ours and not ended:
            raise _nothing(name, live)
        for workload in ended:
            _say(f"{workload.name} {how_ended(workload)}:")
            _print(_ask(lambda client, uid=workload.uid: client.logs(uid)) or "(none)")  # type: ignore[misc]
        for workload in ours:
            if arguments.follow:
                self._follow(workload.uid)
            else:
                _print(_ask(lambda client, uid=workload.uid: client.logs(uid)))  # type: ignore[misc]

    def _follow(self, uid: str) -> None:
        waiting = Waiting(shared_loop())
        write = waiting.inbox.wrap(sys.stdout.write)

        async def follow() -> None:
            async with Client() as client:
                async for text in client.follow_logs(uid):
                    write(text)

        wait(waiting, follow())

    def _attach(self, arguments: argparse.Namespace) -> None:
        name = arguments.site or arguments.name or ""
        self._detached.wait_for(name)
        session = self.sessions.reach(name)
        cells = session.wait(sent.last_cells(session.session))
        code = next((cell["code"] for cell in cells if cell is not None), None)
        if code is None:
            raise UsageError(f"{session.name} has not been given a cell yet")
        try:
            session.replay(cells)
        except Left:
            again = f"`%offload attach {session.name}` shows it again"
            _say(f"{session.name} goes on; {again}, `%offload stop {session.name}` ends it")
            return
        except Exception as error:
            raise opaque(error) from None
        told = parse_argstring(self.offload_cell, sent.arguments_of(code))
        outputs = listed([*(told.output or ()), *(arguments.output or ())])
        self._fetch(session, outputs, listed([*(told.get or ()), *(arguments.get or ())]))

    # What they share

    def _name(self, arguments: argparse.Namespace) -> str:
        """Return the name that is given, else that of the kernel used last."""
        return arguments.site or arguments.name or self.sessions.must().name

    def _guard(self, work: Callable[[], Result]) -> Result:
        """Do something; what the service refuses is said in one line."""
        try:
            return work()
        except ServiceError as error:
            _refuse(error)


def _say(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _refuse(error: Exception) -> NoReturn:
    raise UsageError(str(error)) from None


def _nothing(name: str, live: list[Workload]) -> UsageError:
    known = [workload.name for workload in live if workload.name]
    return UsageError(f"nothing called {name} runs{near(name, known)}")


def _ask(work: Callable[[Client], Coroutine[Any, Any, Result]]) -> Result:
    """Ask the service something."""

    async def ask() -> Result:
        async with Client() as client:
            return await work(client)

    return wait(Waiting(shared_loop()), ask())


def _identifiers(wanted: list[str]) -> list[str]:
    for name in wanted:
        if not name.isidentifier():
            raise UsageError(f"-o takes names of variables, not {name!r}")
    return wanted


def _files(wanted: list[str]) -> list[str]:
    for file in wanted:
        if not Path(file).is_file():
            raise UsageError(f"--put: there is no file {file} here")
    return wanted


def _named(wanted: list[str], values: Any, *, many: bool) -> dict[str, Any]:
    """Return the variables to set: with several workers each is a list, of one value a worker."""
    if not many:
        return dict(zip(wanted, values if len(wanted) > 1 else (values,), strict=True))
    rows = [value if len(wanted) > 1 else (value,) for value in values]
    return {name: [row[at] for row in rows] for at, name in enumerate(wanted)}


def _belongs(workload: str, name: str) -> bool:
    """Tell whether a workload is that of a session, or one of its workers."""
    stem, _, number = workload.rpartition("-")
    return workload == name or (stem == name and number.isdecimal())
