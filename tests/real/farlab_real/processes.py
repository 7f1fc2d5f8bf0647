"""Processes that tests start: in their own session, with a log, and gone at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]

DEADLINE_S = 120.0  # for a machine on which everything else runs too


class Process:
    """A program with everything that it starts; `log` holds its output."""

    def __init__(
        self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.argv = list(argv)
        self.log = log
        self.env = dict(os.environ if env is None else env)
        self._popen: subprocess.Popen[bytes] | None = None
        self._family: dict[int, psutil.Process] = {}

    @property
    def pid(self) -> int:
        """The program's process id."""
        if self._popen is None:
            raise RuntimeError(f"{self.argv[0]} was not started")
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the program itself runs."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start the program."""
        with self.log.open("ab") as out:
            self._popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.log.parent,
                env=self.env,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until `ready()`; fail with the log's end when the program ends first."""

        def check() -> bool:
            if not self.running:
                raise AssertionError(f"{what}: it ended; its log:\n{self.read_log()[-4000:]}")
            return ready()

        wait_until(check, what, lambda: self.read_log()[-4000:])

    def wait(self) -> None:
        """Wait until the program ends by itself."""
        if self._popen:
            self._popen.wait()

    def read_log(self) -> str:
        """Return everything it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """Kill the program alone, as a crash would; what it started is dealt with by `stop`."""
        self._remember_family()
        if self._popen:
            self._popen.kill()
            self._popen.wait()

    def stop(self, *, spare: Callable[[psutil.Process], bool] = lambda _: False) -> None:
        """Ask the program to end; then kill whatever of it is left, except what `spare` spares."""
        self._remember_family()
        if self._popen and self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        for process in self._family.values():
            _kill(process, spare)
        self._family.clear()

    def _remember_family(self) -> None:
        """Note what descends from it: after its death nothing tells any more."""
        if not self._popen:
            return
        try:
            children = psutil.Process(self._popen.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        self._family |= {child.pid: child for child in children}


def _kill(process: psutil.Process, spare: Callable[[psutil.Process], bool]) -> None:
    # psutil compares creation times, so a process id that was used again is not hit.
    try:
        if process.is_running() and not spare(process):
            process.kill()
            wait_until(lambda: _ended(process), f"process {process.pid} to end")
    except psutil.NoSuchProcess:
        pass


def _ended(process: psutil.Process) -> bool:
    """Tell whether nothing runs any more, also where its parent has not taken note of it."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def kill_all_below(folder: Path) -> None:
    """Kill the processes that were started with a path in this folder, and what they started."""
    for process in psutil.process_iter():
        try:
            if any(argument.startswith(f"{folder}/") for argument in process.cmdline()):
                for one in [*process.children(recursive=True), process]:
                    _kill(one, lambda _: False)
        except psutil.Error:
            continue


def free_ports(number: int) -> list[int]:
    """Return that many ports of loopback that nobody listens at now."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def wait_until(
    ready: Callable[[], bool],
    what: str,
    more: Callable[[], str] = str,
    deadline: float = DEADLINE_S,
) -> None:
    """Wait until `ready()`; fail after the deadline, saying `what` and `more()`."""
    end = time.monotonic() + deadline
    while not ready():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline:.0f} s\n{more()}")
        time.sleep(0.1)
