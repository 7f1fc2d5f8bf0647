"""The extension application that jupyter_server loads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.extension.application import ExtensionApp
from traitlets import Integer, List, Unicode, default

from .datalake.registry import VARIABLE as DATALAKE
from .datalake.uploads import Uploads
from .datalake_handlers import routes
from .handlers import ServerHandler
from .lakes_of_server import address_of_lakes, open_lakes
from .proxy import ServiceHandler
from .rucio_handlers import rucio_routes
from .rucio_jupyterlab import configure as configure_rucio_jupyterlab
from .stac_handlers import stac_routes
from .transfer_handlers import transfer_routes
from .transfers_of_server import open_transfers
from .upload_handlers import upload_routes

if TYPE_CHECKING:
    from .datalake.registry import Lakes
    from .datalake.transfers.transfers import Transfers
    from .own_service import OwnService


SERVICE_PATHS = r"(?:sites|workloads|identity|usage)(?:/[^?]*)?"


class FarlabServerApp(ExtensionApp):
    """Farlab's APIs in the user's Jupyter server.

    Where no hub runs the Farlab service, `catalogue` makes this server run it for its user.
    """

    name = "farlab_server_ext"

    catalogue = Unicode(
        "",
        help="""
        The file that describes your sites (docs/catalogue.md). With it, this server runs the
        Farlab service itself. Ignored where FARLAB_API_URL names one already, as on a hub.
        """,
    ).tag(config=True)
    state_dir = Unicode(
        help="Folder of that service's database, of unfinished uploads and of transfers, on a "
        "local disk."
    ).tag(config=True)
    groups = List(
        Unicode(), help="Which of the catalogue's groups you are in; they open sites to you."
    ).tag(config=True)
    relay_ip = Unicode(
        "127.0.0.1",
        help="Address that its relay listens at. Put TLS in front of anything but loopback.",
    ).tag(config=True)
    relay_port = Integer(0, help="The relay's port. 0: a free one, and then always the same.").tag(
        config=True
    )
    relay_url = Unicode(
        "",
        help="What jobs on other machines dial, such as wss://host.example.org/relay. Default: "
        "the relay's address on this machine.",
    ).tag(config=True)

    _own_service: OwnService | None = None
    _lakes: Lakes | None = None
    _uploads: Uploads | None = None
    _transfers: Transfers | None = None

    @default("state_dir")
    def _default_state_dir(self) -> str:
        return str(Path(jupyter_data_dir()) / "farlab")

    def initialize_settings(self) -> None:
        """Tell the environment where the service will be, before any kernel starts."""
        if not self.catalogue:
            return
        self._tell_lakes()
        if os.environ.get("FARLAB_API_URL"):
            self.log.info("Farlab's service is at %s already", os.environ["FARLAB_API_URL"])
            return
        self._own_service = self._make_service()
        if self._own_service is not None:
            self._own_service.announce()

    def initialize_handlers(self) -> None:
        """Route the APIs; jupyter_server puts the base URL in front."""
        self.handlers.append((r"/farlab/api/server", ServerHandler))
        self.handlers.append((rf"/farlab/api/({SERVICE_PATHS})", ServiceHandler))
        if configure_rucio_jupyterlab(self.serverapp, os.environ):
            self.log.info("rucio-jupyterlab is told of this server's lakes")
        lakes = self._lakes = open_lakes(os.environ, self.log)
        uploads = self._uploads = Uploads(lakes, Path(self.state_dir).expanduser() / "uploads")
        self.handlers.extend(routes(lakes) + rucio_routes(lakes) + upload_routes(lakes, uploads))
        self.handlers.extend(stac_routes(lakes))
        transfers = open_transfers(lakes, Path(self.state_dir).expanduser(), self.log)
        if transfers is not None:
            self._transfers = transfers
            self.handlers.extend(transfer_routes(lakes, transfers))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Begin to serve, now that the event loop runs."""
        os.environ.update(address_of_lakes(serverapp, os.environ))
        if self._transfers is not None:
            await self._transfers.start()
        if self._own_service is not None:
            self._own_service.start()

    async def stop_extension(self) -> None:
        """Stop serving; the jobs at the sites go on."""
        if self._transfers is not None:
            await self._transfers.close()
        if self._uploads is not None:
            await self._uploads.close()
        if self._lakes is not None:
            await self._lakes.close()
        if self._own_service is not None:
            await self._own_service.stop()

    def _tell_lakes(self) -> None:
        """Put the catalogue's lakes where a spawner would have put them."""
        if os.environ.get(DATALAKE):
            return
        try:
            from .own_service import lakes_in  # noqa: PLC0415 - as below
        except ImportError:
            return  # said below
        os.environ.update(lakes_in(Path(self.catalogue).expanduser()))

    def _make_service(self) -> OwnService | None:
        try:
            # Only here: most servers are at a site, where the hub's service is used.
            from .own_service import Choices, OwnService  # noqa: PLC0415
        except ImportError as error:
            self.log.error(
                "Farlab cannot use the sites of %s: the Python package %s is missing. "
                "Install it with: pip install 'farlab[service]'",
                self.catalogue,
                error.name,
            )
            return None
        choices = Choices(
            catalogue=Path(self.catalogue).expanduser().absolute(),
            state_dir=Path(self.state_dir).expanduser().absolute(),
            groups=[*self.groups],
            relay_ip=self.relay_ip,
            relay_port=self.relay_port,
            relay_url=self.relay_url,
        )
        return OwnService(choices, self.log)
