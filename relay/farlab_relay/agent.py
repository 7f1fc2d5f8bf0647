"""`farlab-agent`: starts a workload's payload and makes its ports reachable through a relay.

    farlab-agent [--port 8888 ...] [--call hub ...] -- COMMAND ARGS...

For each `--port N` a free loopback port is picked, and `{port:N}` in the payload's arguments and
environment becomes its number; for each `--call NAME` the agent listens on loopback for calls to
the relay's upstream of that name, and `{call:NAME}` becomes that port. Environment:
FARLAB_RELAY_URL (ws:// or wss://), FARLAB_WORKLOAD, FARLAB_SECRET (the payload does not get it),
FARLAB_JOB_ID, FARLAB_NODE.
The agent exits with the payload's exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from farlab_relay.payload import Payload, PayloadError, fill, free_port
from farlab_relay.protocol import AgentPath
from farlab_relay.uplink import RelayRefusedError, Uplink

_REFUSED = 77  # EX_NOPERM
_STOP_GRACE = 10.0
_PROBE_INTERVAL = 0.05

log = logging.getLogger("farlab_relay.agent")


@dataclass(frozen=True)
class Options:
    """What the command line and the environment say."""

    relay_url: str
    workload: str
    secret: str
    ports: Sequence[int]
    calls: Sequence[str]
    command: Sequence[str]
    environment: Mapping[str, str]

    @property
    def facts(self) -> dict[str, str]:
        """Where this runs."""
        node = self.environment.get("FARLAB_NODE") or socket.gethostname()
        return {"node": node, "job_id": self.environment.get("FARLAB_JOB_ID", "")}


def read_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read command line and environment; exits with 2 and a message when something is missing."""
    parser = argparse.ArgumentParser(
        prog="farlab-agent",
        usage="farlab-agent [--port N ...] [--call NAME ...] -- COMMAND [ARGUMENT ...]",
        description="Start a workload's payload and make its ports reachable through a relay.",
    )
    parser.add_argument("--port", type=int, action="append", default=[])
    parser.add_argument("--call", action="append", default=[])
    border = arguments.index("--") if "--" in arguments else len(arguments)
    known = parser.parse_args(arguments[:border])
    command = arguments[border + 1 :]
    if not command:
        parser.error("the payload's command is missing: give it after --")
    rest = dict(environment)
    values = []
    for name in ("FARLAB_RELAY_URL", "FARLAB_WORKLOAD", "FARLAB_SECRET"):
        if not environment.get(name):
            parser.error(f"{name} is not set in the environment")
        values.append(environment[name])
    if urlsplit(values[0]).scheme not in ("ws", "wss"):
        parser.error("FARLAB_RELAY_URL must be ws://... or wss://...")
    if AgentPath.parse(f"/agent/{values[1]}") is None:
        parser.error("FARLAB_WORKLOAD is not the name of a workload")
    del rest["FARLAB_SECRET"]
    return Options(values[0], values[1], values[2], known.port, known.call, command, rest)


async def run(options: Options) -> int:
    """Run the payload until it ends, connected to the relay; return the exit code."""
    ports = {port: free_port() for port in options.ports}
    uplink = Uplink(
        options.relay_url, options.workload, options.secret, ports=ports, facts=options.facts
    )
    numbers = {("port", str(port)): local for port, local in ports.items()}
    for name in options.calls:
        numbers["call", name] = await uplink.offer_call(name)
    connection = asyncio.create_task(uplink.run())
    message = ""
    try:
        payload = _start(options, numbers)
        code = await _supervise(payload, uplink, connection, list(ports.values()))
    except PayloadError as error:
        log.error("%s", error)
        code, message = error.code, str(error)
    if not connection.done():
        await uplink.say_goodbye(code, message)
        connection.cancel()
    await uplink.close()
    return code


def _start(options: Options, numbers: Mapping[tuple[str, str], int]) -> Payload:
    command = [fill(argument, numbers) for argument in options.command]
    environment = {key: fill(value, numbers) for key, value in options.environment.items()}
    return Payload(command, environment)


async def _supervise(
    payload: Payload, uplink: Uplink, connection: asyncio.Task[None], local_ports: Sequence[int]
) -> int:
    """Wait for the payload's end; end it when the relay refuses this agent."""
    ready = asyncio.create_task(_tell_when_ready(uplink, local_ports))
    end = asyncio.create_task(payload.wait())
    endings: list[asyncio.Future[Any]] = [end, connection]
    try:
        await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        if end.done():
            return end.result()
        try:
            connection.result()
        except RelayRefusedError as error:
            log.error("the relay refuses this workload, its payload is ended: %s", error)
        await payload.stop(_STOP_GRACE)
        return _REFUSED
    finally:
        ready.cancel()
        end.cancel()


async def _tell_when_ready(uplink: Uplink, local_ports: Sequence[int]) -> None:
    """Tell the relay when the payload's first port accepts connections."""
    for port in local_ports[:1]:
        while not await _accepts(port):  # noqa: ASYNC110  (it's another program)
            await asyncio.sleep(_PROBE_INTERVAL)
    await uplink.tell_ready()


async def _accepts(port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line program."""
    logging.basicConfig(format="farlab-agent: %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    options = read_options(sys.argv[1:] if arguments is None else arguments, os.environ)
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
