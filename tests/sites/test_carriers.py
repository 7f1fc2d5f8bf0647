"""The direct carrier against a real HTTP server, over TCP and a socket, good and bad."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from farlab_sites.carriers import (
    ANSWER_LIMIT,
    CarrierError,
    CarrierRejected,
    CarrierUnreachable,
    DirectCarrier,
    carrier_for,
)
from farlab_sites.carriers.kubernetes import KubernetesCarrier
from farlab_sites.catalogue import Catalogue

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
UID = "6a1f7c1e-6d0b-4a3e-8f43-0f6f6a3d9f10"
POD: Json = {
    "metadata": {"name": "server", "namespace": "hub", "uid": UID},
    "spec": {"containers": [{"name": "notebook", "env": [{"name": "A", "value": "b"}]}]},
}


class FakePlugin:
    """Answers each call with what a test puts into `answer`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Handler = self._nothing
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the call and answer it."""
        text = await request.text()
        self.asked.append((request.method, request.path, json.loads(text)))
        self.headers.append(dict(request.headers))
        return await self.answer(request)

    async def _nothing(self, _: web.Request) -> web.StreamResponse:
        return web.json_response([])

    def answers(self, body: Any, status: int = 200, kind: str = "application/json") -> None:
        """Give this answer from now on."""
        text = body if isinstance(body, str) else json.dumps(body)

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(text=text, status=status, content_type=kind)

        self.answer = answer


@pytest.fixture(params=["tcp", "unix"])
async def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FakePlugin]:
    """A fake plugin on loopback or on a socket."""
    fake = FakePlugin()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    if request.param == "unix":
        await web.UnixSite(runner, str(tmp_path / "plugin.sock")).start()
        fake.url = f"unix://{tmp_path}/plugin.sock"
    else:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def carrier(plugin: FakePlugin) -> AsyncIterator[DirectCarrier]:
    """A carrier to the fake plugin."""
    async with DirectCarrier(plugin.url, time_limit=60) as carrier:
        yield carrier


async def test_create_returns_the_job_id(plugin: FakePlugin, carrier: DirectCarrier) -> None:
    plugin.answers({"PodUID": UID, "PodJID": "42"})
    assert await carrier.create(POD) == "42"
    ((method, path, body),) = plugin.asked
    assert (method, path) == ("POST", "/create")
    assert body["pod"] == POD
    assert [container["name"] for container in body["container"]] == ["notebook"]
    assert plugin.headers[0]["InterLink-Http-Session"].startswith("CreatePod#")


async def test_status_is_one_request_for_all_pods(
    plugin: FakePlugin, carrier: DirectCarrier
) -> None:
    other = {**POD, "metadata": {**POD["metadata"], "uid": "other"}}
    state = {"name": "notebook", "state": {"running": {"startedAt": "2026-11-26T10:00:00Z"}}}
    known = {"name": "server", "UID": UID, "namespace": "hub", "JID": "42", "node": "n1"}
    stranger = {**known, "UID": "never asked for"}
    plugin.answers([{**known, "containers": [state]}, stranger])
    found = await carrier.status([POD, other])
    assert list(found) == [UID]
    assert (found[UID].phase, found[UID].job_id, found[UID].node) == ("Running", "42", "n1")
    ((method, path, body),) = plugin.asked
    assert (method, path, len(body)) == ("GET", "/status", 2)


async def test_a_plugin_that_knows_no_pod_says_null(
    plugin: FakePlugin, carrier: DirectCarrier
) -> None:
    plugin.answers("null")
    assert await carrier.status([POD]) == {}


async def test_delete_and_logs_name_the_pod(plugin: FakePlugin, carrier: DirectCarrier) -> None:
    plugin.answers("done", kind="text/plain")
    await carrier.delete(POD)
    assert await carrier.logs(POD, container="notebook", tail=5) == "done"
    (_, deleted, pod), (method, logs, asked) = plugin.asked
    assert (deleted, pod["metadata"]["uid"]) == ("/delete", UID)
    assert (method, logs, asked["PodUID"], asked["Opts"]["Tail"]) == ("GET", "/getLogs", UID, 5)


async def test_a_log_is_followed_as_it_comes(plugin: FakePlugin, carrier: DirectCarrier) -> None:
    seen = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\n")
        await asyncio.wait_for(seen.wait(), 60)  # the second comes after the first was read
        await response.write(b"two\n")
        return response

    plugin.answer = answer
    parts = []
    async for part in carrier.follow(POD, container="notebook", tail=5):
        parts.append(part)
        seen.set()
    assert b"".join(parts) == b"one\ntwo\n"
    ((method, path, body),) = plugin.asked
    assert (method, path) == ("GET", "/getLogs")
    assert (body["Opts"]["Follow"], body["Opts"]["Tail"]) == (True, 5)


async def test_a_log_that_cannot_be_followed_says_why(
    plugin: FakePlugin, carrier: DirectCarrier
) -> None:
    plugin.answers("no such pod", status=404)
    with pytest.raises(CarrierRejected, match="no such pod"):
        await anext(carrier.follow(POD, container="notebook"))

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\n")
        if request.transport is not None:
            request.transport.abort()
        return response

    plugin.answer = cut
    with pytest.raises(CarrierUnreachable, match="can't be reached"):
        async for _ in carrier.follow(POD, container="notebook"):
            pass


async def test_a_log_that_is_no_utf8_is_shown_as_well_as_can_be(
    plugin: FakePlugin, carrier: DirectCarrier
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"caf\xe9 <b>\n")

    plugin.answer = answer
    assert await carrier.logs(POD, container="notebook") == "caf\ufffd <b>\n"


@pytest.mark.parametrize(
    ("answer", "facts"),
    [
        ({"status": "ok", "partitions": []}, {"status": "ok", "partitions": []}),
        ([], {}),
        ("OK", {}),
        ("", {}),
    ],
)
async def test_any_answer_to_a_ping_is_a_sign_of_life(
    plugin: FakePlugin, carrier: DirectCarrier, answer: Any, facts: Json
) -> None:
    plugin.answers(answer)
    assert await carrier.ping() == facts
    assert plugin.asked == [("GET", "/status", [])]


async def test_the_token_is_read_again_when_its_file_changes(
    plugin: FakePlugin, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    async with DirectCarrier(plugin.url, file) as carrier:
        with pytest.raises(CarrierUnreachable, match=r"token file .* can't be read"):
            await carrier.ping()
        for token in ("first", "second"):
            file.write_text(f"{token}\n")
            await carrier.ping()
            assert plugin.headers[-1]["Authorization"] == f"Bearer {token}"
        for rubbish in (b"", b"two words", b"a\r\nX-Other: b", b"\xff"):
            file.write_bytes(rubbish)
            with pytest.raises(CarrierUnreachable, match="token file"):
                await carrier.ping()


async def _calls(carrier: DirectCarrier) -> list[CarrierError]:
    """Return the errors of every call."""
    calls = (
        carrier.create(POD),
        carrier.status([POD]),
        carrier.delete(POD),
        carrier.logs(POD, container="notebook"),
        carrier.ping(),
    )
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, CarrierError) for result in results), results
    return [result for result in results if isinstance(result, CarrierError)]


async def test_a_refusal_is_final_and_in_the_plugins_own_words(
    plugin: FakePlugin, carrier: DirectCarrier
) -> None:
    plugin.answers("sbatch: error: invalid partition &#34;gpu&#34; &lt;x&gt;\n", 500, "text/plain")
    with pytest.raises(CarrierRejected) as caught:
        await carrier.create(POD)
    assert str(caught.value) == 'sbatch: error: invalid partition "gpu" <x>'
    plugin.answers("x" * 10_000, 400)
    with pytest.raises(CarrierRejected) as caught:
        await carrier.create(POD)
    assert len(str(caught.value)) <= 2000
    plugin.answers("", 403)
    with pytest.raises(CarrierRejected, match="no reason given"):
        await carrier.delete(POD)


async def test_a_wrong_token_is_said_to_be_one(plugin: FakePlugin, carrier: DirectCarrier) -> None:
    plugin.answers("Unauthorized", 401)
    for error in await _calls(carrier):
        assert isinstance(error, CarrierRejected)
        assert "token_file" in str(error)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_plugin_in_trouble_may_be_asked_again(
    plugin: FakePlugin, carrier: DirectCarrier, status: int
) -> None:
    plugin.answers("later", status)
    for error in await _calls(carrier):
        assert isinstance(error, CarrierUnreachable)
        assert f"answered {status}: later" in str(error)


async def test_a_question_that_failed_may_be_asked_again(
    plugin: FakePlugin, carrier: DirectCarrier
) -> None:
    plugin.answers("squeue: error", 500)
    with pytest.raises(CarrierUnreachable, match="squeue: error"):
        await carrier.status([POD])


async def test_a_redirect_is_not_followed(plugin: FakePlugin, carrier: DirectCarrier) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://127.0.0.1:9/elsewhere")

    plugin.answer = answer
    assert len(await _calls(carrier)) == 5
    assert {path for _, path, _ in plugin.asked} == {"/create", "/status", "/delete", "/getLogs"}


RUBBISH = [
    "",
    "<html>login</html>",
    "[",
    '"text"',
    "7",
    '{"PodUID": 1, "PodJID": []}',
    "[1]",
    '[{"name": "x"}]',
    f'[{{"UID": "{UID}", "containers": "no"}}]',
    f'[{{"UID": "{UID}", "containers": [{{"name": "c", "state": {{"terminated": {{}}}}}}]}}]',
    f'[{{"UID": "{UID}", "containers": [{{"name": "c", "state": {{"running": {{"startedAt":'
    ' "yesterday"}}}]}]',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", RUBBISH, ids=lambda text: text[:30])
async def test_rubbish_is_said_to_be_rubbish(
    plugin: FakePlugin, carrier: DirectCarrier, text: str
) -> None:
    plugin.answers(text)
    for call in (carrier.create(POD), carrier.status([POD])):
        with pytest.raises(CarrierUnreachable, match="not interLink's protocol") as caught:
            await call
        assert len(str(caught.value)) < 500


async def test_an_answer_about_another_pod_is_refused(
    plugin: FakePlugin, carrier: DirectCarrier
) -> None:
    plugin.answers({"PodUID": "other", "PodJID": "1"})
    with pytest.raises(CarrierRejected, match="another pod"):
        await carrier.create(POD)


async def test_an_endless_answer_is_cut(plugin: FakePlugin, carrier: DirectCarrier) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(ANSWER_LIMIT // 2**20 + 2):
            await response.write(b"x" * 2**20)
        return response

    plugin.answer = answer
    with pytest.raises(CarrierUnreachable, match="more than 16 MiB"):
        await carrier.logs(POD, container="notebook")


async def test_a_connection_that_is_reset_may_be_tried_again(
    plugin: FakePlugin, carrier: DirectCarrier
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    plugin.answer = answer
    for error in await _calls(carrier):
        assert isinstance(error, CarrierUnreachable)
        assert "can't be reached" in str(error)


async def test_a_slow_plugin_is_not_waited_for(plugin: FakePlugin) -> None:
    never = asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    plugin.answer = answer
    async with DirectCarrier(plugin.url, time_limit=0.2) as carrier:
        for error in await _calls(carrier):
            assert isinstance(error, CarrierUnreachable)
            assert "did not answer in 0." in str(error)
    never.set()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1", "Connect call failed ('127.0.0.1', 1)"),
        ("unix:///absent/plugin.sock", "No such file or directory"),
    ],
)
async def test_a_plugin_that_is_down_is_named(url: str, why: str) -> None:
    async with DirectCarrier(url, time_limit=60) as carrier:
        for error in await _calls(carrier):
            assert isinstance(error, CarrierUnreachable)
            assert str(error) == f"{url} can't be reached: {why}"


async def test_a_site_has_its_carrier(example: Catalogue, load: Any, small: str) -> None:
    async with DirectCarrier("http://127.0.0.1:1"):
        pass  # closing what was never used is no error
    assert isinstance(carrier_for(example.site("vega")), DirectCarrier)
    direct = '{direct: {url: "http://127.0.0.1:4000"}}'
    catalogue = load(small.replace(direct, "{kubernetes: {node: vk}}"))
    carrier = carrier_for(catalogue.site("here"), "farlab")
    assert isinstance(carrier, KubernetesCarrier)
    await carrier.close()
