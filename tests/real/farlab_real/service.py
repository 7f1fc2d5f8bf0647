"""The Farlab service without a hub, for one user, with a local site's plugin behind it."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import sys
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import yaml
from farlab_hub.api import rules
from farlab_hub.one_user import OneUser
from farlab_hub.service import HubService
from farlab_sites.carriers import carrier_for
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from farlab_real.plugin import RunningPlugin
from farlab_real.processes import free_ports, wait_until

Result = TypeVar("Result")
TOKEN = "a-token-of-the-tests"
PATIENCE = 120.0


def small_profile(**more: Any) -> dict[str, Any]:
    """Return a profile whose image is the tests' own environment."""
    return {
        "name": "small",
        "title": "Small",
        "sizes": [{"title": "1 CPU", "cpu": 1, "memory": "1Gi"}],
        "images": [{"title": "this one", "image": sys.prefix}],
        **more,
    }


class RunningService:
    """A service in a thread of its own; a context manager. The plugin is a process.

    `stop` and `restart` are a service that was killed and comes back; the jobs go on.
    """

    def __init__(self, folder: Path, profiles: Sequence[dict[str, Any]] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.plugin = RunningPlugin(folder / "plugin", {"local": {"cpus": 16}})
        self._profiles = list(profiles) or [small_profile()]
        self._port, self._relay_port = free_ports(2)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._service: HubService | None = None
        self._server: HTTPServer | None = None

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something in the service's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def __enter__(self) -> Self:
        self.plugin.start()
        site = {"name": "vega", "title": "Vega", "kind": "cloud", "profiles": self._profiles}
        catalogue = {"sites": [{**site, "carrier": self.plugin.carrier}]}
        (self.folder / "sites.yaml").write_text(yaml.safe_dump(catalogue))
        self._thread.start()
        self.restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        with contextlib.suppress(Exception):
            self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.plugin.end()

    def restart(self) -> None:
        """Start the service, at the same addresses."""
        self.do(self._start())

    async def _start(self) -> None:
        service = self._service = HubService(
            self.folder / "sites.yaml",
            self.folder / "state",
            OneUser(getpass.getuser(), TOKEN),
            carrier_for=carrier_for,
            upstreams={},
            tick=0.2,
        )
        await service.start("127.0.0.1", self._relay_port)
        self._server = HTTPServer(Application(rules(service, "/")))
        self._server.add_sockets(bind_sockets(self._port, "127.0.0.1"))

    def stop(self) -> None:
        """Stop the service."""
        self.do(self._stop())

    async def _stop(self) -> None:
        server, service = self._server, self._service
        assert server is not None
        assert service is not None
        server.stop()
        await service.close()
        await server.close_all_connections()

    @property
    def environment(self) -> dict[str, str]:
        """What tells a notebook's kernel where the service is."""
        return {
            "FARLAB_API_URL": f"http://127.0.0.1:{self._port}/api/",
            "FARLAB_API_TOKEN": TOKEN,
        }

    def live(self) -> list[dict[str, Any]]:
        """Return the workloads that have not ended."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{self.environment['FARLAB_API_URL']}workloads"
        answer = httpx.get(url, headers=headers, timeout=60)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def wait_until_empty(self) -> None:
        """Wait until nothing runs any more."""
        self.wait_until_live(0)

    def wait_until_live(self, count: int) -> None:
        """Wait until so many workloads have not ended: an end takes its time."""
        wait_until(lambda: len(self.live()) == count, f"{count} workloads to be left")
