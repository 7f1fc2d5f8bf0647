"""The kernel's process: how it is started and signalled, and why it ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from farlab_kernels.keeper import memory

_NOT_FOR_KERNELS = ("FARLAB_KERNEL_KEY", "FARLAB_FIRST_CELL")
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


@dataclass(frozen=True)
class Death:
    """The end of a kernel: its exit code (negative: the signal), and the reason in words."""

    code: int
    reason: str


class KernelProcess:
    """A running kernel, in a process group of its own; `ended` is done when it is no more."""

    def __init__(self, folder: Path, name: str, key: str, environment: Mapping[str, str]) -> None:
        """Start it, with its connection file and sockets in a private `folder`."""
        self._base = folder / name
        file = folder / f"{name}.json"
        file.write_text(json.dumps(self._connection(key)))
        kept = {name: value for name, value in environment.items() if name not in _NOT_FOR_KERNELS}
        kept |= {"JPY_PARENT_PID": str(os.getpid()), "FARLAB_KERNEL_FOLDER": str(folder)}
        # -P: what lies in the working folder must not stand in for the kernel's own modules.
        command = [sys.executable, "-P", "-m", "farlab_kernels.keeper.kernel", "-f", str(file)]
        self._killed_before = memory.kills()
        self._process = subprocess.Popen(
            command, env=kept, stdin=subprocess.DEVNULL, start_new_session=True
        )
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Death] = loop.create_future()
        threading.Thread(target=self._wait, args=(loop,), daemon=True).start()

    def _connection(self, key: str) -> dict[str, str | int]:
        ports = {f"{name}_port": number for number, name in enumerate(CHANNELS, 1)}
        about = {"transport": "ipc", "ip": str(self._base), "key": key}
        return {**about, **ports, "signature_scheme": "hmac-sha256"}

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
