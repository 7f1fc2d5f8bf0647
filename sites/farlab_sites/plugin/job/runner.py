"""Runs the containers of one pod, one after the other or side by side, and says how they are."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farlab_sites.plugin.job.container import Container
from farlab_sites.plugin.job.measuring import Meter
from farlab_sites.plugin.job.processes import (
    SIGNALS,
    STOPS,
    descendants,
    end_all,
    fresh_session,
    node_name,
    oom_kills,
    private_memory,
    run_quietly,
    signal_quietly,
    write_atomically,
)

TICK = 0.5  # seconds between looks at logs and clocks; ends of processes are noticed at once
MEMORY_TICK = 3.0  # seconds between looks at the memory of every process of the pod
PR_SET_CHILD_SUBREAPER = 36
GRACE = "grace"  # a file with the seconds that whoever deletes the pod leaves it


class Runner:
    """Runs one pod to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pod: dict[str, Any] = json.loads((folder / "pod.json").read_text())
        make_folders(folder, self.pod["volumes"])
        self.init = [Container(spec, folder, init=True) for spec in self.pod["init"]]
        self.main = [Container(spec, folder, init=False) for spec in self.pod["containers"]]
        self.began = time.monotonic()
        self.limit: float | None = self.pod["walltime"]  # seconds from the beginning
        self.deadline = self._deadline()
        self.stopped: tuple[str, str] | None = None  # reason, message
        self.memory_at = 0.0
        self.oom_before = oom_kills()
        self.meter = Meter()
        self.closing = False  # the main containers have ended

    def _deadline(self) -> int | None:
        """Return the epoch second at which the pod must end."""
        ends = [int(time.time() + self.limit)] if self.limit else []
        if os.environ.get("SLURM_JOB_END_TIME", "").isdigit():
            ends.append(int(os.environ["SLURM_JOB_END_TIME"]))
        return min(ends) if ends else None

    @property
    def everything(self) -> tuple[Container, ...]:
        """All containers, in their order."""
        return (*self.init, *self.main)

    def run(self) -> int:
        """Run everything; return the exit code for the job."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.write()
        if self._initialise():
            for container in self.main:
                self.start(container)
        self.wait(lambda: not any(container.alive for container in self.main))
        self._end_sidecars()
        self.meter.look()
        self.sweep()
        self.meter.look()
        self.write(ended=True)
        codes = [c.report.get("exit_code", 0) for c in self.everything if not c.sidecar]
        return next((code for code in codes if code), 0)

    def _initialise(self) -> bool:
        """Run the init containers one by one; False when one failed and so the pod has."""
        for container in self.init:
            self.start(container)
            if container.sidecar:
                self._wait_for_start(container)
                continue
            self._wait_for_end(container)
            if container.report["exit_code"]:
                self._skip(f"init container {container.name} failed: see its log")
                return False
        return True

    def _end_sidecars(self) -> None:
        """End the containers that only serve the others, the last one first."""
        self.closing = True
        for container in reversed(self.init):
            if container.restart_at is not None:
                self._give_up(container)
            container.end(self.pod["grace"], "Completed", "The other containers have ended.")
            self._wait_for_end(container)

    def _wait_for_start(self, container: Container) -> None:
        self.wait(lambda: not container.alive or container.report["started"])

    def _wait_for_end(self, container: Container) -> None:
        self.wait(lambda: not container.alive)

    def _skip(self, why: str) -> None:
        for container in self.everything:
            if container.report["state"] == "waiting":
                container.ended(1, "Error", f"not started: {why}")

    def write(self, ended: bool = False) -> None:
        """Publish how the containers are."""
        status = {
            "node": node_name(),
            "deadline": self.deadline,
            "ended": ended,
            "usage": self.meter.report(),
            "containers": {c.name: c.report for c in self.everything},
        }
        try:
            write_atomically(self.folder / "status.json", json.dumps(status))
        except OSError as error:  # a full disk: the containers go on
            sys.stderr.write(f"farlab: cannot write status.json: {error.strerror}\n")

    def environment(self, spec: dict[str, Any]) -> dict[str, str]:
        """Return the environment for a container's first process."""
        env = {"PATH": os.defpath, "HOME": str(self.folder)}
        with contextlib.suppress(KeyError):  # a number without a name, as in some containers
            user = pwd.getpwuid(os.getuid())
            env.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
            env["SHELL"] = user.pw_shell or "/bin/sh"
        env.update(os.environ)
        if not Path(env["HOME"]).is_dir():
            env["HOME"] = str(self.folder)
        env.update(json.loads((self.folder / "env" / f"{spec['name']}.json").read_text()))
        if spec["path"]:
            env["PATH"] = spec["path"] + os.pathsep + env["PATH"]
        facts = {
            "FARLAB_POD_UID": self.pod["uid"],
            "FARLAB_NODE": node_name(),
            "FARLAB_JOB_ID": json.loads((self.folder / "started").read_text())["job_id"],
        }
        if self.deadline:
            facts["FARLAB_DEADLINE"] = str(self.deadline)
        env.update(facts)
        # Apptainer hands a variable on under another name.
        names = [*facts, *(name for name in self.pod["forward"] if name in os.environ)]
        env.update({spec["env_prefix"] + name: env[name] for name in names})
        return env

    def start(self, container: Container) -> None:
        """Start a container, or note why it cannot be started."""
        if self.stopped:
            container.ended(143, *self.stopped)
            return
        if "last" in container.report:
            container.keep_log()
        spec, env = container.spec, self.environment(container.spec)
        cwd = spec["cwd"] or env["HOME"]
        argv = [*limits(spec["launcher"]), *spec["argv"]]
        program = shutil.which(argv[0], path=env["PATH"])
        try:
            with container.log.open("ab") as log:
                child = subprocess.Popen(
                    [program or argv[0], *argv[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=env,
                    cwd=cwd,
                    preexec_fn=fresh_session,  # noqa: PLW1509 - there is one thread
                )
        except (OSError, subprocess.SubprocessError) as error:
            container.ended(127, "StartError", self._why_not(spec, env, error))
        else:
            child.returncode = 0  # reaped here, not by subprocess
            container.started(child.pid, env, cwd)
        self.write()

    @staticmethod
    def _why_not(spec: dict[str, Any], env: dict[str, str], error: Exception) -> str:
        cwd = spec["cwd"] or env["HOME"]
        if not Path(cwd).is_dir():
            return f"cannot start in the folder {cwd}: it does not exist on {node_name()}"
        program = (spec["launcher"] or spec["argv"])[0]
        why = getattr(error, "strerror", error)
        hint = f"; looked in {env['PATH']}" if "/" not in program else ""
        return f"cannot start {program} on {node_name()}: {why}{hint}"

    def wait(self, done: Callable[[], bool]) -> None:
        """Look after every container until `done()`."""
        while not done():
            found = signal.sigtimedwait(SIGNALS, TICK)
            if found and found.si_signo in STOPS:
                self._told_to_stop()
            self.reap()
            self.check_limits()
            if self.meter.due:
                self.meter.look()
                self.write()
            for container in self.everything:
                self._tend(container)

    def _tend(self, container: Container) -> None:
        container.note_growth()
        container.tend(self.pod["grace"])
        if container.restart_at is not None:
            if self.stopped:
                self._give_up(container)
            elif time.monotonic() >= container.restart_at:
                container.restart_at = None
                self.start(container)
        if container.running and container.judge():
            self.write()

    @staticmethod
    def _give_up(container: Container) -> None:
        """Let a container that waits for its restart be as its last run has left it."""
        last = container.report["last"]
        container.ended(last["exit_code"], last["reason"], last["message"])

    def _told_to_stop(self) -> None:
        # A batch system warns shortly before the walltime with the same signal.
        if self.deadline and time.time() > self.deadline - 60:
            why = ("DeadlineExceeded", "The walltime of the job was over.")
        else:
            why = ("Cancelled", "The job was cancelled.")
        self.stop(*why, self._grace_left())

    def _grace_left(self) -> float:
        own = float(self.pod["grace"])
        with contextlib.suppress(OSError, ValueError):
            return min(own, float((self.folder / GRACE).read_text()))
        return own

    def reap(self) -> None:
        """Collect every process that ended; the pod's orphans end up here too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            for container in self.everything:
                if container.running and container.pid == pid:
                    self._note_end(container, code)
                elif container.child_ended(pid, code, self.pod["grace"]):
                    break

    def _note_end(self, container: Container, code: int) -> None:
        signal_quietly(container.pid, signal.SIGKILL, group=True)
        exit_code = 128 - code if code < 0 else code
        self._say_end(container, code, exit_code)
        if self._wanted_again(container, exit_code):
            container.again()
        self.write()

    def _wanted_again(self, container: Container, exit_code: int) -> bool:
        """Tell whether a container that ended is to run once more, as its pod's policy says."""
        if self.stopped or self.closing:
            return False
        if container.sidecar:
            return True
        policy = self.pod["restart"]
        if container.report["init"] or policy == "OnFailure":
            return bool(exit_code) and policy != "Never"
        return bool(policy == "Always")

    def _say_end(self, container: Container, code: int, exit_code: int) -> None:
        if self.stopped:
            container.ended(exit_code or 143, *self.stopped)
        elif container.ending:
            asked = self.closing and code < 0  # a sidecar that ended as it was told to
            container.ended(0 if asked else exit_code, *container.ending)
        elif code == 0:
            container.ended(0, "Completed")
        elif exit_code == 137 and oom_kills() > self.oom_before:
            container.ended(137, "OOMKilled", "The machine ran out of memory.")
        elif code < 0:
            name = signal.Signals(-code).name
            container.ended(exit_code, "Error", f"Ended by signal {-code} ({name}).")
        else:
            container.ended(exit_code, "Error", f"Ended with exit code {exit_code}.")

    def stop(self, reason: str, message: str, grace: float) -> None:
        """Ask every container to end; those that do not are killed after the grace time."""
        if self.stopped:
            return
        self.stopped = (reason, message)
        for container in self.everything:
            container.end(grace, reason, message)

    def check_limits(self) -> None:
        """Act on the clock and on the memory in use."""
        now = time.monotonic()
        if self.limit and now - self.began > self.limit:
            over = f"The walltime of {duration(self.limit)} was over."
            self.stop("DeadlineExceeded", over, self.pod["grace"])
        if self.pod["memory"] and now > self.memory_at and not self.stopped:
            self.memory_at = now + MEMORY_TICK
            used = private_memory(descendants(os.getpid()))
            if used > self.pod["memory"]:
                # At once: waiting would take memory from the others.
                self.stop("OOMKilled", over_memory(used, self.pod["memory"]), 0)

    def sweep(self) -> None:
        """End whatever the containers left behind, in other sessions too."""
        for container in self.everything:
            container.note_growth()
            if container.pid:
                run_quietly(container.spec["cleanup"])
        end_all(lambda: descendants(os.getpid()), self.reap)


def make_folders(folder: Path, volumes: dict[str, list[str]]) -> None:
    """Make what is missing below the job's folder, which stays private to the account.

    Users inside a container may be others than the account: they read in every volume, and write
    where the pod's volume starts empty.
    """
    (folder / "logs").mkdir(exist_ok=True)
    for name in (*volumes["filled"], *volumes["empty"]):
        (folder / "volumes" / name).mkdir(parents=True, exist_ok=True)
    for place, _, _ in os.walk(folder / "volumes"):
        Path(place).chmod(0o755)
    for name in volumes["empty"]:
        (folder / "volumes" / name).chmod(0o777)


def duration(seconds: float) -> str:
    """Return seconds as H:MM:SS."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"


def over_memory(used: int, limit: int) -> str:
    """Say that a pod used too much memory."""
    mib = 1 << 20
    return f"The job used {used // mib} MiB of memory; its limit is {limit // mib} MiB."


def limits(launcher: list[str]) -> list[str]:
    """Give a container the limits that this process has: engines ask for more and then fail."""
    highest = int(Path("/proc/sys/kernel/pid_max").read_text())  # podman lowers nproc to it
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    pair = [min(n % (1 << 64), highest) for n in resource.getrlimit(resource.RLIMIT_NPROC)]
    text = {"nofile": "nofile={}:{}".format(*files), "nproc": "nproc={}:{}".format(*pair)}
    return [text.get(word[1:-1], word) if word[:1] == "{" else word for word in launcher]
