"""The kernel's process: how it is started and signalled, and why it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass

from farlab_kernels.keeper import memory
from farlab_kernels.keeper.launch import CHANNELS, Launched


@dataclass(frozen=True)
class Death:
    """The end of a kernel: its exit code (negative: the signal), and the reason in words."""

    code: int
    reason: str


class KernelProcess:
    """A running kernel, in a process group of its own; `ended` is done when it is no more."""

    def __init__(self, launched: Launched) -> None:
        self._process, self._base, self._killed_before = launched
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Death] = loop.create_future()
        threading.Thread(target=self._wait, args=(loop,), daemon=True).start()

    def address(self, channel: str) -> str:
        """Return the path of one of its channels' sockets."""
        return f"{self._base}-{CHANNELS.index(channel) + 1}"

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self._process.pid

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        # While the kernel is not reaped its process group's number can't be another's.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        death = Death(code, _explain(code, usage.ru_maxrss * 1024, self._killed_before))
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(self._set_ended, death)

    def _set_ended(self, death: Death) -> None:
        if not self.ended.done():
            self.ended.set_result(death)

    def interrupt(self) -> None:
        """Interrupt what runs, and what that has started, as Ctrl-C in a terminal would."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End it and what it has started, at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if not self.ended.done():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)


def _explain(code: int, most: int, killed_before: int) -> str:
    if code >= 0:
        return f"the kernel ended by itself with exit code {code}"
    used = f"it used at most {memory.words(most)}"
    if code == -signal.SIGKILL and memory.kills() > killed_before:
        limit = memory.limit()
        allowed = f" of the {memory.words(limit)} that this job may use" if limit else ""
        return f"the kernel ran out of memory and was killed by the system; {used}{allowed}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
    return f"the kernel was killed by signal {-code} ({name}); {used} of memory"
