"""Function calls at the site: brought by data connections, run by the kernel as cells.

A call is staged under the id of the cell that will run it: RUN. So its output belongs to that cell,
an interrupt reaches it, and it waits its turn like any cell; only its arguments and its result take
the shorter way. A call runs once, however often its connection breaks.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from farlab_kernels.variables.errors import MissingError, StoppedError
from farlab_kernels.variables.source import global_names

RUN = "__import__('farlab_kernels.variables.calls', fromlist=['run']).run()"
"""The cell that runs the call staged under its id."""
_KEPT = 900.0  # seconds that a result waits for whoever lost the connection

Namespace = Callable[[], dict[str, Any]]


@dataclass
class Failure:
    """How a call failed; `index` is the item's in its chunk, of a map."""

    error: BaseException
    traceback: str
    index: int | None = None


@dataclass
class Call:
    """One call: `work(report)` does it, and reports the index of each item that it begins."""

    work: Callable[[Callable[[int], None]], Any]
    state: str = "staged"
    value: Any = None
    failure: Failure | None = None
    done: threading.Event = field(default_factory=threading.Event)
    ended: float = 0.0

    def run(self) -> None:
        """Do the work, in the kernel's main thread."""
        index: int | None = None

        def report(at: int) -> None:
            nonlocal index
            index = at

        try:
            self.value = self.work(report)
        except BaseException as error:
            self.failure = Failure(error, _told(error), index)

    def finish(self, state: str) -> None:
        """Let whoever waits for the result have it."""
        self.state = state
        self.ended = time.monotonic()
        self.done.set()


class Calls:
    """The calls of one kernel, and the functions that maps use."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._calls: dict[str, Call] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._lock = threading.RLock()

    def keep(self, token: str, function: Callable[..., Any]) -> None:
        """Keep a function that the chunks of a map will name."""
        self._functions[token] = function

    def drop(self, token: str) -> None:
        """Let go of a map's function."""
        self._functions.pop(token, None)

    def stage(self, id_: str, payload: Any, token: str) -> None:
        """Take a call, once: (function, args, kwargs), or the items for a kept function."""
        with self._lock:
            self._forget()
            if id_ not in self._calls:
                self._calls[id_] = Call(self._work(payload, token))

    def _work(self, payload: Any, token: str) -> Callable[[Callable[[int], None]], Any]:
        if token:
            function = self._functions.get(token)
            if function is None:
                raise MissingError("the map is gone: the kernel was restarted meanwhile")
            return lambda report: _map(self._at_home(function), payload, report)
        called, args, kwargs = payload
        return lambda report: self._at_home(called)(*args, **kwargs)

    def _at_home(self, function: Any) -> Any:
        """Let a notebook's function find here what it was not sent with, as if defined here."""
        if isinstance(function, FunctionType) and function.__module__ == "__main__":
            here, there = self._namespace(), function.__globals__
            for name in global_names(function.__code__) - there.keys():
                if name in here:
                    there[name] = here[name]
        return function

    def _forget(self) -> None:
        now = time.monotonic()
        for id_, call in list(self._calls.items()):
            if call.ended and now - call.ended > _KEPT:
                del self._calls[id_]

    def get(self, id_: str) -> Call:
        """Return a call. Raises MissingError."""
        with self._lock:
            call = self._calls.get(id_)
        if call is None:
            raise MissingError("the call is gone: the kernel was restarted meanwhile")
        return call

    def fetched(self, id_: str) -> None:
        """Forget a call whose result has arrived."""
        with self._lock:
            self._calls.pop(id_, None)

    def run(self, id_: str) -> None:
        """Run a staged call, in the kernel's main thread."""
        with self._lock:
            call = self._calls.get(id_)
            if call is None or call.state != "staged":
                return
            call.state = "running"
        try:
            call.run()
            with self._lock:
                call.finish("done")
        except KeyboardInterrupt as error:  # meant for the call, and just too late
            call.failure = call.failure or Failure(error, _told(error))
            call.finish("done")

    def cancel(self, id_: str) -> None:
        """Interrupt a call that runs, and let one that waits never run."""
        with self._lock:
            # A call that has not come yet, or is on its way still, shall not run either.
            call = self._calls.setdefault(id_, Call(_nothing))
            if call.state == "staged":
                call.failure = Failure(StoppedError("the call was cancelled before it began"), "")
                call.finish("stopped")
            elif call.state == "running":
                _interrupt()


def _nothing(_: Callable[[int], None]) -> None:
    """Do the work of a call that never came."""


def _map(
    function: Callable[..., Any], items: Sequence[Iterable[Any]], report: Callable[[int], None]
) -> list[Any]:
    results = []
    for index, arguments in enumerate(items):
        report(index)
        results.append(function(*arguments))
    return results


def _interrupt() -> None:
    """Do as Ctrl-C in a terminal: what the call has started is interrupted too."""
    with suppress(ProcessLookupError):
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGINT)
        else:
            os.kill(os.getpid(), signal.SIGINT)


def _told(error: BaseException) -> str:
    """Return the traceback's text, without the frames of this module."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


current: Calls | None = None
"""The calls of this process's kernel."""


def run() -> None:
    """Run the call staged under the id of the cell that runs now."""
    from ipykernel.kernelapp import IPKernelApp  # noqa: PLC0415  (only where a kernel is)

    kernel = IPKernelApp.instance().kernel
    if current is not None:
        current.run(kernel.get_parent("shell")["header"]["msg_id"])
