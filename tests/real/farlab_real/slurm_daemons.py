"""The daemons of a test Slurm, all children of one supervising process.

The supervisor is a child subreaper: slurmstepd and the jobs, which detach themselves from slurmd,
stay its descendants, so that nothing outlives it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from farlab_real import mariadb
from farlab_real.slurm_conf import ClusterPaths, ClusterShape, write_files

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
INSTALL = "apt-get install slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge"
NEEDED_TO_ACCOUNT = ("slurmdbd", "mariadbd", "sacctmgr")
INSTALL_TO_ACCOUNT = "apt-get install slurmdbd slurm-wlm-mysql-plugin mariadb-server-core"
PR_SET_CHILD_SUBREAPER = 36
START = 120.0  # seconds; long, for a slow machine
ATTEMPTS = 3
SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin"


class SlurmUnavailableError(RuntimeError):
    """This machine can't run a Slurm of its own; the message says what is missing."""


class DaemonEndedError(RuntimeError):
    """A daemon did not stay up; the message holds its last words."""


def check_machine(*, accounting: bool = False) -> None:
    """Raise SlurmUnavailableError when a program is missing or this is not root."""
    missing = [name for name in NEEDED if shutil.which(name, path=SEARCH) is None]
    if missing:
        raise SlurmUnavailableError(f"{', '.join(missing)} not found; run: {INSTALL}")
    if accounting:
        missing = [name for name in NEEDED_TO_ACCOUNT if shutil.which(name, path=SEARCH) is None]
        if missing:
            raise SlurmUnavailableError(
                f"{', '.join(missing)} not found; run: {INSTALL_TO_ACCOUNT}"
            )
    if os.geteuid() != 0:
        raise SlurmUnavailableError(
            "a Slurm that runs jobs of several accounts needs root; run this as root"
        )


class Daemons:
    """munged, slurmctld and one slurmd per node, started and stopped by this process."""

    def __init__(self, folder: Path, shape: ClusterShape, stop: threading.Event) -> None:
        self.stop = stop
        self.paths = ClusterPaths(folder)
        self.shape = shape
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.env = {"PATH": SEARCH, "SLURM_CONF": str(self.paths.conf), "LANG": "C.UTF-8"}
        self.env |= self.paths.dbd.env

    def start_all(self) -> None:
        """Start everything and return when every node is idle."""
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for left in reversed(range(ATTEMPTS)):
            try:
                return self._start_once()
            except DaemonEndedError:  # someone may have taken its port just now
                if not left or self.stop.is_set():
                    raise
                self.stop_all()

    def _start_once(self) -> None:
        write_files(self.paths, self.shape)
        self.start("munged")
        self._wait_for(self.paths.munge_socket.exists, "munged's socket")
        if self.shape.accounting:
            self._start_accounting()
        self.start("slurmctld")
        for name in self.shape.node_names():
            self.start(f"slurmd {name}")
        self._wait_for(self._all_idle, "idle nodes")

    def _start_accounting(self) -> None:
        """Start the database and slurmdbd, and tell it of the cluster: root has an account then."""
        folder = self.paths.dbd.database
        shutil.rmtree(folder, ignore_errors=True)
        mariadb.prepare(folder, shutil.which("mariadbd", path=SEARCH) or "mariadbd")
        self.start("mariadbd")
        self._wait_for(mariadb.socket_path(folder).exists, "MariaDB's socket")
        self.start("slurmdbd")
        self._wait_for(lambda: self._sacctmgr("list", "cluster"), "slurmdbd")
        self._sacctmgr("add", "cluster", "farlab")

    def _sacctmgr(self, *argv: str) -> bool:
        """Tell slurmdbd something; False when it does not answer."""
        self._fail_on_ended()
        return bool(self.run("sacctmgr", "--immediate", "--verbose", *argv))

    def start(self, name: str) -> None:
        """Start one daemon: `munged`, `mariadbd`, `slurmdbd`, `slurmctld` or `slurmd NODE`."""
        if name in self.running and self.running[name].poll() is None:
            return
        log = self.paths.logs / f"{name.replace(' ', '-')}.out"
        with log.open("ab") as out:
            self.running[name] = subprocess.Popen(
                self._argv(name), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env
            )

    def _argv(self, name: str) -> list[str]:
        kind, _, node = name.partition(" ")
        program = shutil.which(kind, path=SEARCH) or kind
        if kind == "munged":
            return self._munged_argv(program)
        if kind == "mariadbd":
            return mariadb.argv(self.paths.dbd.database, program)
        if kind == "slurmdbd":
            return [program, "-D"]
        if kind == "slurmctld":
            return [program, "-D", "-f", str(self.paths.conf)]
        return [program, "-D", "-N", node, "-f", str(self.paths.conf)]

    def _munged_argv(self, program: str) -> list[str]:
        private, public = self.paths.munge_key.parent, self.paths.munge_socket.parent
        files = {
            "key-file": self.paths.munge_key,
            "socket": self.paths.munge_socket,
            "pid-file": public / "munged.pid",
            "log-file": private / "munged.log",
            "seed-file": private / "munged.seed",
        }
        options = [f"--{option}={path}" for option, path in files.items()]
        return [program, "--foreground", "--force", "--num-threads=4", *options]

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one daemon and, when it is SIGKILL, wait for its end."""
        process = self.running[name]
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()

    def reap(self) -> None:
        """Take the exit status of daemons and orphaned steps that ended meanwhile."""
        ours = {process.pid: process for process in self.running.values()}
        for pid in _children(os.getpid()):
            if pid in ours:
                ours[pid].poll()
            else:
                _reap(pid)

    def run(self, *argv: str, limit: float = 20) -> str:
        """Run one of Slurm's commands and return what it printed; empty when it failed."""
        try:
            done = subprocess.run(
                argv, env=self.env, capture_output=True, text=True, timeout=limit, check=True
            )
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            return ""
        return done.stdout

    def _all_idle(self) -> bool:
        self._fail_on_ended()
        states = self.run("sinfo", "-h", "-N", "-o", "%N %t").split("\n")
        idle = {line.split()[0] for line in states if line.endswith(" idle")}
        return idle >= set(self.shape.node_names())

    def _fail_on_ended(self) -> None:
        for name, process in self.running.items():
            if process.poll() is not None:
                raise DaemonEndedError(f"{name} ended at once: {self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        lines = (self.paths.logs / f"{name.replace(' ', '-')}.out").read_text().splitlines()
        return " | ".join(lines[-5:])

    def _wait_for(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START
        while not done():
            if time.monotonic() > deadline:
                raise RuntimeError(f"no {what} within {START:.0f} s; see {self.paths.logs}")
            if self.stop.wait(0.05):
                raise RuntimeError("told to stop while starting")

    def stop_all(self) -> None:
        """Cancel every job, wait for the steps, stop the daemons, kill whatever is left."""
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
        if "slurmctld" in self.running and self.running["slurmctld"].poll() is None:
            self._end_jobs()
        for kind in ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            self._terminate([p for name, p in self.running.items() if name.split()[0] == kind])
        kill_descendants()
        self.running.clear()

    def _end_jobs(self, wait: float = 15) -> None:
        """Cancel all jobs; those that ignore it are killed by Slurm, or in the end by us."""
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            jobs = self.run("squeue", "-h", "-t", "all", "-o", "%A %T", limit=5).split("\n")
            live = [line.split()[0] for line in jobs if line and not _ended(line.split()[1])]
            if not live:
                return
            self.run("scancel", *live, limit=5)
            time.sleep(0.2)

    def _terminate(self, processes: list[subprocess.Popen[bytes]], wait: float = 5) -> None:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + wait
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ended(state: str) -> bool:
    return state not in {"PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING"}


def kill_descendants() -> None:
    """Kill and reap every descendant of this process until there is none."""
    while children := _children(os.getpid()):
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                continue


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    lists = [(task / "children").read_text().split() for task in tasks.iterdir()]
    return [int(child) for children in lists for child in children]


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
