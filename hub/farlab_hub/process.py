"""The service as a process: its address, being the only one, and knowing when to end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

PARENT_LOOK = 0.5  # seconds between two looks at the parent
TAKEOVER = 30.0  # seconds that a service before this one has to end


class StartError(Exception):
    """The service cannot start; the message says what to do."""


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host and port of an http URL."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        msg = f"{url!r} is not an http:// address with a host; the service speaks plain HTTP"
        raise StartError(msg)
    return parts.hostname, parts.port or 80


def service_address(environment: Mapping[str, str]) -> tuple[str, int, str]:
    """Return host, port and prefix that JupyterHub gave this service."""
    url = environment.get("JUPYTERHUB_SERVICE_URL", "")
    if not url:
        msg = (
            "JUPYTERHUB_SERVICE_URL is not set: JupyterHub starts this service; "
            "call farlab_spawner.configure(c, ...) in jupyterhub_config.py"
        )
        raise StartError(msg)
    host, port = host_and_port(url)
    return host, port, environment.get("JUPYTERHUB_SERVICE_PREFIX", "/")


def private_folder(name: str) -> Path:
    """Make the state folder if it is missing, for this account only."""
    folder = Path(name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        msg = f"the state folder {name} cannot be made: {error.strerror}"
        raise StartError(msg) from error
    return folder


@contextlib.asynccontextmanager
async def alone_in(folder: Path) -> AsyncIterator[None]:
    """Hold a state folder's lock, waiting for a service before this one to end."""
    descriptor = os.open(folder / "farlab.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        deadline = asyncio.get_running_loop().time() + TAKEOVER
        while not _locked(descriptor):
            if asyncio.get_running_loop().time() > deadline:
                msg = f"another farlab hub works in {folder}: end it first"
                raise StartError(msg)
            await asyncio.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Ending:
    """When to stop: at SIGTERM or SIGINT, or when the process that started this one is gone."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._parent = os.getppid()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._asked.set)

    async def wait(self) -> str:
        """Return, when it is time, why."""
        while os.getppid() == self._parent:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), PARENT_LOOK)
                return "asked to"
        return "the hub that started it is gone"
