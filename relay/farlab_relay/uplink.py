"""The agent's side of the relay: keeps the control connection, opens streams, makes calls."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import uuid
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from farlab_relay import protocol
from farlab_relay.handshake import dial, proxy_for, target
from farlab_relay.protocol import AgentPath
from farlab_relay.streams import Door, End, Socket, join

_CALL_RETRY = 0.2
_GOODBYE_PATIENCE = 5.0
_DRAIN_PATIENCE = 5.0

log = logging.getLogger(__name__)


class RelayRefusedError(Exception):
    """The relay will never accept this agent; says why."""


class Uplink:
    """Connects one workload to the relay, again and again, until it is cancelled.

    `ports` maps the workload's ports to the loopback ports that the payload listens on; `facts`
    (node, job_id) are told to the relay. The secret is only ever sent in a header.
    """

    def __init__(
        self,
        relay_url: str,
        workload: str,
        secret: str,
        *,
        ports: Mapping[int, int],
        facts: Mapping[str, Any],
        heartbeat: float = protocol.HEARTBEAT,
    ) -> None:
        self._url = relay_url
        self._workload = workload
        self._headers = protocol.agent_headers(secret, uuid.uuid4().hex)
        self._ports = dict(ports)
        self._facts = dict(facts)
        self._heartbeat = heartbeat
        self._control: ClientConnection | None = None
        # All that the relay must know, so that one which was restarted can be told again.
        self._news: list[dict[str, Any]] = [{"hello": True, **facts}]
        self._leaving = asyncio.Event()
        self._exit_told = asyncio.Event()
        self._connected = asyncio.Event()
        self._delay = protocol.FIRST_DELAY
        self._trouble = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: set[End] = set()
        self._doors: list[Door] = []

    async def run(self) -> None:
        """Stay connected until cancelled. Raises RelayRefusedError when refused for good."""
        while True:
            try:
                await self._session()
            except InvalidStatus as error:
                self._note(_explain(error))
            except (OSError, WebSocketException) as error:
                self._note(str(error) or type(error).__name__)
            finally:
                self._control = None
                self._connected.clear()
            await self._pause()

    async def _pause(self) -> None:
        """Wait before the next dial: longer each time, but not when the payload has ended."""
        # Not all at the same moment, when many agents lost the same relay.
        delay = self._delay * random.uniform(0.5, 1)  # noqa: S311
        self._delay = min(2 * self._delay, protocol.LONGEST_DELAY)
        if self._leaving.is_set():
            await asyncio.sleep(protocol.FIRST_DELAY)
        else:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), delay)

    async def _session(self) -> None:
        """Dial, tell the news, and do what the relay asks until the connection ends."""
        async with connect(
            target(self._url, AgentPath(self._workload)),
            additional_headers=self._headers,
            compression=None,
            open_timeout=protocol.OPEN_TIMEOUT,
            ping_interval=self._heartbeat,
            ping_timeout=2 * self._heartbeat,
            close_timeout=protocol.CLOSE_PATIENCE,
            max_size=protocol.MAX_MESSAGE,
            proxy=proxy_for(self._url),
        ) as control:
            self._delay = protocol.FIRST_DELAY
            for message in self._news:  # grows meanwhile, if `tell` is called
                await control.send(json.dumps(message))
            self._control = control
            self._all_told()
            self._note("")
            async for text in control:
                self._message(text)

    def _note(self, trouble: str) -> None:
        """Log when the relay goes away and comes back, not each attempt."""
        if trouble and not self._trouble:
            log.warning("the relay at %s is not reachable, trying again: %s", self._url, trouble)
        elif self._trouble and not trouble:
            log.warning("connected to the relay again")
        self._trouble = trouble

    def _all_told(self) -> None:
        self._connected.set()
        if "exited" in self._news[-1]:
            self._exit_told.set()

    # What the agent tells

    async def _tell(self, message: dict[str, Any]) -> None:
        self._news.append(message)
        if self._control is not None:
            with suppress(ConnectionClosed):  # then the next session tells it
                await self._control.send(json.dumps(message))
                self._all_told()

    async def tell_ready(self) -> None:
        """Tell that the payload's first port accepts connections."""
        await self._tell({"ready": True, **self._facts})

    async def say_goodbye(self, code: int, message: str = "") -> None:
        """Let streams run empty, tell the payload's exit code and close; gives up after a while."""
        if self._ends:
            await asyncio.wait([end.closed for end in self._ends], timeout=_DRAIN_PATIENCE)
        self._leaving.set()
        await self._tell({"exited": code, **({"message": message} if message else {})})
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._exit_told.wait(), _GOODBYE_PATIENCE)
        if self._control is not None:
            await self._control.close()

    async def close(self) -> None:
        """Stop listening for calls."""
        for door in self._doors:
            await door.close()

    # What the relay asks

    def _message(self, text: str | bytes) -> None:
        try:
            message = json.loads(text)
            stream, port = str(message["open"]), int(message["port"])
        except (ValueError, KeyError, TypeError):
            log.warning("the relay sent a message that is none: %.200r", text)
            return
        self._start(self._open(stream, port))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, stream: str, port: int) -> None:
        """Connect a new stream to one of the payload's ports."""
        loop = asyncio.get_running_loop()
        if port not in self._ports:
            await self._refuse(stream, f"port {port} is not offered by this workload")
            return
        try:
            _, payload = await loop.create_connection(Socket, "127.0.0.1", self._ports[port])
        except OSError as error:
            await self._refuse(stream, f"nothing answers at port {port}: {error.strerror}")
            return
        try:
            path = AgentPath(self._workload, stream=stream)
            link = await dial(self._url, path, self._headers, heartbeat=self._heartbeat)
        except (OSError, WebSocketException) as error:
            payload.cut(str(error))
            return
        self._keep(payload, link)
        join(payload, link)

    def _keep(self, *ends: End) -> None:
        for end in ends:
            self._ends.add(end)
            end.closed.add_done_callback(partial(self._forget, end))

    def _forget(self, end: End, _: asyncio.Future[str]) -> None:
        self._ends.discard(end)

    async def _refuse(self, stream: str, reason: str) -> None:
        if self._control is not None:
            with suppress(ConnectionClosed):
                await self._control.send(json.dumps({"refused": stream, "reason": reason}))

    # Calls from the job

    async def offer_call(self, name: str) -> int:
        """Listen on loopback for calls to an upstream of the relay; return the port."""

        async def serve(caller: Socket) -> None:
            await self._call(name, caller)

        door = Door(serve)
        self._doors.append(door)
        return await door.listen("127.0.0.1", 0)

    async def _call(self, name: str, caller: Socket) -> None:
        """Connect a caller to an upstream, waiting a while for a relay that is away."""
        path = AgentPath(self._workload, call=name)
        deadline = asyncio.get_running_loop().time() + protocol.CLIENT_PATIENCE
        while True:
            try:
                link = await dial(self._url, path, self._headers, heartbeat=self._heartbeat)
                break
            except (OSError, WebSocketException) as error:
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0 or (isinstance(error, InvalidStatus) and _is_answer(error)):
                    log.warning("a call to %s failed: %s", name, error)
                    caller.cut(str(error))
                    return
            await asyncio.sleep(_CALL_RETRY)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._connected.wait(), left)
        self._keep(link)
        join(caller, link)


def _is_answer(error: InvalidStatus) -> bool:
    """Tell whether the relay itself has decided, rather than a proxy or a relay in trouble."""
    response = error.response
    return protocol.RELAY_HEADER in response.headers and response.status_code < 500


def _explain(error: InvalidStatus) -> str:
    """Say why the relay refused; raises RelayRefusedError if it will never accept this agent."""
    response = error.response
    text = bytes(response.body or b"").decode(errors="replace").strip()[:300]
    reason = f"HTTP {response.status_code} {text or response.reason_phrase}"
    if _is_answer(error) and response.status_code in protocol.FINAL_STATUSES:
        raise RelayRefusedError(reason) from None
    return reason
