"""`farlab hub`: the hub service as a process that JupyterHub manages."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from farlab_sites.carriers import carrier_for
from farlab_sites.problems import CatalogueError
from jupyterhub.services.auth import HubAuth
from traitlets import Integer, Unicode
from traitlets.config import Application

from .database import DatabaseUrlError, check_url
from .errors import HubServiceError
from .hub_auth import CACHE_SECONDS, HubGatekeeper
from .identity.login import HubLogins
from .process import Ending, StartError, alone_in, host_and_port, private_folder, service_address
from .service import HubService
from .serving import bind_api, serve_api

log = logging.getLogger(__name__)


class FarlabHub(Application):
    """The Farlab service beside JupyterHub: workloads, their streams, and the sites' state.

    JupyterHub starts it (`farlab_spawner.configure` says how) and it ends with JupyterHub.
    The jobs at the sites go on; the next start finds them again.
    """

    name = "farlab hub"
    description = __doc__

    catalogue = Unicode("sites.yaml", help="The file that describes the sites.").tag(config=True)
    state_dir = Unicode(".", help="Folder of the service's database; made if missing.").tag(
        config=True
    )
    relay_ip = Unicode(
        "127.0.0.1",
        help="Address that the relay listens at. Put TLS in front of anything but loopback.",
    ).tag(config=True)
    relay_port = Integer(8091, help="Port that agents and gateways dial.").tag(config=True)

    relay_url = Unicode(
        "",
        help="What the agents in kernels dial, such as wss://hub.example.org/relay. "
        "Default: the relay's address on this host.",
    ).tag(config=True)
    ports_host = Unicode(
        "127.0.0.1",
        help="How the hub's proxy reaches the ports that lead to servers, such as the name of a "
        "headless Service of Kubernetes. With another one than 127.0.0.1 they are open at every "
        "address of this host: let only the hub and its proxy connect.",
    ).tag(config=True)
    db_url = Unicode(
        "",
        help="Another database than SQLite in the state folder, such as "
        "postgresql+psycopg://farlab@db.example.org/farlab. Its password goes into the file that "
        "PGPASSFILE names: command lines can be read by everyone.",
    ).tag(config=True)

    namespace = Unicode(
        "",
        help="Namespace of the pods in Kubernetes, the one that the hub's spawner uses. "
        "Default: the namespace of this process's own pod, else `default`.",
    ).tag(config=True)

    aliases = {  # noqa: RUF012 - the way of traitlets
        "catalogue": "FarlabHub.catalogue",
        "state-dir": "FarlabHub.state_dir",
        "relay-ip": "FarlabHub.relay_ip",
        "relay-port": "FarlabHub.relay_port",
        "relay-url": "FarlabHub.relay_url",
        "ports-host": "FarlabHub.ports_host",
        "db-url": "FarlabHub.db_url",
        "namespace": "FarlabHub.namespace",
    }

    def start(self) -> None:
        """Serve until the hub is gone or SIGTERM comes."""
        logging.basicConfig(
            level=logging.INFO,
            format="[%(levelname)1.1s %(asctime)s %(name)s] %(message)s",
            stream=sys.stderr,
        )
        logging.getLogger("tornado.access").setLevel(logging.WARNING)
        try:
            asyncio.run(self._serve())
        except (StartError, CatalogueError, DatabaseUrlError, HubServiceError) as error:
            self.exit(f"farlab hub: {error}")

    async def _serve(self) -> None:
        ending = Ending()
        if self.db_url:
            check_url(self.db_url)
        host, port, prefix = service_address(os.environ)
        folder = private_folder(self.state_dir)
        async with alone_in(folder):
            hub = HubAuth(parent=self, cache_max_age=CACHE_SECONDS)
            service = HubService(
                Path(self.catalogue),
                folder,
                HubGatekeeper(hub),
                carrier_for=lambda site: carrier_for(site, self.namespace),
                upstreams={"hub": host_and_port(hub.api_url), "farlab": (host, port)},
                relay_url=self.relay_url,
                database=self.db_url,
                ports_host=self.ports_host,
                logins=HubLogins(
                    hub.api_url, hub.api_token, os.environ.get("JUPYTERHUB_BASE_URL", "/")
                ),
            )
            try:
                await self._start_relay(service)
                server = serve_api(service, bind_api(host, port), prefix)
                log.info("The API is at http://%s:%d%sapi/", host, port, prefix)
                log.info("The service ends: %s", await ending.wait())
                server.stop()
                await server.close_all_connections()
            finally:
                await service.close()

    async def _start_relay(self, service: HubService) -> None:
        try:
            port = await service.start(self.relay_ip, self.relay_port)
        except OSError as error:
            msg = (
                f"the relay cannot listen at {self.relay_ip}:{self.relay_port} ({error.strerror}): "
                "end what has this port, or choose another with --relay-port"
            )
            raise StartError(msg) from error
        log.info("The relay is at ws://%s:%d", self.relay_ip, port)


def main(argv: Sequence[str] | None = None) -> None:
    """Run `farlab hub`."""
    FarlabHub.launch_instance(argv=list(argv) if argv is not None else None)
