"""JupyterLab at a site is the real thing: kernels, terminals, large files, many connections."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator

import pytest
from farlab_real.hub import RunningHub
from farlab_real.kernel import RemoteKernel
from farlab_real.user import HubUser
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect

CHUNK = 16 * 1024 * 1024
CHUNKS = 64  # of CHUNK bytes each: 1 GiB


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Iterator[HubUser]:
    """A user whose server runs at the cloud site."""
    with hub.login("lovelace") as user:
        user.spawn({"profile": "cloud--lab"})
        user.wait_until_ready()
        yield user
        user.stop()


def cookies(user: HubUser) -> dict[str, str]:
    """Return the header with the user's cookies, for a WebSocket."""
    request = user.http.build_request("GET", user.url("api"))
    return {"Cookie": request.headers.get("Cookie", "")}


def websocket_url(user: HubUser, path: str) -> str:
    """Return the address of a WebSocket of the user's server."""
    return user.url(path).replace("http", "ws", 1)


@pytest.mark.timeout(900)
def test_upload_and_download_of_one_gigabyte(ada: HubUser) -> None:
    headers = {"X-XSRFToken": ada.server_xsrf()}
    sent = hashlib.sha256()
    for number in range(1, CHUNKS + 1):
        chunk = number.to_bytes(4, "big") * (CHUNK // 4)
        sent.update(chunk)
        model = {
            "type": "file",
            "format": "base64",
            "content": base64.b64encode(chunk).decode(),
            "chunk": number if number < CHUNKS else -1,  # the contents API's mark of the last one
        }
        answer = ada.http.put(ada.url("api/contents/big.bin"), json=model, headers=headers)
        assert answer.status_code in (200, 201), answer.text
    received, size = hashlib.sha256(), 0
    with ada.http.stream("GET", ada.url("files/big.bin")) as answer:
        answer.raise_for_status()
        for block in answer.iter_bytes(1 << 20):
            received.update(block)
            size += len(block)
    assert size == CHUNK * CHUNKS
    assert received.digest() == sent.digest()
    ada.http.delete(ada.url("api/contents/big.bin"), headers=headers).raise_for_status()


def test_terminal(ada: HubUser) -> None:
    name = ada.post("api/terminals").json()["name"]
    url = websocket_url(ada, f"terminals/websocket/{name}")
    with connect(url, additional_headers=cookies(ada), open_timeout=60) as socket:
        socket.send(json.dumps(["stdin", "echo $((6 * 7))-here\r"]))
        seen = ""
        while "42-here" not in seen:
            kind, *rest = json.loads(socket.recv(timeout=60))
            seen += rest[0] if kind == "stdout" else ""


def test_events_reach_the_browser_as_they_happen(ada: HubUser) -> None:
    url = websocket_url(ada, "api/events/subscribe")
    with connect(url, additional_headers=cookies(ada), open_timeout=60) as socket:
        ada.get("api/contents?content=1").raise_for_status()
        event = json.loads(socket.recv(timeout=60))
    assert event["schema_id"].endswith("contents_service/v1")


async def test_fifty_connections_to_one_server(ada: HubUser) -> None:
    with RemoteKernel(ada) as kernel:
        url = websocket_url(ada, f"api/kernels/{kernel.id}/channels")
        sockets = await asyncio.gather(
            *(
                connect_async(url, additional_headers=cookies(ada), open_timeout=120)
                for _ in range(50)
            )
        )
        try:
            assert kernel.run("print('all of you')") == "all of you\n"
            printed = [await next_stream(socket) for socket in sockets]
        finally:
            await asyncio.gather(*(socket.close() for socket in sockets))
    assert printed == ["all of you\n"] * 50


async def next_stream(socket: object) -> str:
    """Return the text of the next output that a kernel's WebSocket carries."""
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 90))  # type: ignore[attr-defined]
        if message["msg_type"] == "stream":
            return str(message["content"]["text"])
