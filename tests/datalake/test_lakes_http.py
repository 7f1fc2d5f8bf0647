"""The DataLake's HTTP API on a real Jupyter server, with two real Rucios and one that is down."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from farlab_real.authority import Authority
from farlab_real.processes import free_ports
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import password_of
from farlab_server_ext.lakes_of_server import address_of_lakes
from jupyter_server.utils import JupyterServerAuthWarning
from tornado.httpclient import HTTPClientError

Call = Callable[..., Any]


@pytest.fixture
def jp_environ_of_lakes(
    rucio: RunningRucio,
    virgo: RunningRucio,
    rucio_authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tell the server of its lakes, as a spawner does."""
    typed = {"identity": {"userpass": {}}}
    ca = {"ca": str(rucio_authority.ca)}
    lakes = [
        {"name": "escape", "title": "ESCAPE", "rucio": {"url": rucio.url, **typed}},
        {"name": "virgo", "title": "Virgo", "rucio": {"url": virgo.url, **typed, **ca}},
        {
            "name": "down",
            "title": "A lake that is down",
            "rucio": {"url": f"http://127.0.0.1:{free_ports(1)[0]}", **typed},
        },
    ]
    here = {"lake": "escape", "rse": "VEGA"}
    monkeypatch.setenv("FARLAB_DATALAKE", json.dumps({"lakes": lakes, "here": here}))


@pytest.fixture
def call(jp_environ_of_lakes: None, fetch: Call) -> Call:
    """Call the API; return the answer's JSON, or the status and the error's JSON."""

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
def alice(call: Call) -> Call:
    """The API with alice logged in to the first lake."""
    typed = {"username": "alice", "password": password_of("alice")}
    assert call("PUT", "lakes/escape/identity", typed)["logged_in"] is True
    return call


def test_the_lakes_and_who_one_is_there(call: Call) -> None:
    lakes = call("GET", "lakes")
    assert [(one["name"], one["kind"], one["logged_in"], one["rse"]) for one in lakes] == [
        ("escape", "rucio", False, "VEGA"),
        ("virgo", "rucio", False, None),
        ("down", "rucio", False, None),
    ]
    assert "rules" in lakes[0]["capabilities"]
    assert call("GET", "lakes/escape/entries") == (
        409,
        {
            "code": "login",
            "message": "You are not logged in to ESCAPE.",
            "fix": "Log in to it.",
        },
    )


def test_each_lake_has_its_own_login(alice: Call) -> None:
    scopes = {one["name"] for one in alice("GET", "lakes/escape/entries")["entries"]}
    assert {"demo", "many"} <= scopes
    assert alice("GET", "lakes/virgo/entries")[1]["code"] == "login"
    wrong = {"username": "alice", "password": password_of("alice")}
    status, refusal = alice("PUT", "lakes/virgo/identity", wrong)
    assert (status, refusal["code"]) == (409, "login")
    assert alice("GET", "lakes/virgo/entries")[1]["code"] == "login"
    right = {"username": "virgo", "password": password_of("virgo")}
    assert alice("PUT", "lakes/virgo/identity", right)["user"] == "virgo"
    assert [one["name"] for one in alice("GET", "lakes/virgo/entries")["entries"]] == ["user.virgo"]
    assert alice("DELETE", "lakes/virgo/identity") is None
    assert alice("GET", "lakes/virgo/entries")[1]["code"] == "login"
    assert alice("GET", "lakes/escape/entries")["entries"]


def test_a_tour_of_a_lake(alice: Call) -> None:
    page = alice("GET", "lakes/escape/entries", path="demo:days", limit="5")
    assert len(page["entries"]) == 5
    page = alice("GET", "lakes/escape/entries", path="demo:days", cursor=page["next"])
    assert page["next"] is None
    found = alice("GET", "lakes/escape/search", path="demo", text="day-00")
    assert len(found["entries"]) == 10
    found = alice("GET", "lakes/escape/search", path="demo", metadata='{"nothing": "x"}')
    assert found["entries"] == []
    details = alice("GET", "lakes/escape/details", path="demo:day-001.csv")
    assert details["here"]
    assert "demo:days" in [parent["path"] for parent in details["parents"]]
    seen = alice("GET", "lakes/escape/preview", path="demo:day-001.csv")
    assert (seen["kind"], seen["columns"]) == ("table", ["day", "value"])
    replicas = alice("POST", "lakes/escape/replicas", {"paths": ["demo:day-001.csv"]})
    assert "VEGA" in [replica["rse"] for replica in replicas["demo:day-001.csv"]]
    shares = alice("GET", "lakes/escape/shares", path="demo:days")
    assert ("VEGA", 12) in [(share["rse"], share["files_there"]) for share in shares]


def test_data_is_made_available_kept_and_let_go(alice: Call) -> None:
    wanted = {"path": "demo:days", "days": 7, "rse": "PSNC", "comment": "for the paper"}
    rule = alice("POST", "lakes/escape/rules", wanted)
    assert (rule["state"], rule["comment"]) == ("replicating", "for the paper")
    told = alice("GET", f"lakes/escape/rules/{rule['id']}")
    assert (told["id"], told["reasons"]) == (rule["id"], [])
    longer = alice("PATCH", f"lakes/escape/rules/{rule['id']}", {"days": 30})
    assert longer["ends"] > rule["ends"]
    assert rule["id"] in [one["id"] for one in alice("GET", "lakes/escape/rules")]
    assert alice("GET", "lakes/escape/rules", path="demo:days")[0]["id"] == rule["id"]
    assert alice("DELETE", f"lakes/escape/rules/{rule['id']}") is None


def test_a_dataset_is_made_and_described(alice: Call) -> None:
    path = "user.alice:over http/a:b"
    made = alice("POST", "lakes/escape/entries", {"path": path, "kind": "dataset"})
    assert made["kind"] == "dataset"
    body = {"path": path, "children": ["demo:day-001.csv"]}
    assert alice("POST", "lakes/escape/attachments", body) == {}
    assert alice("GET", "lakes/escape/entries", path=path)["entries"][0]["size"] == 14
    changed = alice("PATCH", "lakes/escape/metadata", {"path": path, "changes": {"run": 3}})
    assert changed["metadata"]["run"] == 3
    assert alice("DELETE", "lakes/escape/attachments", body) is None
    assert alice("POST", "lakes/escape/closed", {"path": path}) == {}
    assert alice("GET", "lakes/escape/details", path=path)["entry"]["state"] == "closed"


def test_a_download(alice: Call, fetch: Call) -> None:
    query = {"path": "demo:day-001.csv", "offset": "4"}
    response = fetch("farlab", "datalake", "lakes", "escape", "content", params=query)
    assert response.body == b"value\n1,1\n"
    assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''day-001.csv"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    missing = alice("GET", "lakes/escape/content", path="demo:nothing")
    assert (missing[0], missing[1]["code"]) == (404, "not-found")


def test_an_upload(alice: Call, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mean.csv").write_text("mean\n1\n")
    wanted = {"lake": "escape", "source": str(tmp_path / "results"), "prefix": "results/"}
    wanted |= {"dataset": "user.alice:results"}
    job = alice("POST", "uploads", {**wanted, "days": 7, "metadata": {"paper": "x"}})
    ended = time.monotonic() + 120
    while (state := alice("GET", "uploads")[0])["state"] == "running":
        assert time.monotonic() < ended
    assert (state["id"], state["state"], state["error"]) == (job["id"], "done", None)
    page = alice("GET", "lakes/escape/entries", path="user.alice:results")
    assert [entry["name"] for entry in page["entries"]] == ["results/mean.csv"]
    assert alice("POST", f"uploads/{job['id']}")[1]["code"] == "conflict"
    assert alice("DELETE", f"uploads/{job['id']}") is None
    assert alice("GET", "uploads") == []
    assert alice("POST", "uploads", {**wanted, "lake": "virgo"})[1]["code"] == "wrong-input"
    assert alice("POST", "uploads", {**wanted, "metadata": 1})[1]["code"] == "wrong-input"


def test_another_user_gets_nothing_of_the_first(alice: Call) -> None:
    alice("GET", "lakes/escape/entries", path="many:all", limit="10")
    typed = {"username": "bob", "password": password_of("bob")}
    assert alice("PUT", "lakes/escape/identity", typed)["user"] == "bob"
    refused = alice("POST", "lakes/escape/entries", {"path": "user.alice:x", "kind": "dataset"})
    assert refused[1]["code"] == "denied"
    assert {rule["account"] for rule in alice("GET", "lakes/escape/rules")} <= {"bob"}


def test_kernels_are_told_where_the_lakes_are(jp_serverapp: Any) -> None:
    jp_serverapp.default_url = f"{jp_serverapp.base_url}lab"  # as JupyterLab has it
    told = address_of_lakes(jp_serverapp, {})
    address = f"http://127.0.0.1:{jp_serverapp.port}{jp_serverapp.base_url}"
    assert told["FARLAB_DATALAKE_URL"] == f"{address}farlab/datalake/"
    assert told["FARLAB_DATALAKE_TOKEN"] == jp_serverapp.identity_provider.token
    on_a_hub = address_of_lakes(jp_serverapp, {"JUPYTERHUB_API_TOKEN": "the-servers-own"})
    assert on_a_hub["FARLAB_DATALAKE_TOKEN"] == "the-servers-own"


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "status", "code"),
    [
        ("GET", "lakes/nowhere/entries", None, {}, 404, "not-found"),
        ("GET", "lakes/escape/entries", None, {"limit": "-1"}, 400, "wrong-input"),
        ("GET", "lakes/escape/entries", None, {"path": "demo", "cursor": "?"}, 400, "wrong-input"),
        ("GET", "lakes/escape/search", None, {"metadata": "x"}, 400, "wrong-input"),
        ("GET", "lakes/escape/search", None, {"bbox": "1,2"}, 400, "wrong-input"),
        ("GET", "lakes/escape/details", None, {"path": "demo:nothing"}, 404, "not-found"),
        ("POST", "lakes/escape/entries", {"path": "demo:x"}, {}, 400, "wrong-input"),
        ("POST", "lakes/escape/replicas", {"paths": "x"}, {}, 400, "wrong-input"),
        ("POST", "lakes/escape/rules", {"path": "demo:days", "days": "x"}, {}, 400, "wrong-input"),
        ("POST", "lakes/escape/link", {"path": "demo:x"}, {}, 501, "unsupported"),
        ("DELETE", "lakes/escape/entries", None, {"path": "demo:x"}, 501, "unsupported"),
    ],
)
def test_what_makes_no_sense_is_refused(
    alice: Call, method: str, path: str, body: Any, query: dict[str, str], status: int, code: str
) -> None:
    got = alice(method, path, body, **query)
    assert (got[0], got[1]["code"]) == (status, code)
    assert got[1]["message"]
    assert got[1]["fix"]


def test_a_lake_that_is_down_is_told(call: Call) -> None:
    typed = {"username": "alice", "password": "x"}
    status, refusal = call("PUT", "lakes/down/identity", typed)
    assert (status, refusal["code"]) == (502, "unreachable")


def test_a_call_without_the_token_is_refused(jp_environ_of_lakes: None, fetch: Call) -> None:
    for where in ("lakes", "lakes/escape/entries", "lakes/escape/content", "lakes/escape/rules"):
        with pytest.raises(HTTPClientError) as refusal:
            fetch("farlab", "datalake", *where.split("/"), headers={"Authorization": ""})
        assert refusal.value.code == 403


def test_every_verb_asks_who_calls(
    jp_environ_of_lakes: None, recwarn: pytest.WarningsRecorder, jp_serverapp: Any
) -> None:
    """jupyter_server itself warns of the verbs that anybody could call, when asked to."""
    assert jp_serverapp.extension_manager.extension_apps["farlab_server_ext"]
    assert [str(w.message) for w in recwarn if w.category is JupyterServerAuthWarning] == []


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"lakes": [1]}', '{"lakes": [], "here": {}}'])
def test_an_environment_that_makes_no_sense(
    text: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("FARLAB_DATALAKE", text)
    fetch = request.getfixturevalue("fetch")
    assert json.loads(fetch("farlab", "datalake", "lakes").body) == []
