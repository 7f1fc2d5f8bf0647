"""The WebSocket between relay and agent as one end of a byte stream."""

from __future__ import annotations

import asyncio

from websockets.asyncio.connection import Connection
from websockets.protocol import State

from farlab_relay import protocol
from farlab_relay.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    ROOM,
    TEXT,
    Bytes,
    FrameDecoder,
    FrameError,
    frame,
    header,
)
from farlab_relay.streams import TransportEnd


class Link(TransportEnd):
    """Carries bytes in binary frames over a WebSocket whose opening handshake `websockets` did.

    Both sides send an unasked-for pong every `heartbeat` seconds. It keeps proxies from closing an
    idle stream, and a side that hears nothing for three of them knows that the network was cut.
    A ping would not do: its answer has to wait behind data that nobody reads at the moment.
    """

    def __init__(self, connection: Connection, *, heartbeat: float, early: bytes = b"") -> None:
        super().__init__()
        self._connection = connection
        self._masked: bool = connection.protocol.side.name == "CLIENT"
        self._decoder = FrameDecoder(masked=not self._masked)
        self._early = early
        self._sent_eof = self._got_eof = self._sent_close = False
        self._reason = "the stream was cut"
        self._heartbeat = heartbeat
        self._silent_beats = 0
        self.connection_made(connection.transport)
        self._timer = asyncio.get_running_loop().call_later(heartbeat, self._beat)
        self.transport.set_protocol(self)
        if connection.state is State.CLOSED:  # lost between its handshake and now
            self._timer.cancel()
            self._lost(self._reason, clean=False)

    # From the other end to the peer

    def take(self, data: Bytes) -> None:
        """Send as one frame."""
        self._send(BINARY, data)

    def take_from(self, buffer: memoryview, start: int, stop: int) -> None:
        """Send with the header written into the buffer: no copy, unless it must be masked."""
        if self._masked or self._sent_close:
            self.take(buffer[start:stop])
            return
        head = header(BINARY, stop - start)
        first = start - len(head)
        buffer[first:start] = head
        self._write(buffer[first:stop])

    def finish(self) -> None:
        """Half-close; close once the peer has done so too."""
        self._sent_eof = True
        self._send(TEXT, protocol.EOF.encode())
        self._close_when_done()

    def cut(self, reason: str) -> None:
        """Close with the reason, which the peer's log shows."""
        self._close(protocol.CLOSE_CUT, reason)
        if self.holds_buffer():  # a peer that takes nothing doesn't hear the reason either
            self.abort()

    # From the peer to the other end

    def resume(self) -> None:
        """Read, beginning with what came right after the handshake."""
        super().resume()
        if self._early:
            early, self._early = self._early, b""
            self._decode(memoryview(early))

    def _receive(self, buffer: memoryview, size: int) -> None:
        self._silent_beats = 0
        self._decode(buffer[ROOM : ROOM + size])

    def _decode(self, data: memoryview) -> None:
        try:
            for opcode, payload in self._decoder.feed(data):
                if opcode == BINARY:
                    self.other.take(payload)
                else:
                    self._got(opcode, payload)
        except FrameError as error:
            self._close(protocol.CLOSE_PROTOCOL_ERROR, str(error))

    def _got(self, opcode: int, payload: Bytes) -> None:
        if opcode == TEXT and payload == protocol.EOF.encode():
            self._got_eof = True
            self.other.finish()
            self._close_when_done()
        elif opcode == PING:
            self._send(PONG, payload)
        elif opcode == CLOSE:
            self._reason = bytes(payload[2:]).decode(errors="replace") or self._reason
            self._close(protocol.CLOSE_NORMAL, "")

    # The end

    @property
    def done(self) -> bool:
        """Whether both directions have ended as they should."""
        return self._sent_eof and self._got_eof

    def _close_when_done(self) -> None:
        if self.done:
            self._send_close(protocol.CLOSE_NORMAL, "")

    def _send(self, opcode: int, payload: Bytes) -> None:
        if not self._sent_close and not self.transport.is_closing():
            self.transport.write(frame(opcode, payload, masked=self._masked))

    def _send_close(self, code: int, reason: str) -> None:
        self._send(CLOSE, code.to_bytes(2, "big") + reason.encode("ascii", "replace")[:100])
        self._sent_close = True

    def _close(self, code: int, reason: str) -> None:
        self._send_close(code, reason)
        self._held = False  # so that `_beat` gives up on a peer that takes nothing any more
        self.close()

    def _beat(self) -> None:
        self._silent_beats = 0 if self._held else self._silent_beats + 1
        if self._silent_beats > 3:
            self.abort()
            return
        self._send(PONG, b"")
        self._timer = asyncio.get_running_loop().call_later(self._heartbeat, self._beat)

    def eof_received(self) -> None:
        """Close: a WebSocket has no half-close of its own."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Cut the other end unless both directions had ended; let `websockets` know as well."""
        self._timer.cancel()
        self._connection.connection_lost(exc)
        self._lost(str(exc) if exc else self._reason, clean=self.done)
