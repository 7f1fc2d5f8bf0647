"""The notebook's end: variables, calls and files over data connections to one kernel.

Connections are kept and used again, one transfer at a time on each. A transfer whose connection
breaks is done once more, on a new one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from farlab_kernels.keeper.proof import RefusedError
from farlab_kernels.keeper.wire import Writer
from farlab_kernels.variables import codec, files
from farlab_kernels.variables.channel import Channel, Progress
from farlab_kernels.variables.errors import CutError, TransferError, UnsendableError
from farlab_kernels.variables.takeover import take_over
from farlab_kernels.variables.versions import About, Pair, about

Argument = TypeVar("Argument")
Result = TypeVar("Result")
Dial = Callable[..., Awaitable[tuple[asyncio.StreamReader, Writer, dict[str, Any]]]]
"""Opens a connection of a kind, with what is said in the hello: KernelLink.open."""

_PATIENCE = 60.0  # seconds for a connection to come about while the relay is away
_PAUSE = 0.3


class Data:
    """Data connections to one kernel, called `place` in messages."""

    def __init__(self, dial: Dial, place: str) -> None:
        self._dial = dial
        self._here = about("here")
        self._place = place
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._closed = False

    async def close(self) -> None:
        """End all connections; transfers that run end with CutError."""
        self._closed = True
        for connection in [*self._idle, *self._busy]:
            connection.channel.abort()
        for connection in self._idle:
            connection.channel.close()
        self._idle = []

    # Variables

    async def push(self, values: dict[str, Any], progress: Progress | None = None) -> None:
        """Set variables there. Raises TransferError."""
        await self.ask("set", values, progress)

    async def pull(self, names: list[str], progress: Progress | None = None) -> dict[str, Any]:
        """Return variables from there. Raises TransferError."""
        progress = _in_loop(progress)

        def work(connection: _Connection) -> dict[str, Any]:
            connection.channel.send({"op": "get", "names": names})
            return connection.receive(connection.channel.receive(), progress)

        return await self.use(work)

    async def delete(self, names: list[str]) -> None:
        """Delete variables there. Raises TransferError."""
        await self.tell("delete", names=names)

    # Files

    async def put_file(self, here: Path, there: str, progress: Progress | None = None) -> None:
        """Copy a file to there, relative to the kernel's working folder. Raises TransferError."""

        def work(connection: _Connection) -> None:
            path = here.expanduser()
            described = files.describe(path, "here")
            connection.channel.send({"op": "put_file", "path": there, **described})
            connection.channel.receive()
            files.send(connection.channel, path, described["size"], progress)
            connection.channel.receive()

        progress = _in_loop(progress)
        await self.use(work)

    async def get_file(self, there: str, here: Path, progress: Progress | None = None) -> Path:
        """Copy a file from there to a path or into a folder; return where it is.

        Raises TransferError.
        """

        def work(connection: _Connection) -> Path:
            path = here.expanduser()
            path = path / Path(there).name if path.is_dir() else path
            connection.channel.send({"op": "get_file", "path": there})
            described = connection.channel.receive()
            files.receive(connection.channel, path, described, "here", progress)
            return path

        progress = _in_loop(progress)
        return await self.use(work)

    # Calls

    async def result(self, id_: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Wait for a call's result: its value, or its exception and what is said of that.

        Raises TransferError.
        """

        def work(connection: _Connection) -> tuple[dict[str, Any], dict[str, Any] | None]:
            connection.channel.send({"op": "result", "id": id_})
            header = connection.channel.receive()
            values = connection.receive_some(header)
            connection.channel.send({})  # it has arrived
            return values, header.get("failed")

        return await self.use(work)

    async def error(self, ename: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the exception of that name that ended the last cell. Raises TransferError."""

        def work(connection: _Connection) -> tuple[dict[str, Any], dict[str, Any]]:
            connection.channel.send({"op": "error", "ename": ename})
            header = connection.channel.receive()
            return connection.receive_some(header), header["failed"]

        return await self.use(work)

    # What these are made of

    async def ask(
        self, op: str, values: dict[str, Any], progress: Progress | None = None, **said: Any
    ) -> dict[str, Any]:
        """Send values with an operation; return the answer. Raises TransferError."""
        progress = _in_loop(progress)

        def work(connection: _Connection) -> dict[str, Any]:
            header, parts = codec.pack_all(values, connection.outward)
            connection.channel.send({"op": op, **said, **header}, parts, progress)
            return connection.channel.receive()

        return await self.use(work)

    async def tell(self, op: str, **said: Any) -> dict[str, Any]:
        """Ask for an operation that needs no values. Raises TransferError."""

        def work(connection: _Connection) -> dict[str, Any]:
            connection.channel.send({"op": op, **said})
            return connection.channel.receive()

        return await self.use(work)

    async def use(self, work: Callable[[_Connection], Result]) -> Result:
        """Do some work on a connection, in a thread; once more if the connection breaks."""
        retried = False
        while True:
            connection = await self._take()
            try:
                return await self._run(work, connection)
            except CutError:
                # One that waited here, unused, may have been cut long ago: that does not count.
                if retried or self._closed:
                    raise
                retried = connection.fresh

    async def _run(self, work: Callable[[_Connection], Result], connection: _Connection) -> Result:
        self._busy.add(connection)
        working = _in_thread(work, connection)
        healthy = False
        try:
            result = await asyncio.shield(working)
            healthy = True
            return result
        except CutError:
            raise
        except TransferError as error:
            healthy = True
            raise error from None
        finally:
            self._busy.discard(connection)
            if healthy:
                connection.fresh = False
                self._idle.append(connection)
            else:
                connection.channel.abort()
                await asyncio.gather(working, return_exceptions=True)
                connection.channel.close()

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.channel.ended():
                return connection
            connection.channel.close()
        return await self._connect()

    async def _connect(self) -> _Connection:
        """Open a connection. A kernel whose code holds Python's lock may take it much later."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    reader, writer, _ = await self._dial(
                        "data", about=self._here.to_wire(), place=self._place
                    )
                return await self._greet(Channel(*await take_over(reader, writer)))
            except RefusedError as error:
                raise TransferError(f"{self._place}: {error}") from None
            except OSError as error:  # CutError and TimeoutError too
                if self._closed or loop.time() > deadline:
                    reason = str(error) or "no answer in time"
                    raise CutError(f"{self._place} can't be reached: {reason}") from None
                await asyncio.sleep(_PAUSE)

    async def _greet(self, channel: Channel) -> _Connection:
        greeting = _in_thread(Channel.receive, channel)
        try:
            said = await asyncio.shield(greeting)
        except BaseException:
            channel.abort()
            await asyncio.gather(greeting, return_exceptions=True)
            channel.close()
            raise
        return _Connection(channel, self._here, About.from_wire(said["about"]))


class _Connection:
    """A connection, and what both of its ends run."""

    def __init__(self, channel: Channel, here: About, there: About) -> None:
        self.channel = channel
        self.outward = Pair(here, there)
        self.inward = Pair(there, here)
        self.fresh = True

    def receive(self, header: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
        """Receive the values that a header describes."""
        offered = header.get("offered", False)
        sizes = codec.sizes(header["values"])
        parts = self.channel.receive_parts(sizes, progress, offered=offered)
        return codec.unpack_all(header["values"], parts, self.inward)

    def receive_some(self, header: dict[str, Any]) -> dict[str, Any]:
        """Receive the values that a header describes; none, for an exception unknown here."""
        try:
            return self.receive(header)
        except UnsendableError:
            if "failed" not in header:
                raise
            return {}


def _in_loop(progress: Progress | None) -> Progress | None:
    """Return a function for threads that calls `progress` in the event loop."""
    if progress is None:
        return None
    loop, report = asyncio.get_running_loop(), progress

    def tell(done: int, total: int) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(report, done, total)

    return tell


def _in_thread(work: Callable[[Argument], Result], argument: Argument) -> asyncio.Future[Result]:
    """Do something in a thread that does not keep the program from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = work(argument)
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="farlab-data", daemon=True).start()
    return future
