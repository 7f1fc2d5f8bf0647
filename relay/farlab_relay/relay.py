"""The relay: makes a workload's ports reachable although nothing can connect to its machine.

Agents dial the relay's WebSocket listener; a TCP port opened with `Relay.open_port` leads to the
payload behind an agent. The relay keeps nothing on disk: after a restart the agents dial again and
the owner of the relay opens the same ports.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from farlab_relay import protocol
from farlab_relay.handshake import Allowed, RawServerConnection
from farlab_relay.inprocess import Stream
from farlab_relay.protocol import AgentEvent, AgentPath
from farlab_relay.streams import Door, End, Socket, join
from farlab_relay.workloads import StreamRefusedError, Workload

__all__ = ["AgentEvent", "Allowed", "Relay", "Stream", "StreamRefusedError"]

Verify = Callable[[str, str, str], Awaitable[bool]]

log = logging.getLogger(__name__)


class Relay:
    """The meeting point of agents and clients.

    `verify(workload, secret, instance)` decides whether an agent may connect; `on_event` hears of
    each agent; `upstreams` are the addresses that jobs may call, by name. `heartbeat` is the time
    between signs of life in seconds: a cut network is noticed after three of them.
    """

    def __init__(
        self,
        *,
        verify: Verify,
        on_event: Callable[[str, AgentEvent], None],
        upstreams: Mapping[str, tuple[str, int]],
        heartbeat: float = protocol.HEARTBEAT,
    ) -> None:
        self._verify = verify
        self._on_event = on_event
        self._upstreams = dict(upstreams)
        self._heartbeat = heartbeat
        self._workloads: dict[str, Workload] = {}
        self._servers: list[Server] = []
        self._opening = asyncio.Lock()

    async def listen(self, host: str, port: int) -> int:
        """Accept agents on an address (port 0: any free one); return the port. Raises OSError."""
        server = await serve(
            self._handle,
            host,
            port,
            process_request=self._admit,
            create_connection=RawServerConnection,
            compression=None,
            max_size=protocol.MAX_MESSAGE,
            logger=_quiet_logger(),
            backlog=1024,
            **self._timing(),
        )
        self._servers.append(server)
        number: int = server.sockets[0].getsockname()[1]
        return number

    def _timing(self) -> dict[str, Any]:
        return {
            "ping_interval": self._heartbeat,
            "ping_timeout": 2 * self._heartbeat,
            "close_timeout": protocol.CLOSE_PATIENCE,
        }

    def adopt(self, transport: asyncio.Transport, early: bytes, allowed: Allowed) -> None:
        """Serve a connection that this side made as if an agent had dialled `listen`'s port.

        `early` is what has been read from it; `allowed(workload)` says whose agents may come
        this way. Raises RuntimeError before `listen`, and after `close`.
        """
        if not self._servers or not self._servers[0].is_serving():
            raise RuntimeError("the relay does not listen")
        wire = ServerProtocol(max_size=protocol.MAX_MESSAGE, logger=_quiet_logger())
        connection = RawServerConnection(wire, self._servers[0], **self._timing())
        connection.allowed = allowed
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if early:
            connection.data_received(early)
        transport.resume_reading()

    async def open_port(
        self, workload: str, port: int, *, host: str = "127.0.0.1", listen: int = 0
    ) -> int:
        """Open a TCP port that leads to a workload's port; return its number.

        The same port of the same workload is opened once. Raises OSError when `listen` is taken.
        """
        known = self._workload(workload)

        async def serve_client(client: Socket) -> None:
            await self._serve_client(known, port, client)

        async with self._opening:
            if port not in known.doors:
                door = Door(serve_client)
                await door.listen(host, listen)
                known.doors[port] = door
        return known.doors[port].port

    async def drop(self, workload: str) -> None:
        """Forget a workload: its ports, streams and control connection are closed."""
        known = self._workloads.pop(workload, None)
        if known is not None:
            await known.close("the workload was dropped")

    async def connect(self, workload: str, port: int) -> Stream:
        """Connect to a workload's port from inside this process. Raises StreamRefusedError."""
        stream = Stream()
        join(stream, await self.open_stream(workload, port))
        return stream

    async def open_stream(self, workload: str, port: int) -> End:
        """Return a connection to a workload's port, to be joined. Raises StreamRefusedError."""
        return await self._workload(workload).open_stream(port)

    def is_connected(self, workload: str) -> bool:
        """Tell whether the workload's agent is connected now."""
        known = self._workloads.get(workload)
        return known is not None and known.control is not None

    async def close(self) -> None:
        """Close every port and connection; agents keep their payloads and dial again."""
        for server in self._servers:
            server.close(close_connections=False)
        workloads, self._workloads = self._workloads, {}
        for workload in workloads.values():
            await workload.close("the relay is closing")
        for server in self._servers:
            await server.wait_closed()

    def _workload(self, name: str) -> Workload:
        return self._workloads.setdefault(name, Workload(name))

    async def _serve_client(self, workload: Workload, port: int, client: Socket) -> None:
        try:
            link = await workload.open_stream(port)
        except StreamRefusedError as error:
            log.info("connection to port %s of %s refused: %s", port, workload.name, error)
            client.cut(str(error))
        else:
            join(client, link)

    # What agents ask for

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer an agent's request: None accepts it."""
        try:
            refusal = await self._check(connection, request)
        except Exception:  # whatever `verify` raises: the agent tries again
            log.exception("an agent's secret could not be checked")
            refusal = HTTPStatus.SERVICE_UNAVAILABLE, "The secret could not be checked; try again."
        if refusal is None:
            return None
        response = connection.respond(refusal[0], refusal[1] + "\n")
        response.headers[protocol.RELAY_HEADER] = "1"
        return response

    async def _check(
        self, connection: ServerConnection, request: Request
    ) -> tuple[HTTPStatus, str] | None:
        path = AgentPath.parse(request.path)
        if path is None:
            return HTTPStatus.NOT_FOUND, "Not an agent's path."
        secret = protocol.bearer(request.headers)
        instance = request.headers.get(protocol.INSTANCE_HEADER, "")
        if not secret or not instance:
            return HTTPStatus.UNAUTHORIZED, "The secret or the agent's instance is missing."
        known = self._workloads.get(path.workload)
        mine = known is not None and known.belongs_to(secret, instance)
        if path.stream:
            if not mine or known is None or not known.awaits(path.stream):
                return HTTPStatus.NOT_FOUND, "Nobody waits for this stream."
        elif not (mine and path.call) and not (
            await _allowed(connection, path.workload)
            and await self._verify(path.workload, secret, instance)
        ):
            return HTTPStatus.FORBIDDEN, "The secret is wrong, used already, or its time is over."
        if path.call and path.call not in self._upstreams:
            return HTTPStatus.NOT_FOUND, f"The relay has no upstream named {path.call}."
        if (path.stream or path.call) and isinstance(connection, RawServerConnection):
            connection.make_raw()
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        """Serve an accepted connection until it ends."""
        assert isinstance(connection, RawServerConnection)  # noqa: S101  (for the type checker)
        assert connection.request is not None  # noqa: S101
        path = AgentPath.parse(connection.request.path)
        assert path is not None  # noqa: S101
        workload = self._workload(path.workload)
        if path.stream:
            link = connection.take_over(self._heartbeat)
            workload.deliver(path.stream, link)
            await link.closed
        elif path.call:
            await self._serve_call(workload, path.call, connection)
        else:
            await self._control(workload, connection)

    async def _serve_call(
        self, workload: Workload, name: str, connection: RawServerConnection
    ) -> None:
        link = connection.take_over(self._heartbeat)
        workload.keep(link)
        loop = asyncio.get_running_loop()
        host, port = self._upstreams[name]
        try:
            _, upstream = await loop.create_connection(Socket, host, port)
        except OSError as error:
            log.warning("upstream %s at %s:%s is not reachable: %s", name, host, port, error)
            link.cut(f"upstream {name} is not reachable")
        else:
            join(upstream, link)
        await link.closed

    async def _control(self, workload: Workload, connection: ServerConnection) -> None:
        """Keep a workload's control connection, instead of the one before it."""
        assert connection.request is not None  # noqa: S101
        headers = connection.request.headers
        before = workload.control
        workload.attach(connection, protocol.bearer(headers), headers[protocol.INSTANCE_HEADER])
        if before is not None:
            before.transport.abort()  # half-open after a network cut
        reason = "the agent closed its connection"
        try:
            async for text in connection:
                self._message(workload, text)
        except ConnectionClosed as closed:
            reason = str(closed)
        if workload.detach(connection) and not workload.exited:
            self._tell(workload, AgentEvent("lost", {"reason": reason}))

    def _message(self, workload: Workload, text: str | bytes) -> None:
        """Do what one message of the agent says; what it can't mean is ignored and logged."""
        try:
            message = json.loads(text)
            (kind,) = message.keys() & {"hello", "ready", "refused", "exited"}
        except (ValueError, AttributeError):
            log.warning("agent of %s sent a message that is none: %.200r", workload.name, text)
            return
        if kind == "refused":
            workload.refuse(str(message[kind]), str(message.get("reason", "refused")))
        elif kind == "hello":
            workload.exited = False
            self._tell(workload, AgentEvent("connected", _detail(message)))
        elif kind == "ready":
            self._tell(workload, AgentEvent("ready", _detail(message)))
        else:
            workload.exited = True
            detail = _detail(message) | {"code": message[kind]}
            self._tell(workload, AgentEvent("exited", detail))

    def _tell(self, workload: Workload, event: AgentEvent) -> None:
        if self._workloads.get(workload.name) is not workload:
            return  # dropped meanwhile
        try:
            self._on_event(workload.name, event)
        except Exception:  # one workload's trouble must not end another's connection
            log.exception("the event %s of %s could not be handled", event.kind, workload.name)


async def _allowed(connection: ServerConnection, workload: str) -> bool:
    """Tell whether a workload's agent may come by the way that this connection came."""
    allowed = connection.allowed if isinstance(connection, RawServerConnection) else None
    return allowed is None or await allowed(workload)


def _detail(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: message[key] for key in ("node", "job_id", "message") if key in message}


def _quiet_logger() -> logging.Logger:
    """Keep tracebacks of port scans and broken handshakes out of the hub's log."""
    logger = logging.getLogger(f"{__name__}.websockets")
    logger.setLevel(logging.CRITICAL)
    return logger
