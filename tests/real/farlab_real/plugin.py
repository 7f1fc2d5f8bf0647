"""A site's plugin, run as its operator runs it: `farlab plugin --config plugin.yaml`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from farlab_real.processes import Process, free_ports, kill_all_below
from farlab_real.running import Running


class RunningPlugin(Running):
    """A plugin in `folder`, listening on a free port of loopback.

        with RunningPlugin(tmp_path, {"local": {}}) as plugin:
            requests go to plugin.url

    `settings` are further keys of plugin.yaml. The port stays the same when it is restarted.
    """

    def __init__(self, folder: Path, driver: dict[str, Any], **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}"
        self.config = folder / "plugin.yaml"
        content = {
            "listen": f"127.0.0.1:{port}",
            "folder": str(folder / "spool"),
            "python": sys.executable,
            "driver": driver,
        }
        self.config.write_text(yaml.safe_dump(content | settings))
        farlab = Path(sys.executable).with_name("farlab")
        command = [str(farlab), "plugin", "--config", str(self.config)]
        self.process = Process(command, folder / "plugin.log")

    @property
    def carrier(self) -> dict[str, Any]:
        """The `carrier:` entry of a catalogue for this plugin."""
        direct = {"url": self.url}
        settings = yaml.safe_load(self.config.read_text())
        if settings.get("token_file"):
            direct["token_file"] = settings["token_file"]
        return {"direct": direct}

    def start(self) -> Self:
        """Start it and return when it answers."""
        self.process.start()
        self.process.wait_until(self._answers, "the plugin")
        return self

    def stop(self) -> None:
        """Stop it; the jobs it has started go on, as at a real site."""
        self.process.stop(spare=lambda _: True)

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self.process.kill()

    def restart(self) -> None:
        """Start it again after `stop` or `kill`."""
        self.start()

    def end(self) -> None:
        """Stop it and every process of its jobs: a test that failed may have left some."""
        self.process.stop()
        kill_all_below(self.folder)

    def _answers(self) -> bool:
        try:
            # Any answer of HTTP will do: without the token it is a refusal.
            httpx.get(f"{self.url}/status", timeout=5)
        except httpx.HTTPError:
            return False
        return True
