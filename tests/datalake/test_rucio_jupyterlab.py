"""Rucio's own JupyterLab extension beside ours: it is told of the same lakes, and works."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farlab_real.hub import REPOSITORY
from farlab_real.lab import RunningLab
from farlab_real.processes import wait_until
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import DAYS, password_of
from farlab_server_ext.rucio_jupyterlab import settings

LAKES: list[dict[str, Any]] = [
    {"name": "sky", "title": "Sky", "stac": {"url": "https://stac.example.org"}},
    {
        "name": "virgo",
        "title": "Virgo",
        "rucio": {"url": "https://virgo.example.org/", "identity": {"oidc": {}}},
    },
    {
        "name": "escape",
        "title": "ESCAPE",
        "rucio": {
            "url": "https://rucio.example.org",
            "auth_url": "https://auth.example.org",
            "ca": "/etc/grid.pem",
            "vo": "esc",
            "identity": {"x509": {"proxy": "/tmp/x"}},
        },
    },
]


def test_what_it_is_told() -> None:
    here = {"lake": "escape", "rse": "VEGA", "prefix": "/data", "pfn_prefix": "/webdav/escape"}
    told = settings(LAKES, here, {"FARLAB_SITE": "vega", "FARLAB_TOKEN_FILE": "/run/token"})
    assert told["default_instance"] == "escape"
    assert told["default_auth_type"] == "x509_proxy"
    virgo, escape = told["instances"]
    assert virgo["mode"] == "download"
    assert virgo["rucio_base_url"] == virgo["rucio_auth_url"] == "https://virgo.example.org"
    assert (virgo["oidc_auth"], virgo["oidc_file_name"]) == ("file", "/run/token")
    assert escape == {
        "name": "escape",
        "display_name": "ESCAPE",
        "rucio_base_url": "https://rucio.example.org",
        "rucio_auth_url": "https://auth.example.org",
        "rucio_ca_cert": "/etc/grid.pem",
        "vo": "esc",
        "site_name": "vega",
        "mode": "replica",
        "destination_rse": "VEGA",
        "rse_mount_path": "/data",
        "path_begins_at": 2,
    }


def test_without_a_rucio_it_is_told_nothing() -> None:
    assert settings(LAKES[:1], None, {}) == {}
    assert settings(LAKES, None, {})["default_instance"] == "virgo"


SITE_PACKAGES = REPOSITORY / ".venv-rucio-jupyterlab/lib"
WITH_BOTH = (
    "import sys; sys.path.append({!r}); from jupyterlab.labapp import main; sys.exit(main())"
)


@pytest.fixture
def lab(tmp_path: Path, rucio: RunningRucio) -> Iterator[RunningLab]:
    """A JupyterLab with both extensions, at the RSE VEGA."""
    packages = next(SITE_PACKAGES.glob("python*/site-packages"), None)
    assert packages, "run `make test`: it makes .venv-rucio-jupyterlab"
    lake = {"url": rucio.url, "identity": {"userpass": {}}}
    lakes = [{"name": "escape", "title": "ESCAPE", "rucio": lake}]
    told = json.dumps({"lakes": lakes, "here": {"lake": "escape", "rse": "VEGA"}})
    both = "--ServerApp.jpserver_extensions=rucio_jupyterlab.server=True"
    running = RunningLab(tmp_path / "lab", {"FARLAB_DATALAKE": told}, both)
    # What it needs more than we is found after our own packages.
    running.process.argv[:3] = [sys.executable, "-c", WITH_BOTH.format(str(packages))]
    with running:
        yield running


def test_it_finds_files_at_this_site(lab: RunningLab) -> None:
    def call(method: str, path: str, body: Any = None) -> Any:
        return lab.call(method, f"rucio-jupyterlab/{path}", body)

    known = call("GET", "instances")
    assert known["active_instance"] == "escape"
    assert known["auth_type"] == "userpass"
    assert [(one["name"], one["mode"]) for one in known["instances"]] == [("escape", "replica")]
    alice = {"username": "alice", "password": password_of("alice"), "account": "alice"}
    call("PUT", "auth", {"namespace": "escape", "type": "userpass", "params": alice})

    def files() -> list[dict[str, Any]]:
        found = call("GET", "did?namespace=escape&did=demo:days")
        return found if all(one["status"] == "OK" for one in found) else []

    wait_until(lambda: bool(files()), "the extension to fetch the replicas", lab.process.read_log)
    paths = {one["did"].partition(":")[2]: Path(one["path"]) for one in files()}
    assert {name: path.read_bytes() for name, path in paths.items()} == DAYS
