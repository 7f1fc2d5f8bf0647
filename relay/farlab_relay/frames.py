"""WebSocket frames (RFC 6455) for byte streams: payloads are handed on in pieces, as they come.

`websockets` collects whole messages before it hands them over, which costs several copies of every
byte. A relay has no use for message borders, so the decoder here yields what has arrived, without
a copy where the frame is not masked; and the encoder writes a header just before the payload, in
the buffer the payload was received into.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterator
from typing import Union

from websockets.frames import apply_mask  # type: ignore[attr-defined]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
ROOM = 14
"""Most bytes in a frame's header."""
_MAX_TEXT = 4096
_MAX_CONTROL = 125

Bytes = Union[bytes, bytearray, memoryview]  # noqa: UP007  (evaluated by Python 3.9 too)


class FrameError(Exception):
    """The peer sent what is not a WebSocket frame of a byte stream."""


def header(opcode: int, length: int, mask: bytes = b"") -> bytes:
    """Return the header of one final frame."""
    bit = 0x80 if mask else 0
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, bit | length)
    elif length < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, bit | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, bit | 127, length)
    return head + mask


def frame(opcode: int, payload: Bytes, *, masked: bool) -> bytes:
    """Return one final frame; `masked` is what a client must do, with a fresh key each time."""
    if not masked:
        return b"".join((header(opcode, len(payload)), payload))
    key = secrets.token_bytes(4)
    return b"".join((header(opcode, len(payload), key), apply_mask(payload, key)))


class FrameDecoder:
    """Turns received bytes into (opcode, payload) pairs.

    BINARY payloads are yielded piece by piece as views of the fed buffer, valid until the next
    piece is asked for; all others are short and come whole. CONTINUATION frames carry on the
    message before them and are never yielded as such.
    """

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._head = bytearray()
        self._opcode = BINARY
        self._message = -1  # opcode of a message whose final frame is still to come
        self._final = True
        self._left = 0
        self._mask = b""
        self._short = bytearray()

    def feed(self, data: memoryview) -> Iterator[tuple[int, Bytes]]:
        """Yield what `data` completes. Raises FrameError for what no such peer sends."""
        at, end = 0, len(data)
        while at < end:
            if not self._left:
                at = self._read_header(data, at)
                if self._head:  # the rest of the header is still to come
                    return
                if not self._left and self._opcode != BINARY:
                    yield from self._finish_short()
                continue
            size = min(self._left, end - at)
            piece = self._unmask(data[at : at + size])
            at += size
            self._left -= size
            if self._opcode == BINARY:
                yield BINARY, piece
            else:
                self._short += piece
                if not self._left:
                    yield from self._finish_short()

    def _unmask(self, piece: memoryview) -> Bytes:
        if not self._masked:
            return piece
        turn = len(piece) % 4
        key, self._mask = self._mask, self._mask[turn:] + self._mask[:turn]
        return apply_mask(piece, key)

    def _finish_short(self) -> Iterator[tuple[int, Bytes]]:
        if self._final or self._opcode >= CLOSE:
            payload = bytes(self._short)
            self._short.clear()
            yield self._opcode, payload

    def _read_header(self, data: memoryview, at: int) -> int:
        """Read as much of a header as is there, leaving `_head` empty when it is complete."""
        while True:
            wanted = self._header_size()
            if len(self._head) == wanted:
                break
            size = min(wanted - len(self._head), len(data) - at)
            if not size:
                return at
            self._head += data[at : at + size]
            at += size
        self._take_header()
        return at

    def _header_size(self) -> int:
        if len(self._head) < 2:
            return 2
        length = self._head[1] & 0x7F
        return 2 + {126: 2, 127: 8}.get(length, 0) + (4 if self._head[1] & 0x80 else 0)

    def _take_header(self) -> None:
        head, self._head = self._head, bytearray()
        if bool(head[1] & 0x80) is not self._masked:
            raise FrameError("frame is masked the wrong way")
        if self._masked:
            self._mask = bytes(head[-4:])
            del head[-4:]
        length = head[1] & 0x7F
        self._left = int.from_bytes(head[2:], "big") if length > 125 else length
        self._set_opcode(head[0] & 0x0F, final=bool(head[0] & 0x80), reserved=head[0] & 0x70)

    def _set_opcode(self, opcode: int, *, final: bool, reserved: int) -> None:
        if opcode == CONTINUATION:
            opcode = self._message
        if reserved or opcode not in (TEXT, BINARY, CLOSE, PING, PONG):
            raise FrameError("frame has an unknown type")
        if opcode >= CLOSE:
            if self._left > _MAX_CONTROL or not final or self._short:
                raise FrameError("control frame is too long or in the middle of a text")
        else:
            self._message = -1 if final else opcode
        if opcode == TEXT and len(self._short) + self._left > _MAX_TEXT:
            raise FrameError("text frame is too long for a byte stream")
        self._opcode, self._final = opcode, final
