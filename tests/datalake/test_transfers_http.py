"""Storage lakes, STAC and transfers over HTTP, on a real Jupyter server with real doors."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from farlab_real.door_pair import DoorPair
from farlab_real.fts_stand_in import FtsStandIn
from farlab_real.stac_server import RunningStacApi
from farlab_real.versitygw import RunningVersitygw
from farlab_real.xrootd import XrootdDoors
from tornado.httpclient import HTTPClientError

Call = Callable[..., Any]


@pytest.fixture
def pair(doors: XrootdDoors) -> DoorPair:
    return DoorPair(doors)


@pytest.fixture
def told_of_lakes(
    pair: DoorPair,
    fts: FtsStandIn,
    s3_server: RunningVersitygw,
    stac_api: RunningStacApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Tell the server of its lakes, as a spawner does; return the file with the token."""
    doors = pair.doors
    door = {"ca": str(doors.authority.ca), "identity": {"oidc": {"audience": "", "scope": ""}}}
    s3_server.bucket("results")
    lakes: list[dict[str, Any]] = [
        {
            "name": "one",
            "title": "One",
            "webdav": {"url": f"{doors.one.url}/{pair.folder}", **door},
        },
        {
            "name": "other",
            "title": "Other",
            "webdav": {"url": f"{doors.other.url}/{pair.folder}", "fts": fts.url, **door},
        },
        {
            "name": "eodc",
            "title": "EODC",
            "s3": {
                "url": s3_server.endpoint,
                "bucket": "results",
                "region": s3_server.region,
                "identity": {"keys": {}},
            },
        },
        {"name": "stac", "title": "STAC", "stac": {"url": stac_api.url}},
        {
            "name": "escape",
            "title": "E",
            "rucio": {"url": "https://rucio.example.org", "identity": {"userpass": {}}},
        },
    ]
    token = tmp_path / "token"
    token.write_text(doors.issuer.token())
    for name in ("FARLAB_DATALAKE_URL", "FARLAB_DATALAKE_TOKEN"):
        monkeypatch.setenv(name, "")  # so that they are put back
    monkeypatch.setenv("FARLAB_TOKEN_FILE", str(token))
    monkeypatch.setenv("FARLAB_DATALAKE", json.dumps({"lakes": lakes}))
    return token


@pytest.fixture
def call(told_of_lakes: Path, fetch: Call, jp_serverapp: Any, jp_asyncio_loop: Any) -> Call:
    """Call the API; return the answer's JSON, or the status and the error's JSON."""
    # jupyter_server does so when its loop starts, which the fixtures have started themselves.
    jp_asyncio_loop.run_until_complete(jp_serverapp.extension_manager.start_all_extensions())

    def ask(method: str, where: str, body: Any = None, **query: str) -> Any:
        options: dict[str, Any] = {"method": method, "params": query}
        if body is not None or method in ("POST", "PUT", "PATCH"):
            options["body"] = json.dumps(body or {})
        options["allow_nonstandard_methods"] = True
        response = fetch("farlab", "datalake", *where.split("/"), raise_error=False, **options)
        if response.code >= 400:
            return response.code, json.loads(response.body)
        return json.loads(response.body) if response.body else None

    return ask


@pytest.fixture
def until_ended(
    call: Call, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Callable[[str], dict[str, Any]]:
    """Wait until a transfer has ended; the server runs in this thread's loop."""

    def wait(identifier: str) -> dict[str, Any]:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            found: dict[str, Any] = call("GET", f"transfers/{identifier}")
            if found["state"] not in ("waiting", "active"):
                return found
            jp_asyncio_loop.run_until_complete(asyncio.sleep(0.1))
        raise AssertionError(f"{identifier} has not ended: {found}")

    return wait


def test_doors_objects_and_catalogues_are_lakes(
    call: Call, pair: DoorPair, s3_server: RunningVersitygw
) -> None:
    pair.put(pair.doors.one, "f.txt", b"content")
    entries = call("GET", "lakes/one/entries")["entries"]
    assert [(one["name"], one["size"]) for one in entries] == [("f.txt", 7)]
    assert call("GET", "lakes/one")["capabilities"] == ["read", "remove", "write"]
    assert call("GET", "lakes/one/preview", path="f.txt")
    assert call("GET", "lakes/eodc/entries")[1]["code"] == "login"
    keys = {"username": s3_server.key, "password": "wrong-secret"}
    assert call("PUT", "lakes/eodc/identity", keys)[1]["code"] == "login"
    keys["password"] = s3_server.secret
    assert call("PUT", "lakes/eodc/identity", keys)["logged_in"] is True
    assert call("POST", "lakes/eodc/entries", {"path": "new", "kind": "folder"})["name"] == "new"
    assert call("GET", "lakes/eodc")["capabilities"] == ["link", "read", "remove", "write"]
    (fires,) = call("GET", "lakes/stac/entries")["entries"]
    assert call("GET", "lakes/stac")["capabilities"] == ["search-area"]
    found = call("GET", "lakes/stac/search", bbox="-0.5,0.2,0.5,0.8")["entries"]
    assert {one["more"]["in"][0]["lake"] for one in found} == {"escape"}
    assert fires["kind"] == "collection"


def test_files_go_from_door_to_door(
    call: Call, pair: DoorPair, until_ended: Callable[[str], dict[str, Any]], jp_data_dir: Path
) -> None:
    pair.put(pair.doors.one, "f", b"content")
    for by_fts in (False, True):
        target = f"in/{by_fts}"
        order = {
            "source": "one",
            "destination": "other",
            "files": [["f", target]],
            "by_fts": by_fts,
        }
        begun = call("POST", "transfers", order)
        assert begun["files_total"] == 1
        ended = until_ended(begun["id"])
        assert (ended["state"], ended["files"][0]["state"]) == ("done", "done")
        assert pair.arrived(target) == b"content"
        assert begun["id"] in [one["id"] for one in call("GET", "transfers")]
        assert call("DELETE", f"transfers/{begun['id']}") is None
        assert call("GET", f"transfers/{begun['id']}")[0] == 404
    assert call("GET", "transfers") == []
    (journal,) = Path(jp_data_dir).glob("**/transfers.sqlite")
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600


def test_an_ended_token_is_told_and_a_fresh_one_is_taken(
    call: Call, pair: DoorPair, told_of_lakes: Path, until_ended: Callable[[str], dict[str, Any]]
) -> None:
    pair.put(pair.doors.one, "f", b"content")
    fresh = told_of_lakes.read_text()
    told_of_lakes.write_text(pair.doors.issuer.token(seconds=-10))
    order = {"source": "one", "destination": "other", "files": [["f", "f"]]}
    status, error = call("POST", "transfers", order)
    assert (status, error["code"]) == (409, "expired")
    told_of_lakes.write_text(fresh)
    assert until_ended(call("POST", "transfers", order)["id"])["state"] == "done"


REFUSED = [
    ("POST", "transfers", {}, 400),
    ("POST", "transfers", {"source": "one", "destination": "other", "files": [["a"]]}, 400),
    ("POST", "transfers", {"source": "one", "destination": "other", "files": []}, 400),
    ("POST", "transfers", {"source": "one", "destination": "nowhere", "files": [["a", "b"]]}, 404),
    ("POST", "transfers", {"source": "one", "destination": "stac", "files": [["a", "b"]]}, 501),
    ("POST", "transfers", {"source": "one", "destination": "other", "files": [["../a", "b"]]}, 400),
    (
        "POST",
        "transfers",
        {"source": "https://x", "destination": "other", "files": [["a", "b"]]},
        404,
    ),
    ("GET", "transfers/none", None, 404),
    ("DELETE", "transfers/none", None, 404),
    ("PATCH", "transfers/none", {"action": "cancel"}, 404),
    ("PATCH", "transfers/none", {"action": "explode"}, 400),
    ("PATCH", "transfers/rule:nowhere:abc", {"action": "retry"}, 404),
    ("PATCH", "transfers/rule:one:abc", {"action": "cancel"}, 404),
]


def test_what_makes_no_sense_is_refused(call: Call) -> None:
    for method, path, body, status in REFUSED:
        got = call(method, path, body)
        assert got[0] == status, (method, path, body, got)
        assert got[1]["message"]
        assert got[1]["fix"]


def test_nobody_gets_in_without_the_token(told_of_lakes: Path, fetch: Call) -> None:
    for where in ("transfers", "transfers/x", "transfers/events", "lakes/one"):
        with pytest.raises(HTTPClientError) as refusal:
            fetch("farlab", "datalake", *where.split("/"), headers={"Authorization": ""})
        assert refusal.value.code == 403


def test_events(
    call: Call, fetch: Call, pair: DoorPair, jp_fetch: Call, jp_asyncio_loop: Any
) -> None:
    pair.put(pair.doors.one, "f", b"content")
    heard = b""

    def hear(part: bytes) -> None:
        nonlocal heard
        heard += part

    async def follow() -> None:
        nonlocal heard
        events = asyncio.ensure_future(
            jp_fetch(
                "farlab",
                "datalake",
                "transfers",
                "events",
                streaming_callback=hear,
                request_timeout=300,
            )
        )
        async with asyncio.timeout(120):
            while heard.count(b"data: ") < 1:
                await asyncio.sleep(0.05)
            order = {"source": "one", "destination": "other", "files": [["f", "f"]]}
            await jp_fetch("farlab", "datalake", "transfers", method="POST", body=json.dumps(order))
            while b'"state": "done"' not in heard:
                await asyncio.sleep(0.05)
        events.cancel()

    jp_asyncio_loop.run_until_complete(follow())
    assert heard.startswith(b"data: []")


def test_a_folder_goes_into_an_object_store_and_back(
    call: Call,
    pair: DoorPair,
    s3_server: RunningVersitygw,
    until_ended: Callable[[str], dict[str, Any]],
) -> None:
    keys = {"username": s3_server.key, "password": s3_server.secret}
    call("PUT", "lakes/eodc/identity", keys)
    files = {"f.txt": b"content", "b 50%2F.bin": b"b" * 300_000, "ü😀": b""}
    for folder in ("run", "run/deep", "run/empty"):
        assert call("POST", "lakes/one/entries", {"path": folder, "kind": "folder"})
    for name, content in files.items():
        pair.put(pair.doors.one, f"run/deep/{name}", content)
    pair.put(pair.doors.one, "run/top", b"top")
    wanted = {"run/top": b"top"} | {f"run/deep/{name}": data for name, data in files.items()}
    order = {"source": "one", "destination": "eodc", "files": [["run", f"{pair.folder}/copy"]]}
    for reason in ("", "It was there already."):
        begun = call("POST", "transfers", order)
        assert (begun["way"], begun["files_total"]) == ("stream", len(wanted))
        ended = until_ended(begun["id"])
        assert (ended["state"], ended["reason"]) == ("done", reason), ended
    home = s3_server.data / "results" / pair.folder / "copy"
    assert {
        f"run/{path.relative_to(home).as_posix()}": path.read_bytes()
        for path in home.rglob("*")
        if path.is_file()
    } == wanted
    link = call("POST", "lakes/eodc/link", {"path": f"{pair.folder}/copy/top", "seconds": 60})
    assert httpx.get(link["url"]).content == b"top"
    # Back to another door, which fetches from the store by signed links, or is told why it can't.
    back = {"source": "eodc", "destination": "other", "files": [[f"{pair.folder}/copy", "back"]]}
    assert call("POST", "transfers", back)["way"] == "copy"


def test_a_copy_through_the_server_overwrites_only_when_told(
    call: Call,
    pair: DoorPair,
    s3_server: RunningVersitygw,
    until_ended: Callable[[str], dict[str, Any]],
) -> None:
    keys = {"username": s3_server.key, "password": s3_server.secret}
    call("PUT", "lakes/eodc/identity", keys)
    pair.put(pair.doors.one, "f", b"content")
    target = s3_server.data / "results" / pair.folder
    target.mkdir()
    (target / "f").write_bytes(b"other")
    order = {"source": "one", "destination": "eodc", "files": [["f", f"{pair.folder}/f"]]}
    ended = until_ended(call("POST", "transfers", order)["id"])
    assert (ended["state"], "another file" in ended["reason"]) == ("failed", True)
    assert (target / "f").read_bytes() == b"other"
    ended = until_ended(call("POST", "transfers", {**order, "overwrite": True})["id"])
    assert ended["state"] == "done"
    assert (target / "f").read_bytes() == b"content"
    for source, destination, code in (
        ("one", "escape", "unsupported"),
        ("one", "stac", "unsupported"),
        ("nowhere", "eodc", "not-found"),
    ):
        order = {"source": source, "destination": destination, "files": [["f", "g"]]}
        assert call("POST", "transfers", order)[1]["code"] == code
    for bad in (["f", "../g"], ["f/../../g", "g"]):
        order = {"source": "one", "destination": "eodc", "files": [bad]}
        assert call("POST", "transfers", order)[1]["code"] == "wrong-input", bad
