"""One container of a pod: how it is, its probes and hooks, and how it is brought to its end."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from typing import Any

from farlab_sites.plugin.job.checks import Probe, start_action
from farlab_sites.plugin.job.processes import kill_group, signal_quietly

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0  # seconds before a restart, after the first one
BEGINNING = ("arrival", "post_start")  # what comes before probes look
CALM = 600.0  # seconds after which a container that ran is not held to be crashing


class Container:
    """A container; its process is started by the runner."""

    def __init__(self, spec: dict[str, Any], folder: Path, init: bool) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.sidecar: bool = spec["sidecar"]
        self.log = folder / "logs" / f"{self.name}.log"
        self.pid = 0
        self.size = 0
        self.env: dict[str, str] = {}
        self.cwd = ""
        self.probes = {kind: Probe(probe) for kind, probe in spec["probes"].items()}
        self.hook = ""  # which hook runs now
        self.hook_pid = 0
        self.ending: tuple[str, str] | None = None  # why it is being ended: reason, message
        self.kill_at: float | None = None
        self.restart_at: float | None = None
        self.report: dict[str, Any] = {"init": init, "state": "waiting", "restarts": 0}

    @property
    def running(self) -> bool:
        """Tell whether its main process is alive."""
        return bool(self.report["state"] == "running")

    @property
    def alive(self) -> bool:
        """Tell whether it runs or will run again."""
        return self.running or self.restart_at is not None

    def started(self, pid: int, env: dict[str, str], cwd: str) -> None:
        """Note that it runs; `env` and `cwd` are what its probes and hooks get too."""
        self.pid, self.env, self.cwd = pid, env, cwd
        if "last" in self.report:
            self.report["restarts"] += 1
        self.ending = self.kill_at = self.restart_at = None
        self.report.update(state="running", started_at=time.time())
        if self.spec["arrival"] and (self.probes or self.spec["hooks"]):
            self._start_hook("arrival", {"until": self.spec["arrival"]})
        else:
            self._arrived()
        self.judge()

    def _arrived(self) -> None:
        """Begin to look after it: it runs now, where before it was perhaps only being made."""
        for probe in self.probes.values():
            probe.begin()
        self._run_hook("post_start")

    def ended(self, code: int, reason: str, message: str = "") -> None:
        """Note how it ended."""
        self.report.setdefault("started_at", time.time())
        self.report.update(
            state="terminated",
            finished_at=time.time(),
            exit_code=code,
            reason=reason,
            message=message,
        )
        self.restart_at = None
        self.report.update(ready=self.report["init"] and code == 0, started=False)
        for pid in (self.hook_pid, *(probe.pid for probe in self.probes.values())):
            if pid:
                kill_group(pid)
        self.hook = ""

    def again(self) -> None:
        """Note that it will run again: at once the first time, later after ever longer pauses."""
        last = ("exit_code", "reason", "message", "started_at", "finished_at")
        self.report["last"] = {key: self.report.pop(key) for key in last}
        ran = self.report["last"]["finished_at"] - self.report["last"]["started_at"]
        times = 0 if ran > CALM else self.report["restarts"]
        pause = min(FIRST_PAUSE * 2 ** min(times - 1, 8), LONGEST_PAUSE) if times else 0.0
        self.restart_at = time.monotonic() + pause
        self.report.update(
            state="waiting",
            reason="CrashLoopBackOff",
            message=f"back-off {pause:.0f}s restarting failed container={self.name}",
            ready=False,
        )

    def keep_log(self) -> None:
        """Put the output of the run before aside: the log is that of the one that starts now."""
        for suffix in (".log", ".times"):
            with contextlib.suppress(OSError):
                self.log.with_suffix(suffix).replace(
                    self.log.with_name(f"{self.name}.previous{suffix}")
                )
        self.size = 0

    def note_growth(self) -> None:
        """Write down when its output grew, for those who read the log by time."""
        with contextlib.suppress(OSError):  # the user may do with the file as they like
            size = self.log.lstat().st_size
            if size > self.size:
                self.size = size
                with self.log.with_suffix(".times").open("a") as file:
                    file.write(f"{size} {time.time():.3f}\n")

    def tend(self, grace: float) -> None:
        """Look after it while it runs: probes, and the kill when it does not end in time."""
        if not self.running:
            return
        if self.kill_at is not None:
            if time.monotonic() >= self.kill_at:
                kill_group(self.pid)
            return
        if self.hook in BEGINNING:
            return
        started = self._look("startup") is not False
        if self._given_up("startup", grace) or not started:
            return
        self._look("readiness")
        self._look("liveness")
        self._given_up("liveness", grace)

    def _look(self, kind: str) -> bool | None:
        """Let a probe look, and return its verdict; False where it has none yet."""
        probe = self.probes.get(kind)
        if probe is None:
            return None
        if not (kind == "startup" and probe.passed):
            probe.look(lambda action: start_action(action, self.env, self.cwd))
        return bool(probe.passed)

    def _given_up(self, kind: str, grace: float) -> bool:
        probe = self.probes.get(kind)
        if probe is None or probe.passed is not False:
            return False
        own = probe.spec["grace"]
        message = f"The {kind} probe failed {probe.bad} times in a row."
        self.end(grace if own is None else own, "Error", message)
        return True

    def judge(self) -> bool:
        """Say in the report whether it has started and is ready; return whether that is news."""
        before = self.report.get("started"), self.report.get("ready")
        begun = self.running and self.hook not in BEGINNING
        started = begun and self._verdict("startup")
        self.report.update(started=started, ready=started and self._verdict("readiness"))
        return before != (self.report["started"], self.report["ready"])

    def _verdict(self, kind: str) -> bool:
        probe = self.probes.get(kind)
        return probe is None or probe.passed is True

    def child_ended(self, pid: int, code: int, grace: float) -> bool:
        """Take the end of a probe's or a hook's process; False when it is none of this one's."""
        for probe in self.probes.values():
            if probe.pid == pid:
                probe.seen(code == 0)
                return True
        if not self.hook_pid or self.hook_pid != pid:
            return False
        hook, self.hook, self.hook_pid = self.hook, "", 0
        if hook == "pre_stop" and self.running:
            signal_quietly(self.pid, signal.SIGTERM, group=True)
        elif hook == "arrival" and self.running:
            self._arrived()
        elif hook == "post_start" and code and self.running:
            self.end(grace, "Error", f"The postStart hook failed with exit code {code}.")
        elif hook == "post_start":
            for probe in self.probes.values():
                probe.begin()
        return True

    def end(self, grace: float, reason: str, message: str) -> None:
        """Ask it to end: the preStop hook, then SIGTERM; it is killed after the grace time."""
        if not self.running:
            return
        kill_at = time.monotonic() + grace
        if self.kill_at is not None:  # it is being ended already: perhaps less time is left now
            self.kill_at = min(self.kill_at, kill_at)
            return
        self.ending, self.kill_at = (reason, message), kill_at
        if not self._run_hook("pre_stop"):
            signal_quietly(self.pid, signal.SIGTERM, group=True)

    def _run_hook(self, name: str) -> bool:
        action = self.spec["hooks"].get(name)
        if action is not None:
            self._start_hook(name, action)
        return action is not None

    def _start_hook(self, name: str, action: dict[str, Any]) -> None:
        if self.hook_pid:
            kill_group(self.hook_pid)
        self.hook, self.hook_pid = name, start_action(action, self.env, self.cwd)
