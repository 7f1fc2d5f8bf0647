"""A real Slurm on loopback, for tests, the demo and the benchmarks.

    with SlurmCluster(nodes=4, gpus=8) as slurm:
        subprocess.run([f"{slurm.bin}/sinfo"], env=os.environ | {"SLURM_CONF": str(slurm.conf)})

The daemons run below a supervising process, which is this module's script:

    python -m farlab_real.slurm --folder DIR --nodes 4 --gpus 8

It prints one line of JSON when every node is idle, and stops everything on SIGTERM, on SIGINT, or
when the process that started it ends. Several clusters can run side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

from farlab_real.running import Running
from farlab_real.slurm_conf import ClusterPaths, ClusterShape
from farlab_real.slurm_daemons import Daemons, SlurmUnavailableError, check_machine

__all__ = ["ClusterShape", "SlurmCluster", "SlurmUnavailableError", "main"]

BIN = Path("/usr/bin")


class SlurmCluster(Running):
    """A running Slurm; keyword arguments are those of ClusterShape.

    Jobs of any local account can run: without `folder` the cluster lives in a new folder below
    /tmp that others may enter, and which is removed at the end.
    """

    def __init__(self, folder: Path | None = None, **shape: Any) -> None:
        self.shape = ClusterShape(**shape)
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="farlab-slurm-"))
        self.bin = BIN
        self._supervisor: subprocess.Popen[str] | None = None

    @property
    def conf(self) -> Path:
        """The slurm.conf of this cluster; the value of SLURM_CONF."""
        return ClusterPaths(self.folder).conf

    @property
    def logs(self) -> Path:
        """The folder with the logs of slurmctld and of every slurmd."""
        return ClusterPaths(self.folder).logs

    @property
    def env(self) -> dict[str, str]:
        """This process's environment with SLURM_CONF set to this cluster."""
        return {**os.environ, "SLURM_CONF": str(self.conf)}

    def start(self) -> Self:
        """Start the cluster and return when every node is idle."""
        try:
            check_machine(accounting=self.shape.accounting)
            self._supervisor = self._supervise()
            self._answer("slurm_conf")
        except BaseException:
            self.stop()
            raise
        return self

    def _supervise(self) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "farlab_real.slurm", "--folder", str(self.folder)]
        for name, value in asdict(self.shape).items():
            text = str(int(value) if isinstance(value, bool) else value)
            argv += [f"--{name.replace('_', '-')}", text]
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            start_new_session=True,
        )

    def _answer(self, key: str) -> Any:
        assert self._supervisor is not None
        assert self._supervisor.stdout is not None
        line = self._supervisor.stdout.readline()
        answer = json.loads(line) if line else {"error": "the supervisor of the test Slurm ended"}
        if key not in answer:
            raise RuntimeError(answer["error"])
        return answer[key]

    def stop(self) -> None:
        """Cancel all jobs, stop all daemons, leave no process and (if it is ours) no folder."""
        if self._supervisor is not None:
            self._supervisor.terminate()
            self._supervisor.communicate()
            self._supervisor = None
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *argv: str, check: bool = True, timeout: float = 60) -> str:
        """Run one of Slurm's commands as this user and return what it printed."""
        done = subprocess.run(
            argv, env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def _tell(self, order: str, daemon: str) -> None:
        assert self._supervisor is not None
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.write(json.dumps({"order": order, "daemon": daemon}) + "\n")
        self._supervisor.stdin.flush()
        self._answer("done")

    def freeze(self, daemon: str = "slurmctld") -> None:
        """Stop a daemon with SIGSTOP: it neither answers nor ends. Any daemon by its name."""
        self._tell("freeze", daemon)

    def thaw(self, daemon: str = "slurmctld") -> None:
        """Let a frozen daemon go on."""
        self._tell("thaw", daemon)

    def kill(self, daemon: str = "slurmctld") -> None:
        """Kill a daemon with SIGKILL."""
        self._tell("kill", daemon)

    def restart(self, daemon: str = "slurmctld") -> None:
        """Start a daemon that was killed; returns before it answers."""
        self._tell("start", daemon)


def serve(daemons: Daemons, starter: int) -> None:
    """Carry out orders from stdin until told to stop or the starting process is gone."""
    inputs = [sys.stdin.fileno()]
    while not daemons.stop.is_set() and os.getppid() == starter:
        daemons.reap()
        ready, _, _ = select.select(inputs, [], [], 0.2)
        if not ready:
            continue
        line = sys.stdin.readline()
        if not line:  # a script's stdin may be closed or /dev/null: then there are no orders
            inputs = []
            continue
        _print(_obey(daemons, json.loads(line)))


def _obey(daemons: Daemons, message: dict[str, str]) -> dict[str, str]:
    name = message["daemon"]
    orders: dict[str, Callable[[], None]] = {
        "freeze": lambda: daemons.signal(name, signal.SIGSTOP),
        "thaw": lambda: daemons.signal(name, signal.SIGCONT),
        "kill": lambda: daemons.signal(name, signal.SIGKILL),
        "start": lambda: daemons.start(name),
    }
    orders[message["order"]]()
    return {"done": message["order"]}


def _print(answer: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="farlab_real.slurm", description="a Slurm for tests")
    parser.add_argument("--folder", type=Path, required=True)
    for field in fields(ClusterShape):
        kind = int if isinstance(field.default, int) else str
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a cluster until told to stop; prints where its slurm.conf is once all nodes are idle."""
    options = vars(_arguments(argv))
    folder = options.pop("folder").resolve()
    try:
        check_machine(accounting=bool(options["accounting"]))
    except SlurmUnavailableError as error:
        _print({"error": str(error)})
        return 1
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    starter = os.getppid()
    daemons = Daemons(folder, ClusterShape(**options), stop)
    try:
        daemons.start_all()
        _print({"slurm_conf": str(daemons.paths.conf), "bin": str(BIN)})
        serve(daemons, starter)
    except RuntimeError as error:
        _print({"error": str(error)})
        return 1
    finally:
        daemons.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
