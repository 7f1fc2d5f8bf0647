"""Agents that can reach only a gateway."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from farlab_real.relay_parts import (
    PATIENCE,
    FakeNetwork,
    Hub,
    agent,
    digest,
    echo,
    exchange,
    tcp_server,
)
from farlab_relay.gateway import Gateway


@asynccontextmanager
async def gateway(relay_url: str, *workloads: str) -> AsyncIterator[str]:
    """Run a gateway; gives the address for agents."""
    service = Gateway(relay_url, allowed=set(workloads).__contains__)
    try:
        yield f"ws://127.0.0.1:{await service.listen('127.0.0.1', 0)}"
    finally:
        await service.close()


async def test_streams_go_through_the_gateway():
    hub = Hub()
    async with (
        hub.relay() as relay,
        gateway(f"{hub.url}/some/prefix", "w1") as url,
        agent(url, *echo()),
    ):
        port = await relay.open_port("w1", 8888)
        await hub.wait_for("ready")
        data = random.Random(2).randbytes(8 << 20)
        assert digest(await exchange(port, data)) == digest(data)
        answers = await asyncio.gather(*(exchange(port, data[:n]) for n in range(1, 50)))
        assert answers == [data[:n] for n in range(1, 50)]


async def test_a_workload_of_another_site_is_refused_for_good():
    hub = Hub()
    async with hub.relay(), gateway(hub.url, "another") as url, agent(url, *echo()) as running:
        code, _, error = await running.wait()
        assert code == 77
        assert "w1 does not run at this site" in error
    assert hub.events == []


async def test_the_relays_refusal_reaches_the_agent():
    hub = Hub()
    async with (
        hub.relay(),
        gateway(hub.url, "w1") as url,
        agent(url, *echo(), secret="wrong") as running,
    ):
        code, _, error = await running.wait()
        assert code == 77
        assert "HTTP 403 The secret is wrong" in error


async def test_a_relay_that_comes_later_is_found():
    hub = Hub()
    async with hub.relay():
        pass  # only to have a port that nobody listens on
    async with gateway(hub.url, "w1") as url, agent(url, *echo()) as running:
        line = await asyncio.wait_for(running.process.stderr.readline(), PATIENCE)
        assert b"HTTP 502 The gateway can't reach the relay at" in line
        async with hub.relay():
            await hub.wait_for("ready")


async def ask(url: str, text: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(text.encode())
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()


UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\n"


async def test_only_agents_paths_pass():
    reached = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")

    async with tcp_server(serve) as port, gateway(f"ws://127.0.0.1:{port}/base/", "w1") as url:
        for first, status in {
            f"GET /hub/api HTTP/1.1\r\n{UPGRADE}": b"404",
            f"GET /agent/w1/../../hub HTTP/1.1\r\n{UPGRADE}": b"404",
            f"POST /agent/w1 HTTP/1.1\r\n{UPGRADE}": b"404",
            "GET /agent/w1 HTTP/1.1\r\n": b"426",
            f"GET /agent/w2 HTTP/1.1\r\n{UPGRADE}": b"403",
            f"GET /agent/w1 HTTP/1.1\r\n{UPGRADE}Host: a\r\nHost: b\r\n": b"400",
            f"GET /agent/w1 HTTP/1.1\r\n{UPGRADE}X: a\nHost: b\r\n": b"400",
            "\x16\x03\x01\r\n": b"400",
            "x" * 20_000: b"400",
        }.items():
            answer = await ask(url, f"{first}\r\n")
            assert answer.startswith(b"HTTP/1.1 " + status), first
        assert reached == []

        # A second request behind the first one never leaves the gateway.
        more = "Host: gateway\r\nCookie: hub=1\r\nAuthorization: Bearer s\r\n\r\n"
        second = "GET /hub/api HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await ask(url, f"GET /x/agent/w1 HTTP/1.1\r\n{UPGRADE}{more}{second}")
        assert answer.startswith(b"HTTP/1.1 404")
        assert answer.endswith(b"no\n")
        (request,) = reached
        assert request.startswith(b"GET /base/agent/w1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)
        assert b"Cookie" not in request
        assert b"authorization: Bearer s" in request


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for localhost that this process and its children trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    files = tmp_path / "key.pem", tmp_path / "certificate.pem"
    files[0].write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    files[1].write_bytes(signed.public_bytes(pem))
    monkeypatch.setenv("SSL_CERT_FILE", str(files[1]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    return context


@pytest.mark.parametrize("way", ["direct", "gateway"])
async def test_a_relay_behind_a_tls_proxy(certificate: ssl.SSLContext, way: str):
    hub = Hub()
    async with hub.relay() as relay:
        proxy = FakeNetwork(hub.port)
        async with proxy.url(certificate) as address:
            url = f"wss://localhost:{address.rpartition(':')[2]}/services/farlab"
            async with AsyncExitStack() as stack:
                if way == "gateway":
                    url = await stack.enter_async_context(gateway(url, "w1"))
                await stack.enter_async_context(agent(url, *echo()))
                port = await relay.open_port("w1", 8888)
                await hub.wait_for("ready")
                data = random.Random(5).randbytes(4 << 20)
                answers = await asyncio.gather(*(exchange(port, data) for _ in range(5)))
                assert {digest(answer) for answer in answers} == {digest(data)}


def test_addresses_that_are_none():
    for url in ("http://hub", "hub:80", "ws://", "wss:///x"):
        with pytest.raises(ValueError, match="address must be"):
            Gateway(url, allowed=bool)
