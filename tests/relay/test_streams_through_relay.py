"""Bytes through the whole path: client, relay, agent, payload."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from farlab_real.relay_parts import (
    PATIENCE,
    Hub,
    agent,
    digest,
    echo,
    exchange,
    python,
    tcp_server,
    uplink,
)
from farlab_relay.links import Link
from farlab_relay.relay import StreamRefusedError


async def serve_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_echo_through_relay_and_agent():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *echo(), FARLAB_JOB_ID="42"):
        port = await relay.open_port("w1", 8888)
        ready = await hub.wait_for("ready")
        assert ready.detail["job_id"] == "42"
        assert ready.detail["node"]
        assert await exchange(port, b"hello") == b"hello"
        assert relay.is_connected("w1")
    assert hub.kinds()[:2] == ["connected", "ready"]


async def test_64_mb_come_back_unchanged():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *echo()):
        port = await relay.open_port("w1", 8888)
        await hub.wait_for("ready")
        data = random.Random(1).randbytes(64 << 20)
        assert digest(await exchange(port, data)) == digest(data)


async def test_50_connections_at_once_do_not_mix():
    hub = Hub()
    async with hub.relay() as relay, agent(hub.url, *echo()):
        port = await relay.open_port("w1", 8888)
        await hub.wait_for("ready")
        data = [random.Random(number).randbytes(400_000 + number) for number in range(50)]
        answers = await asyncio.gather(*(exchange(port, one) for one in data))
        assert [digest(one) for one in answers] == [digest(one) for one in data]


async def test_an_http_server_behind_the_relay(tmp_path: Path):
    content = random.Random(3).randbytes(5_000_000)
    (tmp_path / "file").write_bytes(content)
    hub = Hub()
    command = python(
        "import http.server as s, sys; s.test(s.SimpleHTTPRequestHandler, s.ThreadingHTTPServer,"
        "'HTTP/1.1', int(sys.argv[1]), '127.0.0.1')",
        "{port:8888}",
    )
    async with hub.relay() as relay, agent(hub.url, "env", "-C", str(tmp_path), *command):
        port = await relay.open_port("w1", 8888)
        await hub.wait_for("ready")
        request = "GET /{} HTTP/1.1\r\nHost: x\r\nConnection: {}\r\n\r\n"
        both = request.format("file", "keep-alive") + request.format("file", "close")
        answer = await exchange(port, both.encode())
        assert answer.count(content) == 2
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(content)


async def test_the_payload_may_finish_first():
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"that's all")
        writer.write_eof()
        received.set_result(await reader.read())
        writer.close()

    hub = Hub()
    async with hub.relay() as relay, tcp_server(serve) as payload, uplink(hub.url, {80: payload}):
        reader, writer = await asyncio.open_connection("127.0.0.1", await relay.open_port("w1", 80))
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b"that's all"
        data = b"still here" * 100_000
        writer.write(data)
        await writer.drain()
        writer.close()
        assert digest(await asyncio.wait_for(received, PATIENCE)) == digest(data)


async def test_a_payload_that_breaks_off_resets_the_client():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half of the ")
        await writer.drain()
        await reader.read(1)
        reset(writer)

    hub = Hub()
    async with hub.relay() as relay, tcp_server(serve) as payload, uplink(hub.url, {80: payload}):
        reader, writer = await asyncio.open_connection("127.0.0.1", await relay.open_port("w1", 80))
        assert await asyncio.wait_for(reader.readexactly(12), PATIENCE) == b"half of the "
        writer.write(b"?")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()


async def test_a_client_that_breaks_off_resets_the_payload():
    ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionResetError as error:
            ended.set_result(error)
        writer.close()

    hub = Hub()
    async with hub.relay() as relay, tcp_server(serve) as payload, uplink(hub.url, {80: payload}):
        _, writer = await asyncio.open_connection("127.0.0.1", await relay.open_port("w1", 80))
        writer.write(b"?")
        reset(writer)
        await asyncio.wait_for(ended, PATIENCE)


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("direction", ["down", "up"])
async def test_a_slow_reader_stops_the_sender(direction: str):
    """What is on its way is bounded by sockets' buffers and a little of ours."""
    loop = asyncio.get_running_loop()
    sender: asyncio.Future[asyncio.StreamWriter] = loop.create_future()
    done = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if direction == "down":
            sender.set_result(writer)
        else:
            writer.transport.pause_reading()
        await done.wait()
        writer.transport.abort()

    hub = Hub()
    async with hub.relay() as relay, tcp_server(serve) as payload, uplink(hub.url, {80: payload}):
        _, client = await asyncio.open_connection("127.0.0.1", await relay.open_port("w1", 80))
        if direction == "up":
            sender.set_result(client)
        else:
            client.transport.pause_reading()
        writer = await asyncio.wait_for(sender, PATIENCE)
        chunk, sent = bytes(1 << 20), 0
        with suppress(TimeoutError):
            while sent < 1000:
                writer.write(chunk)
                await asyncio.wait_for(writer.drain(), 1)
                sent += 1
        assert sent < 200, "MB went out although nobody reads them"
        done.set()
        client.transport.abort()


async def test_a_connection_from_inside_the_process():
    hub = Hub()
    async with (
        hub.relay() as relay,
        tcp_server(serve_echo) as payload,
        uplink(hub.url, {80: payload}),
    ):
        stream = await relay.connect("w1", 80)
        assert isinstance(stream.other, Link)
        sock = stream.other.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

        data = random.Random(4).randbytes(3_000_000)

        async def send() -> None:
            for start in range(0, len(data), 100_000):
                await stream.write(data[start : start + 100_000])
            stream.write_eof()

        async def receive() -> bytes:
            answer = b""
            while chunk := await stream.read():
                answer += chunk
            return answer

        _, answer = await asyncio.wait_for(asyncio.gather(send(), receive()), PATIENCE)
        assert digest(answer) == digest(data)
        assert await stream.read() == b""
        assert await asyncio.wait_for(stream.closed, PATIENCE)

        broken = await relay.connect("w1", 80)
        await relay.drop("w1")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(broken.read(), PATIENCE)
        with pytest.raises(ConnectionResetError):
            await broken.write(b"?")
        broken.close()


async def test_a_payload_that_does_not_listen_refuses():
    hub = Hub()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = unused.getsockname()[1]
    async with hub.relay() as relay, uplink(hub.url, {80: nobody}):
        with pytest.raises(StreamRefusedError, match="nothing answers at port 80"):
            await relay.connect("w1", 80)
        with pytest.raises(StreamRefusedError, match="port 22 is not offered"):
            await relay.connect("w1", 22)
        port = await relay.open_port("w1", 22)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
