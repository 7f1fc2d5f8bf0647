"""What the kubelet sends to an interLink API server, name by name, and to a plugin."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from farlab_sites.carriers import CarrierRejected, CarrierUnreachable
from farlab_sites.kubelet.backend import Backend, InterLinkBackend, PluginBackend
from farlab_sites.kubelet.config import Endpoint
from farlab_sites.kubelet.serving import self_signed
from farlab_sites.kubelet.sources import Luggage
from farlab_sites.kubelet.wire import TlsError, Wire

UID = "11111111-1111-1111-1111-111111111111"
POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "ns", "uid": UID},
    "spec": {
        "initContainers": [{"name": "first"}],
        "containers": [
            {
                "name": "main",
                "volumeMounts": [
                    {"name": "settings", "mountPath": "/s"},
                    {"name": "kube-api-access-x", "mountPath": "/t"},
                ],
                "env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}],
            }
        ],
        "volumes": [
            {"name": "settings", "configMap": {"name": "conf"}},
            {
                "name": "kube-api-access-x",
                "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]},
            },
        ],
    },
}
# The kubelet adds that it can show a container's restarts.
SENT = POD | {"metadata": POD["metadata"] | {"annotations": {"farlab/restarts": "true"}}}
SECRET = {"kind": "Secret", "metadata": {"name": "keys"}, "data": {"k": "dg=="}}
CONFIG = {"kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"a": "b"}}
ROOT = {"kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "c"}}
TOKEN = {"kind": "ConfigMap", "metadata": {"name": "kube-api-access-x"}, "data": {"token": "t"}}
LUGGAGE = Luggage(POD, [SECRET], [CONFIG, ROOT], [TOKEN])


class FakeInterLinkApi:
    """interLink's API server as far as its routes, methods and names go; it notes every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: dict[str, tuple[int, str]] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer any call."""
        text = await request.text()
        body = json.loads(text) if text else None
        self.calls.append((request.method, request.path, body))
        self.headers.append(dict(request.headers))
        default = (404, "no such route")
        if (request.method, request.path) in ROUTES:
            default = (200, ROUTES[request.method, request.path])
        status, answer = self.answers.get(request.path, default)
        return web.Response(status=status, text=answer)


ROUTES = {
    ("POST", "/pinglink"): '{"status": "ok", "resources": {"cpu": "8"}}',
    ("POST", "/create"): json.dumps({"PodUID": UID, "PodJID": "4711"}),
    ("DELETE", "/delete"): "done",
    ("GET", "/status"): json.dumps([{"name": "p", "UID": UID, "JID": "4711", "containers": []}]),
    ("GET", "/getLogs"): "hello\n",
}


@asynccontextmanager
async def serving(
    fake: FakeInterLinkApi, context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve the fake; give its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        scheme = "https" if context else "http"
        yield f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def fake() -> FakeInterLinkApi:
    return FakeInterLinkApi()


@pytest.fixture
async def url(fake: FakeInterLinkApi) -> AsyncIterator[str]:
    async with serving(fake) as where:
        yield where


@asynccontextmanager
async def connected(kind: type[PluginBackend], url: str, **more: Any) -> AsyncIterator[Backend]:
    backend = kind(Wire(Endpoint.model_validate({"url": url, **more}), time_limit=20))
    try:
        yield backend
    finally:
        await backend.close()


@pytest.fixture
async def api(url: str) -> AsyncIterator[Backend]:
    async with connected(InterLinkBackend, url) as backend:
        yield backend


@pytest.fixture
async def plugin(url: str) -> AsyncIterator[Backend]:
    async with connected(PluginBackend, url) as backend:
        yield backend


async def test_create_at_the_api(api: Backend, fake: FakeInterLinkApi) -> None:
    assert await api.create(LUGGAGE) == "4711"
    [(method, path, body)] = fake.calls
    assert (method, path) == ("POST", "/create")
    assert body == {
        "pod": SENT,
        "configmaps": [CONFIG, ROOT],
        "secrets": [SECRET],
        "projectedvolumesmaps": [TOKEN],
        "jobscriptURL": "",
    }
    assert fake.headers[0]["Content-Type"] == "application/json"
    assert re.fullmatch(r"CreatePod#\d+", fake.headers[0]["InterLink-Http-Session"])


async def test_create_at_a_plugin(plugin: Backend, fake: FakeInterLinkApi) -> None:
    assert await plugin.create(LUGGAGE) == "4711"
    [(method, path, body)] = fake.calls
    assert (method, path) == ("POST", "/create")
    assert body["pod"] == SENT
    nothing = {"configMaps": None, "projectedvolumemaps": None, "secrets": None, "emptyDirs": None}
    assert body["container"] == [
        {"name": "first", **nothing},
        {
            "name": "main",
            "configMaps": [CONFIG],
            "projectedvolumemaps": [TOKEN],
            "secrets": [SECRET],
            "emptyDirs": None,
        },
    ]
    assert set(body["jobConfig"]) == {"SingularityHubProxy", "ApptainerOptions", "Volumes"}


async def test_the_other_calls_at_the_api(api: Backend, fake: FakeInterLinkApi) -> None:
    assert await api.ping() == {"status": "ok", "resources": {"cpu": "8"}}
    assert await api.delete(POD)
    assert (await api.status([POD]))[UID]["JID"] == "4711"
    async with api.logs({"PodUID": UID}) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"hello\n"
    assert fake.calls == [
        ("POST", "/pinglink", None),
        ("DELETE", "/delete", POD),
        ("GET", "/status", [POD]),
        ("GET", "/getLogs", {"PodUID": UID}),
    ]


async def test_the_other_calls_at_a_plugin(plugin: Backend, fake: FakeInterLinkApi) -> None:
    await plugin.ping()
    fake.answers["/delete"] = (200, "")
    assert await plugin.delete(POD)
    assert [call[:2] for call in fake.calls] == [("GET", "/status"), ("POST", "/delete")]
    assert fake.calls[0][2] == []


async def test_a_job_that_still_ends(plugin: Backend, fake: FakeInterLinkApi) -> None:
    fake.answers["/delete"] = (200, "being deleted")
    assert not await plugin.delete(POD)


@pytest.mark.parametrize("text", ["pong", "[]", "null", "{"])
async def test_any_answer_to_a_ping_is_a_sign_of_life(
    api: Backend, fake: FakeInterLinkApi, text: str
) -> None:
    fake.answers["/pinglink"] = (200, text)
    assert await api.ping() == {}


@pytest.mark.parametrize("text", ["", "<html>", "{}", '"x"', "[1]"])
async def test_rubbish_is_no_state(api: Backend, fake: FakeInterLinkApi, text: str) -> None:
    fake.answers["/status"] = (200, text)
    with pytest.raises(CarrierUnreachable):
        await api.status([POD])


async def test_null_is_no_pod(api: Backend, fake: FakeInterLinkApi) -> None:
    fake.answers["/status"] = (200, "null")
    assert await api.status([POD]) == {}


@pytest.mark.parametrize("text", ["", "{}", '{"PodUID": "x", "PodJID": ""}', "[]"])
async def test_rubbish_is_no_job(api: Backend, fake: FakeInterLinkApi, text: str) -> None:
    fake.answers["/create"] = (200, text)
    with pytest.raises(CarrierUnreachable):
        await api.create(LUGGAGE)


async def test_the_words_of_a_refusal(api: Backend, fake: FakeInterLinkApi) -> None:
    fake.answers["/create"] = (500, "sbatch: error: invalid partition &#34;gpux&#34;")
    with pytest.raises(CarrierRejected, match='sbatch: error: invalid partition "gpux"'):
        await api.create(LUGGAGE)


@pytest.mark.parametrize("status", [401, 429, 502, 503, 504])
async def test_what_may_pass_is_no_refusal(
    api: Backend, fake: FakeInterLinkApi, status: int
) -> None:
    fake.answers["/create"] = (status, "not now")
    with pytest.raises(CarrierUnreachable):
        await api.create(LUGGAGE)


async def test_a_new_token_counts_at_once(fake: FakeInterLinkApi, url: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    async with connected(InterLinkBackend, url, token_file=file) as backend:
        for token in ("first", "second"):
            file.write_text(f"{token}\n")
            await backend.ping()
        file.unlink()
        with pytest.raises(CarrierUnreachable, match="can't be read"):
            await backend.ping()
    sent = [headers["Authorization"] for headers in fake.headers]
    assert sent == ["Bearer first", "Bearer second"]


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate and its key."""
    certificate, key = self_signed("127.0.0.1", name)
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    for path, content in zip(paths, (certificate, key), strict=True):
        path.write_bytes(content)
    return paths


async def test_both_ends_show_a_certificate(fake: FakeInterLinkApi, tmp_path: Path) -> None:
    certificate, key = pair(tmp_path, "server")
    mine, my_key = pair(tmp_path, "client")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=mine)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    tls = {"ca_file": certificate, "cert_file": mine, "key_file": my_key}
    async with serving(fake, context) as url:
        async with connected(InterLinkBackend, url, tls=tls) as backend:
            assert (await backend.ping())["status"] == "ok"
        async with connected(InterLinkBackend, url, tls={"ca_file": certificate}) as backend:
            with pytest.raises(CarrierUnreachable):
                await backend.ping()
        async with connected(InterLinkBackend, url) as backend:
            with pytest.raises(CarrierUnreachable, match="can't be reached"):
                await backend.ping()


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    endpoint = Endpoint.model_validate({"url": "https://127.0.0.1", "tls": {"ca_file": wrong}})
    with pytest.raises(TlsError, match=r"wrong\.pem"):
        Wire(endpoint)


async def test_a_server_that_never_answers() -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    wire = Wire(Endpoint.model_validate({"url": url}), time_limit=0.2)
    with pytest.raises(CarrierUnreachable, match="did not answer in"):
        await InterLinkBackend(wire).status([POD])
    await wire.close()
    for writer in writers:
        writer.close()
    server.close()
