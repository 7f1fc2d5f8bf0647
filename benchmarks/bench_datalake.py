"""Measure the first page of a large scope and of a large dataset with replicas.

Farlab's API in a Jupyter server, rucio-jupyterlab's endpoints in another one, and the plain calls
of Rucio itself take turns, on one real Rucio with PostgreSQL and memcached. The quick form has
fewer files: the extension's answer, which is the whole listing, is then nearer to a page.

    python benchmarks/bench_datalake.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

from farlab_real import rucio_seed
from farlab_real.lab import TOKEN, RunningLab
from farlab_real.postgres import RunningPostgres
from farlab_real.processes import Process, free_ports
from farlab_real.rucio_conf import ROOT_PASSWORD
from farlab_real.rucio_server import RunningRucio
from stopping import exit_on_sigterm

ROWS = 100
PATIENCE = 600.0
PEER = Path(__file__).parents[1] / ".venv-rucio-jupyterlab" / "bin" / "python"
HEADERS = {"Authorization": f"token {TOKEN}"}


def main() -> None:
    """Start everything, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds")
    quick = parser.parse_args().quick
    files, dataset, rounds = (150_000, 25_000, 3) if quick else (1_000_000, 100_000, 5)
    exit_on_sigterm()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farlab-bench-")))
        postgres = stack.enter_context(RunningPostgres())
        rucio = stack.enter_context(RunningRucio(folder / "rucio", postgres, workers=2))
        fill(rucio, files, dataset)
        lab = stack.enter_context(RunningLab(folder / "lab", lakes(rucio)))
        log_in = {"username": "root", "password": ROOT_PASSWORD}
        lab.call("PUT", "farlab/datalake/lakes/big/identity", log_in)
        measure(rucio, lab, stack.enter_context(Peer(folder / "peer", rucio)), rounds)


def fill(rucio: RunningRucio, files: int, dataset: int) -> None:
    """Register the files, all of one scope, and put some of them into a dataset."""
    rucio.admin.add_scope("big")
    rucio.admin.add_rse("VEGA", rucio.folder / "vega")
    rucio_seed.add_files(rucio, "big", "file-", files, "VEGA")
    rucio_seed.add_dataset(rucio, "big", "part", "file-", dataset)


def lakes(rucio: RunningRucio) -> dict[str, str]:
    """Return what a spawner tells a server."""
    settings = {"url": rucio.url, "identity": {"userpass": {}}}
    described = {"lakes": [{"name": "big", "title": "Big", "rucio": settings}]}
    return {"FARLAB_DATALAKE": json.dumps({**described, "here": {"lake": "big", "rse": "VEGA"}})}


class Peer:
    """rucio-jupyterlab in a Jupyter server of its own; a context manager."""

    def __init__(self, folder: Path, rucio: RunningRucio) -> None:
        folder.mkdir()
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}/rucio-jupyterlab/"
        self._status = f"http://127.0.0.1:{port}/api/status"
        instance = {"name": "big", "display_name": "Big", "rucio_base_url": rucio.url}
        instance |= {"rucio_auth_url": rucio.url, "mode": "replica", "destination_rse": "VEGA"}
        instance |= {"rse_mount_path": "/vega", "path_begins_at": 0, "wildcard_enabled": True}
        config = {"instances": [instance], "default_instance": "big"}
        config |= {"default_auth_type": "userpass"}
        (folder / "config.json").write_text(json.dumps({"RucioConfig": config}))
        command = [str(PEER), "-m", "jupyter", "server", "--no-browser", "--allow-root"]
        command += [f"--port={port}", "--ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}"]
        command += [f"--config={folder / 'config.json'}", f"--ServerApp.root_dir={folder}"]
        env = {"HOME": str(folder), "PATH": f"{PEER.parent}:/usr/bin:/bin"}
        self.process = Process(command, folder / "log", env)

    def __enter__(self) -> Peer:
        self.process.start()
        self.process.wait_until(self._answers, "rucio-jupyterlab")
        params = {"username": "root", "password": ROOT_PASSWORD, "account": "root"}
        body = {"namespace": "big", "type": "userpass", "params": params}
        httpx.put(f"{self.url}auth", headers=HEADERS, json=body, timeout=PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def _answers(self) -> bool:
        try:
            return httpx.get(self._status, headers=HEADERS).status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str, **query: str) -> Any:
        """Ask one of its endpoints; nothing that it keeps is asked for twice."""
        url = self.url + path
        answer = httpx.get(url, headers=HEADERS, params=query | {"namespace": "big"},
                           timeout=PATIENCE)  # fmt: skip
        answer.raise_for_status()
        return answer.json()


def measure(rucio: RunningRucio, lab: RunningLab, peer: Peer, rounds: int) -> None:
    """Time each listing in turns, and print the figures."""
    entries = "farlab/datalake/lakes/big/entries?limit=100&path="

    def scope_page() -> None:
        assert len(lab.call("GET", entries + "big")["entries"]) == ROWS

    def rucio_page() -> None:
        rows = rucio.admin.call("GET", f"/dids/big/dids/search?type=all&long=1&limit={ROWS}")
        assert rows

    def peer_scope() -> None:
        assert peer.get("did-search", did="big:*", type="file")

    def dataset_page() -> None:
        page = lab.call("GET", entries + "big:part")
        paths = [entry["path"] for entry in page["entries"]]
        found = lab.call("POST", "farlab/datalake/lakes/big/replicas", {"paths": paths})
        assert len(found) == ROWS

    before = psutil.Process(lab.process.pid).memory_info().rss
    ours = timed(scope_page, rounds)
    theirs = timed(rucio_page, rounds)
    show("scope_page_beyond_rucio_s", ours - theirs, "<=", 0.2)
    show("scope_page_rucio_jupyterlab_ratio", timed(peer_scope, 1) / ours, ">=", 20)
    page = timed(dataset_page, rounds)
    # Only its first answer counts: the next ones come from its own database.
    first = timed(lambda: peer.get("files", did="big:part"), 1)
    show("dataset_page_rucio_jupyterlab_ratio", first / page, ">=", 20)
    grown = psutil.Process(lab.process.pid).memory_info().rss - before
    show("memory_grown_mb", grown / 1e6, "<=", 30)


def timed(work: Callable[[], object], rounds: int) -> float:
    """Return the median of so many rounds in seconds."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def show(name: str, value: float, sign: str, goal: float) -> None:
    """Print one figure."""
    print(f"bench datalake.{name} {value:.3g} goal {sign} {goal:g}", flush=True)


if __name__ == "__main__":
    main()
