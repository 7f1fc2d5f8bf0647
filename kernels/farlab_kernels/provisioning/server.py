"""A Jupyter server extension that keeps the kernel specs of sites as the service has them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from farlab_kernels.provisioning import kernelspecs
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import NotConfiguredError, ServiceError

_AGAIN = 300.0  # seconds
_SOON = 15.0  # seconds, after the service has not answered


class KernelSpecs:
    """Writes the specs into `folder` as soon as the service is known, and whenever it changes."""

    def __init__(self, folder: Path, log: Any) -> None:
        self._folder = folder
        self._log = log
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the server's event loop; nobody waits for it."""
        self._task = asyncio.get_running_loop().create_task(self.run())

    async def run(self) -> None:
        """Go on until cancelled, or until there is no service to ask."""
        while True:
            try:
                await self.refresh()
                await asyncio.sleep(_AGAIN)
            except NotConfiguredError as error:
                self._log.info("no kernels at sites: %s", error.message)
                return
            except ServiceError as error:
                self._log.warning("the kernels at sites are those of before: %s", error)
                await asyncio.sleep(_SOON)

    async def refresh(self) -> None:
        """Write them now. Raises ServiceError."""
        async with Client() as client:
            wanted = kernelspecs.specs(await client.sites())
        if await asyncio.to_thread(kernelspecs.write, wanted, self._folder):
            self._log.info("kernels at sites: %s", ", ".join(wanted) or "none")


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Start when the server does: other extensions may tell where the service is until then."""
    refresher = KernelSpecs(kernelspecs.default_folder(), app.log)
    app.io_loop.add_callback(refresher.start)
