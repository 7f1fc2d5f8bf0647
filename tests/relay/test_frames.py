"""Frames against those of `websockets`, and links against its clients and servers."""

from __future__ import annotations

import asyncio
import random

import pytest
from farlab_real.relay_parts import PATIENCE, digest
from farlab_relay.frames import BINARY, CLOSE, PING, TEXT, Bytes, FrameDecoder, FrameError, frame
from farlab_relay.handshake import dial, proxy_for
from farlab_relay.inprocess import Stream
from farlab_relay.protocol import AgentPath
from farlab_relay.streams import join
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

SIZES = [0, 1, 2, 3, 4, 5, 125, 126, 127, 65535, 65536, 70000]


def decode(data: bytes, *, masked: bool, step: int) -> list[tuple[int, bytes]]:
    """Decode in steps, putting the pieces of consecutive binary frames together."""
    decoder, found = FrameDecoder(masked=masked), []
    for start in range(0, len(data), step):
        for opcode, piece in decoder.feed(memoryview(data)[start : start + step]):
            add(found, opcode, piece)
    return found


def add(found: list[tuple[int, bytes]], opcode: int, piece: Bytes) -> None:
    if opcode == BINARY and found and found[-1][0] == BINARY:
        found[-1] = (BINARY, found[-1][1] + bytes(piece))
    else:
        found.append((opcode, bytes(piece)))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 20])
def test_what_websockets_writes_is_read(masked: bool, step: int):
    payloads = [random.Random(size).randbytes(size) for size in SIZES if size < 1000 or step > 1]
    data = b""
    for payload in payloads:
        data += Frame(Opcode.BINARY, payload).serialize(mask=masked)
    data += Frame(Opcode.TEXT, b"eof").serialize(mask=masked)
    data += Frame(Opcode.PING, b"").serialize(mask=masked)
    data += Frame(Opcode.CLOSE, b"\x03\xe8bye").serialize(mask=masked)
    assert decode(data, masked=masked, step=step) == [
        (BINARY, b"".join(payloads)),
        (TEXT, b"eof"),
        (PING, b""),
        (CLOSE, b"\x03\xe8bye"),
    ]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_websockets_would_write(size: int, masked: bool):
    payload = random.Random(size).randbytes(size)
    written = frame(BINARY, payload, masked=masked)
    expected = Frame(Opcode.BINARY, payload).serialize(mask=masked)
    assert len(written) == len(expected)
    assert written[: 2 if masked else None] == expected[: 2 if masked else None]
    found = decode(written, masked=masked, step=len(written))
    assert b"".join(piece for _, piece in found) == payload


def test_masks_are_never_the_same():
    assert len({frame(BINARY, b"0000", masked=True) for _ in range(20)}) > 15


@pytest.mark.parametrize("step", [1, 100])
def test_messages_in_fragments(step: int):
    frames = [
        Frame(Opcode.BINARY, b"ab", fin=False),
        Frame(Opcode.PING, b"!"),
        Frame(Opcode.CONT, b"cd", fin=False),
        Frame(Opcode.CONT, b"ef"),
        Frame(Opcode.TEXT, b"e", fin=False),
        Frame(Opcode.CONT, b"of"),
    ]
    data = b"".join(one.serialize(mask=False) for one in frames)
    assert decode(data, masked=False, step=step) == [
        (BINARY, b"ab"),
        (PING, b"!"),
        (BINARY, b"cdef"),
        (TEXT, b"eof"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\x83\x00",  # unknown opcode
        b"\xc2\x00",  # a reserved bit
        b"\x82\x80....",  # masked, though a server never does
        b"\x80\x00",  # carries on nothing
        b"\x89\x7e\x00\x7e",  # a long ping
        b"\x09\x00",  # half a ping
        b"\x81\x7e\xff\xff",  # a long text
        b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_no_peer_sends(data: bytes):
    with pytest.raises(FrameError):
        decode(data, masked=False, step=1)


async def test_a_link_talks_to_a_server_of_websockets():
    said: list[str | bytes] = []

    async def echo(connection: ServerConnection) -> None:
        await connection.send(b"early")
        pong = await connection.ping(b"are you there?")
        await pong
        async for message in connection:
            said.append(message)
            await connection.send(message)  # also the "eof"

    async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/base/"
        link = await dial(url, AgentPath("w1", call="hub"), {}, heartbeat=10)
        stream = Stream()
        join(stream, link)
        data = random.Random(1).randbytes(1_000_000)

        async def receive() -> bytes:
            answer = b""
            while chunk := await stream.read():
                answer += chunk
            return answer

        receiving = asyncio.create_task(receive())
        await stream.write(data)
        stream.write_eof()
        answer = await asyncio.wait_for(receiving, PATIENCE)
        assert digest(answer) == digest(b"early" + data)
        assert said[-1] == "eof"
        await asyncio.wait_for(link.closed, PATIENCE)


async def test_a_peer_that_sends_rubbish_is_cut_off():
    async def spoil(connection: ServerConnection) -> None:
        connection.transport.write(b"\xff" * 20)
        await connection.wait_closed()

    async with serve(spoil, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        link = await dial(url, AgentPath("w1"), {}, heartbeat=10)
        stream = Stream()
        join(stream, link)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(stream.read(), PATIENCE)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/agent/w1", AgentPath("w1")),
        ("/services/farlab/agent/a.b-c_~1", AgentPath("a.b-c_~1")),
        ("/agent/agent/w1?x=/agent/w2", AgentPath("w1")),
        (f"/x/agent/w1/stream/{'0f' * 16}", AgentPath("w1", stream="0f" * 16)),
        ("/agent/w1/call/hub", AgentPath("w1", call="hub")),
        ("/agent/w1/call/", None),
        ("/agent/w1/stream/0", None),
        ("/agent/w1/more", None),
        ("/agent/w%31", None),
        ("/agent/", None),
        ("/agents/w1", None),
        ("agent/w1", None),
        ("//[", None),
        ("", None),
    ],
)
def test_paths(target: str, path: AgentPath | None):
    assert AgentPath.parse(target) == path
    if path:
        assert AgentPath.parse(str(path)) == path


def test_a_sites_http_proxy_is_not_used_for_this_machine():
    assert proxy_for("ws://127.0.0.1:1/x") is None
    assert proxy_for("ws://localhost/x") is None
    assert proxy_for("ws://[::1]:1") is None
    assert proxy_for("wss://hub.example.org/services/farlab") is True
