"""Probes and hooks: each look at a container is a child process with a time limit."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from farlab_sites.plugin.job.processes import fresh_session, kill_group

Start = Callable[[dict[str, Any]], int]
"""Starts an action of pod.json beside its container, and returns the process id."""


def start_action(action: dict[str, Any], env: dict[str, str], cwd: str) -> int:
    """Start an action; its process ends with 0 if it went well."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        fresh_session()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        if "exec" in action:
            os.chdir(cwd)
            os.execvpe(action["exec"][0], action["exec"], env)  # noqa: S606 - a list of words
        code = 0 if _well(action, env) else 1
    finally:  # whatever happens, this process never goes on as a second runner
        os._exit(code)


def _well(action: dict[str, Any], env: dict[str, str]) -> bool:
    while "until" in action:  # a container engine takes a while to make a container
        if not subprocess.run(action["until"], env=env, check=False).returncode:
            return True
        time.sleep(0.2)
    if "sleep" in action:
        time.sleep(action["sleep"])
        return True
    if "tcp" in action:
        with socket.create_connection((action["tcp"]["host"], action["tcp"]["port"]), timeout=60):
            return True
    return 200 <= _http_status(action["http"]) < 400


def _http_status(wanted: dict[str, Any]) -> int:
    """Return the status of an answer; as in Kubernetes any certificate will do."""
    # Imported here: they take as long as the rest of the runner, and few pods have such probes.
    import http.client  # noqa: PLC0415
    import ssl  # noqa: PLC0415

    place = (wanted["host"], wanted["port"])
    if wanted["scheme"] == "HTTPS":
        context = ssl._create_unverified_context()  # noqa: S323 - see above
        client: http.client.HTTPConnection = http.client.HTTPSConnection(*place, context=context)
    else:
        client = http.client.HTTPConnection(*place)
    client.request("GET", wanted["path"], headers=dict(wanted["headers"]))
    return client.getresponse().status


class Probe:
    """One probe of one container: looks again and again while the container runs."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.begin()

    def begin(self) -> None:
        """Forget what was: the container has just started."""
        self.pid = 0
        self.next_at = time.monotonic() + self.spec["delay"]
        self.until = 0.0
        self.good = self.bad = 0
        self.passed: bool | None = None  # None: no verdict yet

    def look(self, start: Start) -> None:
        """Start a look when it is time for one; end one that takes too long."""
        now = time.monotonic()
        if self.pid and now > self.until:
            kill_group(self.pid)  # its end counts as a failure
        elif not self.pid and now >= self.next_at:
            self.pid = start(self.spec["action"])
            self.until = now + self.spec["timeout"]
            self.next_at = now + self.spec["period"]

    def seen(self, well: bool) -> None:
        """Count the outcome of a look."""
        self.pid = 0
        self.good, self.bad = (self.good + 1, 0) if well else (0, self.bad + 1)
        if self.good >= self.spec["successes"]:
            self.passed = True
        elif self.bad >= self.spec["failures"]:
            self.passed = False
