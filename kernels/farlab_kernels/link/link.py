"""A kernel at a site, presented as a local one.

    link = KernelLink(open_stream, key)
    await link.start()
    client = BlockingKernelClient(connection_file=link.connection_file)

Any Jupyter client works with it. The link lives in a running event loop; thread.py has one for
programs that have none. A client in the same loop must let it run between its requests: libzmq
takes 1,000 of them without an answer, and then blocks.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from farlab_kernels.keeper.keys import message_key
from farlab_kernels.keeper.messages import Frames, MessageError, Signer, border, dead, read
from farlab_kernels.keeper.proof import RefusedError
from farlab_kernels.keeper.states import KernelState, OrderName
from farlab_kernels.keeper.wire import Kind, Packet, Writer
from farlab_kernels.link.connection import Connection, EndedError, OpenStream
from farlab_kernels.link.history import Message, list_cells, replay
from farlab_kernels.link.local import LocalEnd

PORT = 9000
"""The port of a kernel workload that its keeper listens on."""


class _Request(NamedTuple):
    """A request that has no reply yet."""

    kind: str
    header: bytes
    to: Frames


class KernelLink:
    """Reaches the kernel behind `open_stream`, which connects to a port of its workload.

    `key` is the kernel's key. `client` and `seen`, an earlier link's attributes of those names, go
    on with its session: what came since then is delivered. `on_change` is called whenever the
    connection or the kernel's state has changed.
    """

    def __init__(
        self, open_stream: OpenStream, key: str, *, port: int = PORT, client: str = "",
        seen: int | None = None, on_change: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.kernel = KernelState("starting", 0)
        self._key = message_key(key)
        self._signer = Signer(self._key)
        self._on_change = on_change
        self._changed = asyncio.Event()
        self._connection = Connection(
            open_stream, port, key, client=client or uuid.uuid4().hex, seen=seen,
            receive=self._receive, received=self._flush, on_change=self._tell,
        )  # fmt: skip
        self._local: LocalEnd | None = None
        self._running: asyncio.Task[None] | None = None
        self._requests: dict[str, _Request] = {}
        self._failed = False

    # Where it is, and how

    @property
    def connection_file(self) -> str:
        """The path of the kernel's local connection file."""
        return str(self._end.file)

    @property
    def connection_info(self) -> dict[str, Any]:
        """The connection file's content."""
        return dict(self._end.info)

    @property
    def client(self) -> str:
        """The session's name."""
        return self._connection.client

    @property
    def seen(self) -> int:
        """The number of the last message that came from the kernel."""
        return self._connection.seen or 0

    @property
    def connected(self) -> bool:
        """Whether the keeper is connected now; when not, the link tries to."""
        return self._connection.connected

    @property
    def alive(self) -> bool:
        """Whether there is a kernel, as far as is known."""
        return self.kernel.state in ("starting", "ready")

    @property
    def _end(self) -> LocalEnd:
        if self._local is None:
            raise RuntimeError("this link is not started")
        return self._local

    # Its life

    async def start(self) -> None:
        """Connect, and open the local sockets. Waits for a keeper that does not answer yet.

        Raises RefusedError when the key is wrong, EndedError when the workload has ended.
        """
        try:
            await self.listen()
            running, first = self._running, self._connection.first_answer
            assert running is not None  # noqa: S101  (for the type checker)
            await asyncio.wait((running, first), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        except BaseException:
            await self.close()
            raise

    async def listen(self) -> None:
        """Open the local sockets and begin to connect; what clients send waits for the kernel."""
        self._local = LocalEnd(self._key, self._send, lambda: self.alive)
        await self._local.open()
        self._running = asyncio.create_task(self._connection.run())
        self._running.add_done_callback(self._ended)
        self._connection.first_answer.add_done_callback(
            lambda first: None if first.cancelled() else self._set_state(first.result()["kernel"])
        )

    def _ended(self, running: asyncio.Task[None]) -> None:
        if not running.cancelled():
            self.fail(str(running.exception()))

    async def close(self) -> None:
        """Let go of the kernel, which goes on; the local sockets are closed."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        if self._local is not None:
            self._local.close()

    def fail(self, reason: str) -> None:
        """Take the kernel for ended, because the workload is: ends every request with that."""
        if self._running is not None:
            self._running.cancel()
        if self.kernel.state == "ended":
            return
        self.kernel = KernelState("ended", self.kernel.generation, reason)
        self._failed = True
        requests, self._requests = self._requests, {}
        for request in requests.values():
            self._answer_dead(request)
        self._flush()
        self._tell()

    def _answer_dead(self, request: _Request) -> None:
        """Answer a request in the keeper's place, which can't be reached any more."""
        reply, published = self._signer.end(*request, dead(self.kernel.reason))
        for frames in published[:-1]:
            self._end.deliver(Kind.IOPUB, frames)
        self._end.deliver(Kind.SHELL, reply)
        self._end.deliver(Kind.IOPUB, published[-1])

    # Messages

    def _send(self, kind: Kind, frames: Frames) -> None:
        """Pass on what a local client says; what is no message the keeper would drop."""
        if kind is Kind.SHELL:
            with suppress(MessageError):
                at = border(frames)
                header = read(frames[at + 2])
                if str(header.get("msg_type")).endswith("_request"):
                    request = _Request(header["msg_type"], frames[at + 2], frames[:at])
                    if self._failed:
                        self._answer_dead(request)
                        self._flush()
                        return
                    self._requests[str(header.get("msg_id"))] = request
        self._connection.send(kind, frames)

    def _receive(self, packet: Packet) -> None:
        if packet.kind is Kind.EVENT:
            self._set_state(json.loads(packet.parts[0]))
            return
        if packet.kind is Kind.SHELL:
            parent = read(packet.parts[border(packet.parts) + 3])
            self._requests.pop(str(parent.get("msg_id")), None)
        self._end.deliver(packet.kind, packet.parts)

    def _flush(self) -> None:
        self._end.flush()

    def _set_state(self, state: dict[str, Any]) -> None:
        self.kernel = KernelState(**state)
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        if self._on_change is not None:
            self._on_change()

    # What can be asked of the keeper

    async def interrupt(self) -> None:
        """Interrupt the cell that runs."""
        self._order("interrupt")

    async def restart(self) -> None:
        """Start the kernel anew, in the same job. Raises EndedError when it does not start."""
        generation = self.kernel.generation
        self._order("restart")
        await self.wait_for(lambda kernel: kernel.generation > generation)
        await self.wait_for(lambda kernel: kernel.state != "starting")
        if self.kernel.state != "ready":
            raise EndedError(self.kernel.reason)

    async def end(self) -> None:
        """End the kernel, and with it its job."""
        self._order("end")
        await self.wait_for(lambda kernel: kernel.state == "ended")

    def _order(self, name: OrderName) -> None:
        self._connection.send(Kind.ORDER, [json.dumps({"order": name}).encode()])

    async def wait_for(self, condition: Callable[[KernelState], bool]) -> None:
        """Wait until the kernel's state is as wanted. Raises EndedError when it can't be."""
        while not condition(self.kernel):
            if self.kernel.state == "ended":
                raise EndedError(self.kernel.reason)
            self._changed.clear()
            await self._changed.wait()

    async def open(
        self, kind: str, **hello: Any
    ) -> tuple[asyncio.StreamReader, Writer, dict[str, Any]]:
        """Open a connection of another kind; return it, and the keeper's answer.

        Raises RefusedError, OSError, TimeoutError, and EndedError: then the keeper is gone.
        """
        if self.kernel.state == "ended":
            raise EndedError(self.kernel.reason)
        return await self._connection.open({"kind": kind, **hello})

    async def cells(self) -> list[dict[str, Any]]:
        """Return the kernel's cells, whoever sent them (fields: keeper/cells.py, Cell)."""
        return await list_cells(self.open)

    def history(
        self, cell: str = "", *, since: int = 0, follow: bool = False
    ) -> AsyncIterator[Message]:
        """Yield what a cell has said (all cells, if none is named), in order, from the spool.

        `follow`: go on until the cell has ended. A cut is survived. Raises RefusedError when there
        is no such cell.
        """
        return replay(self.open, cell, since, follow=follow)


__all__ = ["PORT", "EndedError", "KernelLink", "KernelState", "Message", "RefusedError"]
