"""`farlab kubelet --config kubelet.yaml`: one virtual node of a Kubernetes cluster."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from farlab_sites.kubelet.api import Api, ApiError
from farlab_sites.kubelet.backend import backend_for
from farlab_sites.kubelet.begin import Beginner
from farlab_sites.kubelet.config import Settings
from farlab_sites.kubelet.drain import drain
from farlab_sites.kubelet.end import Ender
from farlab_sites.kubelet.events import Events
from farlab_sites.kubelet.gauges import Gauges
from farlab_sites.kubelet.metering import Meters
from farlab_sites.kubelet.node import VirtualNode
from farlab_sites.kubelet.pods import PodWatch
from farlab_sites.kubelet.reconcile import Reconciler
from farlab_sites.kubelet.server import Endpoint, ListenError
from farlab_sites.kubelet.serving import Readers, serving_context
from farlab_sites.kubelet.sources import Sources
from farlab_sites.kubelet.wire import TlsError
from farlab_sites.kubelet.writer import StatusWriter
from farlab_sites.loader import load_file
from farlab_sites.problems import CatalogueError

log = logging.getLogger(__name__)


class Kubelet:
    """All the parts of one kubelet, put together."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        host_ip = settings.serving.address
        self.api = Api(settings.kubeconfig)
        self.backend = backend_for(settings.backend)
        self.events = Events(self.api, settings.node)
        writer = StatusWriter(self.api, host_ip)
        sources = Sources(self.api, host_ip)
        self.node = VirtualNode(self.api, self.backend, settings, self._recovered)
        beginner = Beginner(
            self.api,
            self.backend,
            sources,
            writer=writer,
            events=self.events,
            is_up=lambda: self.node.up is not False,
        )
        meters = Meters(self.api)
        ender = Ender(self.api, self.backend, writer=writer, events=self.events, meters=meters)
        self.reconciler = Reconciler(
            self.backend,
            beginner,
            ender,
            writer=writer,
            events=self.events,
            meters=meters,
            interval=settings.status_interval,
        )
        self.watch = PodWatch(self.api, settings.node, self.reconciler, self.reconciler.synced.set)
        readers = Readers(self.api, settings.node)
        gauges = Gauges(settings.node, meters, self.reconciler.pods)
        self.endpoint = Endpoint(
            self.backend, readers, self.reconciler.find, settings.serving, gauges
        )

    def _recovered(self) -> None:
        self.reconciler.recovered()

    async def run(self, *, draining: bool) -> None:
        """Run until SIGTERM or SIGINT, or until the node is drained; jobs go on without it.

        Raises:
            ApiError: the kubeconfig can't be used.
            ListenError: the endpoint can't be opened.
            TlsError: a certificate can't be used.

        """
        await self.api.open()
        try:
            context = serving_context(self.settings.serving, self.settings.node)
            self.node.port = await self.endpoint.listen(context)
            log.info("serving at https://%s:%d", self.settings.serving.address, self.node.port)
            if self.settings.serving.client_ca_file is None:
                log.warning("serving.client_ca_file is not set: nobody can read logs")
            await self._work(draining=draining)
        finally:
            await self.endpoint.close()
            await self.backend.close()
            await self.api.close()

    async def _work(self, *, draining: bool) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        parts = [
            self.watch.run(),
            self.reconciler.run(),
            self.node.keep(),
            self.node.keep_lease(),
            self.events.run(),
        ]
        tasks = [asyncio.create_task(part) for part in parts]
        ends: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait())]
        if draining:
            ends.append(asyncio.create_task(drain(self.api, self.node, self.reconciler)))
        done, _ = await asyncio.wait([*tasks, *ends], return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping; jobs go on")
        for task in (*tasks, *ends):
            task.cancel()
        await asyncio.gather(*tasks, *ends, return_exceptions=True)
        await self.reconciler.stop()
        for task in done:
            if not task.cancelled() and (error := task.exception()):
                raise error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the kubelet; return the exit code."""
    parser = argparse.ArgumentParser(prog="farlab kubelet", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="kubelet.yaml")
    parser.add_argument("--check", action="store_true", help="only say whether the file is right")
    parser.add_argument(
        "--drain", action="store_true", help="end every pod, remove the node, and stop"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        settings = load_file(options.config, Settings)
        if options.check:
            sys.stdout.write(f"{options.config}: node {settings.node}: ok\n")
            return 0
        asyncio.run(Kubelet(settings).run(draining=options.drain))
    except (CatalogueError, TlsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (ApiError, ListenError) as error:
        sys.stderr.write(f"farlab kubelet: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
