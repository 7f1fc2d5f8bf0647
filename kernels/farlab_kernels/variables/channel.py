"""Messages on a connected socket: a JSON header, then parts as long as the header says.

Sockets block and are used in threads: the system moves each part between the socket and its place
in memory in a few large steps, without Python's interpreter lock.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from farlab_kernels.variables.codec import Bytes, rooms
from farlab_kernels.variables.errors import CutError, NoRoomError, TransferError, from_wire, to_wire

Progress = Callable[[int, int], None]
"""Is called with the bytes done and the bytes in all."""

STEP = 8 << 20
"""Bytes moved at once, and between two reports of progress."""
OFFERED = 64 << 20
"""Bytes above which parts are sent only when the other end says that it has room for them."""
_HEAD = struct.Struct("!4sI")
_MAGIC = b"FDv1"
_LONGEST_HEADER = 1 << 28
_MOST_VIEWS = 512  # the system takes at most 1,024 at once
_STALLED = struct.pack("@ll", 120, 0)  # a peer that takes or gives nothing for so long is gone
_PATIENT = struct.pack("@ll", 0, 0)


class Channel:
    """One end of a connection, of which `begun` was already read.

    Every method raises CutError when the connection breaks.
    """

    def __init__(self, connection: socket.socket, begun: bytes = b"") -> None:
        self._begun = memoryview(begun)
        connection.setblocking(True)
        with suppress(OSError):  # no TCP
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _STALLED)
        self._socket = connection

    def send(
        self, header: dict[str, Any], parts: Iterable[Bytes] = (), progress: Progress | None = None
    ) -> None:
        """Send a message. Raises what the other end says when it has no room for the parts."""
        views = [view for part in parts if (view := memoryview(part).cast("B")).nbytes]
        offered = sum(view.nbytes for view in views) > OFFERED
        text = json.dumps({**header, "offered": True} if offered else header).encode()
        head = memoryview(_HEAD.pack(_MAGIC, len(text)) + text)
        if offered:
            self.send_raw([head])
            self.receive()
            self.send_raw(views, progress)
        else:
            self.send_raw([head, *views], progress)

    def send_raw(self, views: Sequence[memoryview], progress: Progress | None = None) -> None:
        """Send bytes as they are."""
        total, done, at = sum(view.nbytes for view in views), 0, 0
        waiting = list(views)
        try:
            while at < len(waiting):
                sent = self._socket.sendmsg(_step(waiting, at))
                done += sent
                at = _advance(waiting, at, sent)
                if progress is not None:
                    progress(done, total)
        except OSError as error:
            raise _cut(error) from None

    def receive(self) -> dict[str, Any]:
        """Wait for the next message's header. Raises the error that the other end sent."""
        head = memoryview(bytearray(_HEAD.size))
        self.fill([head])
        magic, size = _HEAD.unpack(head)
        if magic != _MAGIC or size > _LONGEST_HEADER:
            self.abort()
            raise TransferError("what answers is no kernel of this version of Farlab")
        text = memoryview(bytearray(size))
        self.fill([text])
        header = json.loads(bytes(text))
        if "error" in header:
            raise from_wire(header["error"])
        return dict(header)

    def receive_parts(
        self, sizes: Sequence[int], progress: Progress | None = None, *, offered: bool = False
    ) -> list[memoryview]:
        """Receive the parts of the message whose header came. Raises NoRoomError.

        `offered`: they are sent only when this end says that it has room.
        """
        try:
            parts = rooms(sizes)
        except NoRoomError:
            if not offered:
                self.abort()  # what comes now can't be received
            raise
        if offered:
            self.send({})
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _STALLED)
        self.fill(parts, progress)
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENT)
        return parts

    def fill(self, views: Sequence[memoryview], progress: Progress | None = None) -> None:
        """Receive bytes until all these views are full."""
        total, done = sum(view.nbytes for view in views), 0
        try:
            for view in views:
                at = self._take_begun(view)
                while at < view.nbytes:
                    got = self._socket.recv_into(view[at : at + STEP], 0, socket.MSG_WAITALL)
                    if not got:
                        raise CutError("the connection ended in the middle")
                    at += got
                    done += got
                    if progress is not None:
                        progress(done, total)
        except OSError as error:
            raise error if isinstance(error, CutError) else _cut(error) from None

    def _take_begun(self, view: memoryview) -> int:
        begun = self._begun[: view.nbytes]
        view[: begun.nbytes] = begun
        self._begun = self._begun[begun.nbytes :]
        return begun.nbytes

    def fail(self, error: TransferError) -> None:
        """Send an error in the place of an answer."""
        self.send({"error": to_wire(error)})

    def ended(self) -> bool:
        """Tell whether the other end is gone, without waiting."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._socket.fileno()

    def abort(self) -> None:
        """Let whoever waits for this connection, in another thread, wake up with CutError."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _step(views: list[memoryview], at: int) -> list[memoryview]:
    """Return the next STEP bytes."""
    step, room = [], STEP
    for view in views[at : at + _MOST_VIEWS]:
        step.append(view[:room])
        room -= step[-1].nbytes
        if not room:
            break
    return step


def _advance(views: list[memoryview], at: int, sent: int) -> int:
    """Take sent bytes off the views; return the index of the first that is left."""
    while at < len(views) and sent >= views[at].nbytes:
        sent -= views[at].nbytes
        at += 1
    if sent:
        views[at] = views[at][sent:]
    return at


def _cut(error: OSError) -> CutError:
    if isinstance(error, BlockingIOError):
        return CutError("the other end took or gave nothing for two minutes")
    return CutError(f"the connection broke: {error.strerror or error}")
