"""What the relay knows about one workload: its agent, its ports, the streams being opened."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from farlab_relay import protocol
from farlab_relay.links import Link
from farlab_relay.streams import Door, End


class StreamRefusedError(Exception):
    """A connection to a workload's port could not be made; says why."""


class Workload:
    """One workload with its agent's control connection and the TCP ports that lead to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.doors: dict[int, Door] = {}
        self.control: ServerConnection | None = None
        self.exited = False
        self._credentials = ("", "")
        self._pending: dict[str, asyncio.Future[Link | None]] = {}
        self._connected = asyncio.Event()
        self._ends: set[End] = set()

    def attach(self, control: ServerConnection, secret: str, instance: str) -> None:
        """Take a control connection as the workload's, instead of the one before it."""
        self.control = control
        self._credentials = (secret, instance)
        self._connected.set()

    def detach(self, control: ServerConnection) -> bool:
        """Forget a control connection that ended; tell whether it was the current one."""
        if self.control is not control:
            return False
        self.control = None
        self._connected.clear()
        for pending in self._pending.values():
            if not pending.done():
                pending.set_result(None)
        return True

    def belongs_to(self, secret: str, instance: str) -> bool:
        """Tell whether these are the credentials of the agent that is connected."""
        if self.control is None:
            return False
        given, known = f"{secret} {instance}", " ".join(self._credentials)
        return hmac.compare_digest(given.encode(), known.encode())

    def awaits(self, stream: str) -> bool:
        """Tell whether somebody waits for this stream."""
        return stream in self._pending and not self._pending[stream].done()

    def keep(self, end: End) -> None:
        """Remember an end of one of the workload's streams until it is closed."""
        self._ends.add(end)
        end.closed.add_done_callback(lambda _: self._ends.discard(end))

    async def open_stream(self, port: int) -> Link:
        """Ask the agent for a connection to a port, waiting for an agent that is not there yet.

        Raises StreamRefusedError when there is none after CLIENT_PATIENCE seconds, or when the
        payload refuses.
        """
        deadline = asyncio.get_running_loop().time() + protocol.CLIENT_PATIENCE
        while True:
            control = await self._wait_for_agent(deadline)
            with suppress(ConnectionClosed):  # it dials again, and the client is still there
                link = await self._ask(control, port)
                if link is not None:
                    return link
            await asyncio.sleep(0)

    async def _wait_for_agent(self, deadline: float) -> ServerConnection:
        left = deadline - asyncio.get_running_loop().time()
        if self.control is None and left > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._connected.wait(), left)
        if self.control is None or left <= 0:
            raise StreamRefusedError(f"the agent of workload {self.name} is not connected")
        return self.control

    async def _ask(self, control: ServerConnection, port: int) -> Link | None:
        """Return the new stream, or None when the agent's connection was lost meanwhile."""
        stream = secrets.token_hex(16)
        pending = self._pending[stream] = asyncio.get_running_loop().create_future()
        try:
            await control.send(json.dumps({"open": stream, "port": port}))
            return await asyncio.wait_for(pending, protocol.OPEN_TIMEOUT)
        except TimeoutError:
            raise StreamRefusedError(f"the agent of workload {self.name} does not answer") from None
        finally:
            del self._pending[stream]

    def deliver(self, stream: str, link: Link) -> None:
        """Give a stream to whoever waits for it."""
        self.keep(link)
        if self.awaits(stream):
            self._pending[stream].set_result(link)
        else:
            link.cut("nobody waits for this stream any more")

    def refuse(self, stream: str, reason: str) -> None:
        """Tell whoever waits for a stream that the payload refused it."""
        if self.awaits(stream):
            self._pending[stream].set_exception(StreamRefusedError(reason))

    async def close(self, reason: str) -> None:
        """Close the workload's ports, streams and control connection."""
        for door in self.doors.values():
            await door.close()
        self.doors.clear()
        for end in list(self._ends):
            end.cut(reason)
        if self._ends:
            await asyncio.wait([end.closed for end in self._ends])
        if self.control is not None:
            await self.control.close(protocol.CLOSE_DROPPED, reason)
