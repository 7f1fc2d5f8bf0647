"""A real Jupyter server with real lakes, where its user is logged in, and a site with an RSE."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from farlab_real.lab import TOKEN, RunningLab
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import password_of
from farlab_real.service import RunningService
from farlab_real.versitygw import RunningVersitygw

BUCKET = "results"


class LakeServer:
    """At the RSE VEGA of the lake `escape`, with the object store `store`; a context manager."""

    def __init__(self, folder: Path, rucio: RunningRucio, store: RunningVersitygw) -> None:
        typed: dict[str, Any] = {"identity": {"userpass": {}}}
        store.bucket(BUCKET)
        self._store = store
        s3 = {"url": store.endpoint, "bucket": BUCKET, "region": store.region}
        lakes: list[dict[str, Any]] = [
            {"name": "escape", "title": "ESCAPE", "rucio": {"url": rucio.url, **typed}},
            {"name": "store", "title": "Store", "s3": {**s3, "identity": {"keys": {}}}},
        ]
        told = {"lakes": lakes, "here": {"lake": "escape", "rse": "VEGA"}}
        self.lab = RunningLab(folder, {"FARLAB_DATALAKE": json.dumps(told)})
        self.folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """What tells a kernel of this server where the lakes are."""
        return {
            "FARLAB_DATALAKE_URL": f"{self.lab.url}farlab/datalake/",
            "FARLAB_DATALAKE_TOKEN": TOKEN,
        }

    def log_in(self) -> None:
        """Log in as alice, and with the store's keys."""
        alice = {"username": "alice", "password": password_of("alice")}
        keys = {"username": self._store.key, "password": self._store.secret}
        for lake, typed in (("escape", alice), ("store", keys)):
            self.lab.call("PUT", f"farlab/datalake/lakes/{lake}/identity", typed)

    def log_out(self, lake: str) -> None:
        """Forget the login to a lake."""
        self.lab.call("DELETE", f"farlab/datalake/lakes/{lake}/identity")

    def __enter__(self) -> LakeServer:
        self.lab.start()
        self.log_in()
        return self

    def __exit__(self, *_: object) -> None:
        self.lab.stop()


@contextmanager
def service_at(folder: Path, rucio: RunningRucio, rse: str) -> Iterator[RunningService]:
    """Run a service with the site `vega`, whose RSE is one of the lake `escape`."""
    with RunningService(folder) as service:
        service.stop()
        file = folder / "sites.yaml"
        catalogue = yaml.safe_load(file.read_text())
        lake = {"url": rucio.url, "identity": {"userpass": {}}}
        catalogue["lakes"] = [{"name": "escape", "title": "ESCAPE", "rucio": lake}]
        catalogue["sites"][0]["datalake"] = {"rse": rse}
        file.write_text(yaml.safe_dump(catalogue))
        service.restart()
        yield service
