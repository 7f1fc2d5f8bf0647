"""The Farlab service in the user's own Jupyter server: for a laptop or Binder, without a hub.

It is the hub service's application, in this process and event loop, for one user. Kernels find it
as they do beside a hub: by FARLAB_API_URL and a token in the environment. It has a port of its own
on loopback, because the Jupyter server may be behind TLS or a Unix socket, or have no token.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from farlab_hub.errors import HubServiceError
from farlab_hub.one_user import OneUser
from farlab_hub.process import StartError, alone_in, private_folder
from farlab_hub.service import HubService
from farlab_hub.serving import bind_api, serve_api
from farlab_sites.carriers import carrier_for
from farlab_sites.lakes import environment_of
from farlab_sites.loader import load_catalogue
from farlab_sites.problems import CatalogueError

LOOPBACK = "127.0.0.1"
URL, TOKEN = "FARLAB_API_URL", "FARLAB_API_TOKEN"


@dataclass(frozen=True)
class Choices:
    """What the operator, who is the user, has set."""

    catalogue: Path
    state_dir: Path
    groups: Sequence[str]
    relay_ip: str
    relay_port: int  # 0: the one of the last time, or else a free one
    relay_url: str


class OwnService:
    """The service of one Jupyter server; its address is in the environment from the beginning."""

    def __init__(self, choices: Choices, log: logging.Logger) -> None:
        self._choices = choices
        self._log = log
        self._sockets: list[socket.socket] = []
        self._running = AsyncExitStack()
        self._starting: asyncio.Task[None] | None = None

    def announce(self) -> None:
        """Listen, and tell the environment where: callers wait until `start` is through."""
        self._sockets = bind_api(LOOPBACK, 0)
        port = self._sockets[0].getsockname()[1]
        os.environ[URL] = f"http://{LOOPBACK}:{port}/api/"
        os.environ[TOKEN] = secrets.token_urlsafe(32)

    def start(self) -> None:
        """Begin to serve in the running event loop; what goes wrong is logged, and withdrawn."""
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def stop(self) -> None:
        """Stop; the jobs at the sites go on, and the next server finds them again."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await self._running.aclose()
        self._withdraw()

    async def _start(self) -> None:
        try:
            await self._serve()
        except (StartError, CatalogueError, HubServiceError) as error:
            self._log.error("Farlab cannot use the sites of %s: %s", self._choices.catalogue, error)
            await self._running.aclose()
            self._withdraw()

    async def _serve(self) -> None:
        choices = self._choices
        folder = private_folder(str(choices.state_dir))
        await self._running.enter_async_context(alone_in(folder))
        service = HubService(
            choices.catalogue,
            folder,
            OneUser(getpass.getuser(), os.environ[TOKEN], choices.groups),
            carrier_for=carrier_for,
            upstreams={},
            relay_url=choices.relay_url,
        )
        self._running.push_async_callback(service.close)
        port = await self._start_relay(service, folder / "relay.port")
        server = serve_api(service, self._sockets, "/")
        self._running.push_async_callback(server.close_all_connections)
        self._running.callback(server.stop)
        self._log.info("Farlab serves %s; jobs dial %s:%d", os.environ[URL], choices.relay_ip, port)

    async def _start_relay(self, service: HubService, kept: Path) -> int:
        """Let the relay listen where the jobs of an earlier server look for it, if that is free."""
        choices = self._choices
        wanted = choices.relay_port or _number(kept)
        try:
            port = await service.start(choices.relay_ip, wanted)
        except OSError as error:
            msg = f"its relay cannot listen at {choices.relay_ip}:{wanted} ({error.strerror}): "
            msg += f"end what has this port, or remove {kept} if no job needs it any more"
            raise StartError(msg) from error
        await asyncio.to_thread(kept.write_text, f"{port}\n")
        return port

    def _withdraw(self) -> None:
        for one in self._sockets:
            one.close()
        for name in (URL, TOKEN):
            os.environ.pop(name, None)


def lakes_in(catalogue: Path) -> dict[str, str]:
    """Return the variable that tells a server of a catalogue's lakes, if it is in order."""
    try:
        return environment_of(None, load_catalogue(catalogue).lakes)
    except CatalogueError:
        return {}  # which `start` tells


def _number(file: Path) -> int:
    """Return the port in a file; 0 where there is none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0
