"""The program that a workload runs: its command, environment, signals and end."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PLACEHOLDER = re.compile(r"\{(port|call):([A-Za-z0-9-]+)\}")
_PORTS_TRIED = 100
_PORT_SPAN = 12000


class PayloadError(Exception):
    """The payload can't be started; `code` is what a shell would exit with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def free_port() -> int:
    """Return a loopback port that is free now, and that the kernel gives to nobody else.

    A port from the kernel's own range could become some other program's before the payload, which
    may take seconds to start, listens on it. Raises PayloadError.
    """
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(limits.read_text().split()[0]) if limits.exists() else 32768
    first = max(lowest - _PORT_SPAN, 1024)
    for _ in range(_PORTS_TRIED):
        port = random.randrange(first, max(lowest, first + 1000))  # noqa: S311
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise PayloadError(f"no free port found between {first} and {lowest} on this machine", 1)


def fill(text: str, numbers: Mapping[tuple[str, str], int]) -> str:
    """Replace `{port:N}` and `{call:NAME}` with port numbers. Raises PayloadError."""

    def number(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if (kind, name) not in numbers:
            raise PayloadError(f"{match[0]} is used, but there is no option --{kind} {name}", 2)
        return str(numbers[kind, name])

    return _PLACEHOLDER.sub(number, text)


class Payload:
    """A running payload, which gets this process's SIGTERM and SIGINT.

    Needs the main thread's event loop; reaps orphans too, if it is process 1 of a container.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the command. Raises PayloadError, with the command and PATH in its message."""
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._send, number)
        try:
            self._process = subprocess.Popen(command, env=dict(environment))
        except OSError as error:
            raise _cannot_start(command[0], environment, error) from None
        self._reap()

    def _reap(self) -> None:
        """Collect every child that ended: a process 1 inherits those of others too."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._process.pid and not self._ended.done():
                    self._process.returncode = os.waitstatus_to_exitcode(status)
                    self._ended.set_result(self._process.returncode)

    async def wait(self) -> int:
        """Wait for the end; return the exit code, 128 + signal for one that was killed."""
        code = await asyncio.shield(self._ended)
        return code if code >= 0 else 128 - code

    def _send(self, number: int) -> None:
        if not self._ended.done():
            self._process.send_signal(number)

    async def stop(self, grace: float) -> int:
        """Ask it to end, make it after `grace` seconds, and return its exit code."""
        self._send(signal.SIGTERM)
        with suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(self.wait(), grace)
        self._send(signal.SIGKILL)
        return await self.wait()


def _cannot_start(name: str, environment: Mapping[str, str], error: OSError) -> PayloadError:
    if isinstance(error, FileNotFoundError):
        path = environment.get("PATH", "")
        return PayloadError(
            f"command not found: {name}. Install it in the workload's image, or name it with its "
            f"whole path. PATH is {path or 'empty'}",
            127,
        )
    return PayloadError(f"can't run {name}: {error.strerror}", 126)
