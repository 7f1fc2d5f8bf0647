"""Debian's Prometheus on loopback: with a history written by promtool, or scraping live targets.

history = History()
history.add("kube_pod_created", {"uid": "1"}, [(1790000000, 1.0)])
with RunningPrometheus(folder, history=history) as server: server.url
with RunningPrometheus(folder, targets=["127.0.0.1:9100"]) as server: ...
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from farlab_real.processes import Process, free_ports

_CONFIG = """
global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}
scrape_configs:
  - job_name: tests
    honor_labels: true
    static_configs: [{{targets: {targets}}}]
"""


class History:
    """Samples of the past, family by family, as promtool back-fills them."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def add(
        self, name: str, labels: Mapping[str, str], samples: Iterable[tuple[float, float]]
    ) -> None:
        """Add samples (time, value) of one series."""
        inner = ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
        lines = self._families.setdefault(name, [])
        lines.extend(f"{name}{{{inner}}} {value!r} {time:.3f}" for time, value in samples)

    def write(self, path: Path) -> None:
        """Write it in OpenMetrics."""
        with path.open("w", encoding="utf-8") as file:
            for name, lines in self._families.items():
                # A counter's family has no `_total`; as gauges all names may stay as they are.
                file.write(f"# TYPE {name} gauge\n" + "\n".join(lines) + "\n")
            file.write("# EOF\n")


class RunningPrometheus:
    """A server with a folder of its own. It can be stopped and started again."""

    def __init__(
        self,
        folder: Path,
        *,
        history: History | None = None,
        targets: Sequence[str] = (),
        interval: str = "1s",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self._port}"
        config, data = folder / "prometheus.yml", folder / "data"
        config.write_text(_CONFIG.format(interval=interval, targets=json.dumps(list(targets))))
        if history:
            history.write(folder / "history.txt")
            command = ["promtool", "tsdb", "create-blocks-from", "openmetrics"]
            command += ["--max-block-duration=744h", str(folder / "history.txt"), str(data)]
            subprocess.run(command, check=True, capture_output=True)
            (folder / "history.txt").unlink()
        argv = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}"]
        argv += [f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=warn"]
        argv += ["--storage.tsdb.retention.time=10y", "--query.timeout=30m"]
        self.process = Process(argv, folder / "prometheus.log", {**os.environ, "GOMAXPROCS": "2"})

    def start(self) -> Self:
        """Start it, and return when it answers."""
        self.process.start()
        self.process.wait_until(self._ready, "Prometheus")
        return self

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def ask(self, query: str, at: float) -> list[dict[str, Any]]:
        """Return what an instant query gives."""
        data = urlencode({"query": query, "time": at}).encode()
        with urllib.request.urlopen(f"{self.url}/api/v1/query", data, timeout=1800) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return result

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.stop()
