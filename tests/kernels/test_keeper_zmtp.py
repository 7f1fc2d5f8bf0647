"""ZeroMQ's protocol spoken by asyncio alone, against libzmq itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
from farlab_kernels.keeper.zmtp import SUBSCRIBE, Peer, connect
from farlab_real.kernel_parts import PATIENCE

FRAMES = [b"", b"x", b"y" * 255, b"z" * 256, b"w" * 3_000_000]


@pytest.fixture
def context():
    with zmq.asyncio.Context() as here:
        here.linger = 0
        yield here


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "s")


class Inbox(asyncio.Queue):
    def __call__(self, peer: Peer, frames: list[bytes]) -> None:
        self.put_nowait((peer, frames))

    async def next(self) -> tuple[Peer, list[bytes]]:
        return await asyncio.wait_for(self.get(), PATIENCE)


async def test_a_dealer_talks_to_libzmqs_router(context, path):
    router = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{path}")
    inbox = Inbox()
    peer = Peer(b"DEALER", b"my-name", receive=inbox)
    await connect(path, peer, 0.01)
    for number in range(3):
        peer.send([b"%d" % number, *FRAMES])
        assert await router.recv_multipart() == [b"my-name", b"%d" % number, *FRAMES]
        await router.send_multipart([b"my-name", *FRAMES])
        assert (await inbox.next())[1] == FRAMES
    peer.close()


async def test_a_subscriber_hears_libzmqs_publisher(context, path):
    publisher = context.socket(zmq.XPUB)
    publisher.bind(f"ipc://{path}")
    inbox = Inbox()
    peer = Peer(b"SUB", receive=inbox)
    await connect(path, peer, 0.01)
    peer.send([SUBSCRIBE])
    assert await publisher.recv() == SUBSCRIBE
    for number in range(1000):
        await publisher.send_multipart([b"topic", b"%d" % number])
    heard = [(await inbox.next())[1][1] for _ in range(1000)]
    assert heard == [b"%d" % number for number in range(1000)]
    peer.close()


async def test_libzmqs_dealer_with_heartbeats_talks_to_a_router(context, path):
    inbox = Inbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Peer(b"ROUTER", receive=inbox), path)
    dealer = context.socket(zmq.DEALER)
    dealer.identity = b"its-name"
    dealer.setsockopt(zmq.HEARTBEAT_IVL, 20)
    dealer.connect(f"ipc://{path}")
    for _ in range(3):
        await dealer.send_multipart(FRAMES)
        peer, frames = await inbox.next()
        assert (peer.identity, frames) == (b"its-name", FRAMES)
        peer.send(FRAMES)
        assert await dealer.recv_multipart() == FRAMES
    peer.close()
    server.close()


async def test_pieces_of_any_size_make_the_same_messages(path):
    inbox, sent = Inbox(), []

    class Wire(asyncio.Transport):
        def write(self, data):
            sent.append(bytes(data))

    talker = Peer(b"DEALER", b"me", receive=inbox)
    talker.connection_made(Wire())
    listener = Peer(b"ROUTER", receive=inbox)
    listener.connection_made(Wire())
    greeting = sent[0]
    talker.data_received(greeting)
    ready = sent[2]
    talker.send([b"early"])
    talker.data_received(ready)
    stream = greeting + ready + b"".join(sent[3:])
    for number in range(len(stream)):
        listener.data_received(stream[number : number + 1])
    assert (await inbox.next())[1] == [b"early"]


async def test_what_speaks_no_zeromq_is_hung_up_on(path):
    inbox = Inbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Peer(b"ROUTER", receive=inbox), path)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    with suppress(ConnectionResetError):
        while await asyncio.wait_for(reader.read(1000), PATIENCE):
            pass
    writer.close()
    server.close()
