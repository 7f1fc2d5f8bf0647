"""Without a hub: a real Jupyter server that runs the Farlab service for its user."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import Process, wait_until
from farlab_server_ext.app import FarlabServerApp
from farlab_server_ext.own_service import Choices, OwnService
from tornado.httpclient import HTTPClientError

TOKEN = "a-token-of-the-tests"
PAGE = (Path(__file__).parents[2] / "docs" / "without-a-hub.md").read_text()
((OPTION, FILE),) = re.findall(r"^\$ jupyter lab (--\S+)=(\S+)$", PAGE, re.MULTILINE)


class RunningServer:
    """`jupyter server` with a catalogue, at a Unix socket; it can be started again there."""

    def __init__(self, folder: Path, catalogue: Path) -> None:
        folder.mkdir()
        socket = folder / "socket"
        command = [sys.executable, "-m", "jupyter", "server", "--allow-root", "--no-browser"]
        command += [f"--ServerApp.sock={socket}", "--ServerApp.base_url=/base/"]
        command += [f"--IdentityProvider.token={TOKEN}", f"{OPTION}={catalogue}"]
        command += [f"--ServerApp.root_dir={folder}"]
        known = {name: value for name, value in os.environ.items() if "FARLAB" not in name}
        places = {name: str(folder / name.lower()) for name in ("JUPYTER_DATA_DIR", "HOME")}
        self.process = Process(command, folder / "server.log", {**known, **places})
        self.http = httpx.Client(
            base_url="http://localhost/base/",
            transport=httpx.HTTPTransport(uds=str(socket)),
            headers={"Authorization": f"token {TOKEN}"},
            timeout=60,
        )

    def start(self) -> RunningServer:
        self.process.start()
        self.process.wait_until(self._answers, "the Jupyter server")
        return self

    def _answers(self) -> bool:
        try:
            return self.call("GET", "api/status").status_code == 200
        except httpx.HTTPError:
            return False

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.http.request(method, path, **more)

    def workload(self, uid: str) -> Any:
        return self.call("GET", f"farlab/api/workloads/{uid}").json()

    def events(self, uid: str) -> Iterator[Any]:
        """Yield the events of a workload, as a browser's EventSource gets them."""
        with self.http.stream("GET", f"farlab/api/workloads/{uid}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def log(self) -> str:
        return self.process.read_log()[-4000:]

    def __enter__(self) -> RunningServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.process.stop()
        self.http.close()


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlugin]:
    with RunningPlugin(tmp_path_factory.mktemp("plugin"), {"local": {}}) as running:
        yield running


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, plugin: RunningPlugin) -> Path:
    profile = {
        "name": "small",
        "title": "Small",
        "sizes": [{"title": "1 CPU", "cpu": 1, "memory": "1Gi"}],
        "images": [{"title": "this one", "image": sys.prefix}],
    }
    site = {"name": "here", "title": "Here", "kind": "cloud", "profiles": [profile]}
    file = tmp_path_factory.mktemp("catalogue") / "sites.yaml"
    file.write_text(yaml.safe_dump({"sites": [{**site, "carrier": plugin.carrier}]}))
    return file


def test_a_kernel_at_a_site_outlives_the_server(tmp_path: Path, catalogue: Path) -> None:
    with RunningServer(tmp_path / "server", catalogue) as server:
        (site,) = server.call("GET", "farlab/api/sites").json()
        assert (site["name"], site["open"]) == ("here", True)
        who = server.call("GET", "farlab/api/identity").json()
        assert (who["login"]["state"], who["tokens"]) == ("none", [])
        assert [(one["site"], one["open"]) for one in who["sites"]] == [("here", True)]
        assert server.call("POST", "farlab/api/token", json={}).status_code == 404
        for around in ("sites/..%2Ftoken", "sites/%252e%252e%2Ftoken", "sites/x%2F..%2F..%2Ftoken"):
            asked = {"audience": "", "scope": ""}
            answer = server.call("POST", f"farlab/api/{around}", json=asked)
            assert (answer.status_code, answer.json().get("code")) == (404, "not-found")
        asked = {"kind": "kernel", "site": "here", "name": "mine"}
        created = server.call("POST", "farlab/api/workloads", json=asked)
        assert created.status_code == 201, created.text
        uid = created.json()["uid"]
        assert any(event["state"] == "ready" for event in server.events(uid))
        before = server.workload(uid)
        _only_with_the_servers_token(server, uid)
        refused = server.call("POST", "farlab/api/workloads", json=asked)
        assert (refused.status_code, refused.json()["code"]) == (409, "name-taken")
        _kernels_are_told(server, uid)

        server.process.kill()  # as a crash would
        server.start()
        after = server.workload(uid)
        kept = ("state", "job_id", "key")
        assert [after[name] for name in kept] == [before[name] for name in kept]
        # The agent dials where the relay was before.
        wait_until(lambda: server.workload(uid)["reason"] == "", "the agent", server.log)
        events = server.events(uid)
        assert next(events)["seq"] == 1
        server.call("DELETE", f"farlab/api/workloads/{uid}")
        assert [event["state"] for event in events][-1] == "cancelled"
        log = server.call("GET", f"farlab/api/workloads/{uid}/logs?follow=1")
        assert log.headers["content-type"].startswith("text/plain")


def _only_with_the_servers_token(server: RunningServer, uid: str) -> None:
    for token in ("", "token guess"):
        for method, path in (("GET", "sites"), ("DELETE", f"workloads/{uid}")):
            server.http.cookies.clear()  # the server's own remembers who had the token
            answer = server.call(method, f"farlab/api/{path}", headers={"Authorization": token})
            assert answer.status_code == 403


def _kernels_are_told(server: RunningServer, uid: str) -> None:
    """Find the service as code in a kernel of this server does: by its environment."""
    assert server.call("POST", "api/kernels", json={"name": "python3"}).status_code == 201
    children = psutil.Process(server.process.pid).children(recursive=True)
    (told, *_) = [env for child in children if "FARLAB_API_URL" in (env := child.environ())]
    url, token = told["FARLAB_API_URL"], told["FARLAB_API_TOKEN"]
    assert httpx.get(url + "workloads").status_code == 401
    headers = {"Authorization": f"Bearer {token}"}
    assert [one["uid"] for one in httpx.get(url + "workloads", headers=headers).json()] == [uid]


@pytest.fixture
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an environment without a service, now and afterwards."""
    for name in ("FARLAB_API_URL", "FARLAB_API_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("nothing_told")
async def test_a_wrong_catalogue_is_said_and_withdrawn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "sites.yaml"
    file.write_text("sites:\n  - name: Here\n")
    choices = Choices(file, tmp_path / "state", (), "127.0.0.1", 0, "")
    service = OwnService(choices, logging.getLogger("test"))
    service.announce()
    assert "FARLAB_API_URL" in os.environ
    service.start()
    async with asyncio.timeout(60):
        while "FARLAB_API_URL" in os.environ:
            await asyncio.sleep(0.02)
    assert f"{file}:2" in caplog.text
    await service.stop()


@pytest.mark.usefixtures("nothing_told")
async def test_a_second_server_does_not_take_over(
    tmp_path: Path, catalogue: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("farlab_hub.process.TAKEOVER", 0.2)
    choices = Choices(catalogue, tmp_path / "state", (), "127.0.0.1", 0, "")
    first, second = (OwnService(choices, logging.getLogger(name)) for name in ("1", "2"))
    first.announce()
    first.start()
    async with asyncio.timeout(60):
        while not (tmp_path / "state" / "relay.port").exists():
            await asyncio.sleep(0.02)
        second.announce()
        second.start()
        while "works in" not in caplog.text:
            await asyncio.sleep(0.02)
    await second.stop()
    await first.stop()


@pytest.mark.usefixtures("nothing_told")
def test_missing_libraries_are_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "farlab_server_ext.own_service")
    monkeypatch.setitem(sys.modules, "farlab_hub.errors", None)
    app = FarlabServerApp(catalogue="sites.yaml", log=logging.getLogger("test"))
    app.initialize_settings()
    assert "farlab_hub.errors is missing" in caplog.text
    assert "pip install 'farlab[service]'" in caplog.text
    assert "FARLAB_API_URL" not in os.environ


def test_where_a_service_is_known_none_is_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FARLAB_API_URL", "http://127.0.0.1:9/api/")
    caplog.set_level(logging.INFO)
    app = FarlabServerApp(catalogue="sites.yaml", log=logging.getLogger("test"))
    app.initialize_settings()
    assert "at http://127.0.0.1:9/api/ already" in caplog.text


def test_panels_are_told_where_no_service_answers(
    fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url, status, code in (
        ("", 404, "not-configured"), ("http://127.0.0.1:9/api/", 503, "service-unreachable"),
    ):  # fmt: skip
        monkeypatch.setenv("FARLAB_API_URL", url)
        with pytest.raises(HTTPClientError) as refusal:
            fetch("farlab", "api", "sites")
        assert refusal.value.code == status
        assert json.loads(refusal.value.response.body)["code"] == code


def test_the_pages_options_are_there() -> None:
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE))))
    assert named - {"FarlabServerApp"} == set(FarlabServerApp.class_own_traits(config=True))
    assert FILE == "sites.yaml"


def test_the_service_needs_no_jupyterhub() -> None:
    code = "import sys; sys.modules['jupyterhub'] = sys.modules['kubespawner'] = None; "
    code += "import farlab_server_ext.own_service"
    subprocess.run([sys.executable, "-c", code], check=True)
