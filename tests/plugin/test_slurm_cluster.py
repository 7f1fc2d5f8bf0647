"""The Slurm that other tests stand on: several side by side, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from farlab_real import slurm, slurm_daemons
from farlab_real.plugin_pods import kill_all, processes_with
from farlab_real.slurm import ClusterShape, SlurmCluster, SlurmUnavailableError
from farlab_real.slurm_jobs import WAIT

SMALL = {"nodes": 1, "gpus": 2, "cpu_nodes": 1, "quantum_nodes": 0}
STUBBORN = "trap '' TERM; while :; do sleep 1; done"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="farlab-slurm-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
        kill_all(processes_with(name))


def wait_until_gone(folder: Path) -> None:
    deadline = time.monotonic() + WAIT
    while left := processes_with(str(folder)):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_two_clusters_do_not_see_each_other() -> None:
    with SlurmCluster(**SMALL) as one, SlurmCluster(**SMALL) as other:
        one.run("sbatch", "--output=/dev/null", f"--wrap={STUBBORN}", "--job-name=mine")
        assert "mine" in one.run("squeue", "--format=%j")
        assert "mine" not in other.run("squeue", "--format=%j")
        names = {part.split()[0] for part in one.run("sinfo", "-h", "-o", "%P").splitlines()}
        assert names == {"gpu", "cpu*"}
    assert not one.folder.exists()
    for cluster in (one, other):
        assert processes_with(str(cluster.folder)) == []


def test_a_job_that_ignores_signals_goes_with_the_cluster() -> None:
    with SlurmCluster(**SMALL, kill_wait=2) as cluster:
        mark = cluster.folder / "runs"
        script = f"touch {mark}; {STUBBORN}"
        cluster.run("sbatch", "--output=/dev/null", f"--wrap={script}")
        deadline = time.monotonic() + WAIT
        while not mark.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert processes_with(str(cluster.folder)) == []


def test_the_script_says_where_it_is_and_stops_on_a_signal(folder: Path) -> None:
    argv = [sys.executable, "-m", "farlab_real.slurm", "--folder", str(folder), "--nodes", "1"]
    env = {**os.environ, "PYTHONPATH": str(Path(slurm.__file__).parents[1])}
    script = subprocess.Popen(
        [*argv, "--gpus", "8"],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=env,
        text=True,
        start_new_session=True,
    )
    assert script.stdout is not None
    answer = json.loads(script.stdout.readline())
    asked = {**os.environ, "SLURM_CONF": answer["slurm_conf"]}
    sinfo = [f"{answer['bin']}/sinfo", "-h", "-o", "%P %G"]
    told = subprocess.run(sinfo, env=asked, capture_output=True, text=True, check=True)
    assert "gpu gpu:a100:8" in told.stdout
    script.send_signal(signal.SIGTERM)
    assert script.wait(WAIT) == 0
    assert processes_with(str(folder)) == []


def test_a_cluster_ends_with_the_process_that_started_it(folder: Path) -> None:
    code = (
        "import sys, pathlib; from farlab_real.slurm import SlurmCluster\n"
        f"SlurmCluster(pathlib.Path({str(folder)!r}), nodes=1, cpu_nodes=0).start()\n"
        "print('up', flush=True); sys.stdin.read()"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(slurm.__file__).parents[1])}
    starter = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=env
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"up\n"
    assert processes_with(str(folder))
    starter.kill()
    starter.communicate()
    wait_until_gone(folder)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_daemons, "SEARCH", "/nowhere")
    with pytest.raises(SlurmUnavailableError, match=r"slurmctld.* not found; run: apt-get install"):
        SlurmCluster().start()


def test_other_users_need_not_be_root_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SlurmUnavailableError, match="needs root"):
        slurm_daemons.check_machine()


def test_a_cluster_of_one_kind_of_node_has_one_partition() -> None:
    shape = ClusterShape(nodes=3, gpus=1, cpu_nodes=0, quantum_nodes=0)
    assert shape.node_names() == ["g1", "g2", "g3"]
    with SlurmCluster(nodes=0, cpu_nodes=1, quantum_nodes=0) as cluster:
        assert cluster.run("sinfo", "-h", "-o", "%P %D").split() == ["cpu*", "1"]
