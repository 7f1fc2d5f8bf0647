"""`farlab plugin --config plugin.yaml`: the program at the edge of a site."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from farlab_relay.gateway import Gateway
from farlab_relay.tunnel_site import SiteEnd

from farlab_sites.plugin.accounts import AccountPolicy
from farlab_sites.plugin.config import ConfigError, Settings, load, split_address
from farlab_sites.plugin.driver import Driver, DriverError
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.local import LocalDriver
from farlab_sites.plugin.pods import Pods
from farlab_sites.plugin.server import application, close, listen, read_token

log = logging.getLogger(__name__)


def make_driver(settings: Settings, policy: AccountPolicy) -> Driver:
    """Return the driver that the configuration names."""
    local, slurm = settings.driver.local, settings.driver.slurm
    if slurm is None:
        assert local is not None  # noqa: S101 - the configuration was validated
        return LocalDriver(local, policy, settings.folder, settings.python)
    from farlab_sites.plugin.slurm import SlurmDriver  # noqa: PLC0415 - only where it is used

    return SlurmDriver(slurm, policy)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; jobs go on without the plugin.

    Raises:
        ConfigError: it cannot start as configured.

    """
    if settings.token_file is not None:
        _check_token(settings.token_file)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        policy = AccountPolicy(settings.accounts.allow)
        pods = Pods(settings, make_driver(settings, policy), policy)
        await pods.start()
        stack.push_async_callback(pods.stop)
        tunnel = await _gateway(settings, pods, stack)
        runner, address = await listen(application(pods, settings.token_file, tunnel), settings)
        stack.push_async_callback(close, runner, settings)
        log.info("listening on %s", address)
        await stop.wait()
        log.info("stopping; jobs go on")


def _check_token(path: Path) -> None:
    try:
        read_token(path)
    except Refusal:
        raise ConfigError(
            f"token_file: {path} is empty or cannot be read: put a long random word into it"
        ) from None


async def _gateway(settings: Settings, pods: Pods, stack: AsyncExitStack) -> SiteEnd | None:
    """Let agents without a way out dial the plugin, if the site wants it.

    Return where the hub connects, if their streams wait for it.
    """
    if settings.gateway is None:
        return None
    tunnel = None if settings.gateway.relay else SiteEnd()
    gateway = Gateway(tunnel or settings.gateway.relay or "", allowed=pods.is_live)
    host, port = split_address(settings.gateway.listen)
    try:
        opened = await gateway.listen(host, port)
    except OSError as error:
        raise ConfigError(
            f"gateway.listen: {settings.gateway.listen} cannot be opened: {error.strerror}"
        ) from None
    stack.push_async_callback(gateway.close)
    log.info("agents may dial ws://%s:%d", host, opened)
    return tunnel


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plugin; return the exit code."""
    parser = argparse.ArgumentParser(prog="farlab plugin", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="plugin.yaml")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        asyncio.run(serve(load(options.config)))
    except (ConfigError, DriverError) as error:
        sys.stderr.write(f"farlab plugin: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
