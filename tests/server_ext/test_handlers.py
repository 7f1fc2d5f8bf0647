"""The HTTP APIs of the server extension, on a real Jupyter server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from jupyter_server.utils import JupyterServerAuthWarning
from tornado.httpclient import HTTPClientError, HTTPResponse

Fetch = Callable[..., HTTPResponse]


def test_the_server_tells_where_it_runs(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARLAB_SITE", "vega")
    monkeypatch.setenv("FARLAB_SITE_KIND", "hpc")
    monkeypatch.setenv("FARLAB_DEADLINE", "1790000000")
    before = time.time()
    response = fetch("farlab", "api", "server")
    answer = json.loads(response.body)
    assert before <= answer.pop("now") <= time.time()
    assert answer == {
        "site": "vega",
        "site_title": None,
        "kind": "hpc",
        "profile": None,
        "node": None,
        "job_id": None,
        "workload": None,
        "deadline": 1_790_000_000,
    }
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.headers["Cache-Control"] == "no-store"


def test_a_call_without_the_token_is_refused(fetch: Fetch) -> None:
    with pytest.raises(HTTPClientError) as refusal:
        fetch("farlab", "api", "server", headers={"Authorization": ""})
    assert refusal.value.code == 403


def test_an_authorizer_may_refuse(
    fetch: Fetch, jp_serverapp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(_handler: Any, _user: Any, action: str, resource: str) -> bool:
        asked.append((action, resource))
        return False

    monkeypatch.setattr(jp_serverapp.authorizer, "is_authorized", refuse)
    with pytest.raises(HTTPClientError) as refusal:
        fetch("farlab", "api", "server")
    assert refusal.value.code == 403
    assert asked == [("read", "farlab")]


def test_every_verb_asks_who_calls(recwarn: pytest.WarningsRecorder, jp_serverapp: Any) -> None:
    """jupyter_server itself warns of the verbs that anybody could call, when asked to."""
    assert jp_serverapp.extension_manager.extension_apps["farlab_server_ext"]
    assert [str(w.message) for w in recwarn if w.category is JupyterServerAuthWarning] == []
