"""`make demo`'s program: it starts, a user gets JupyterLab from it, and it leaves nothing."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest
from farlab_real.hub import REPOSITORY
from farlab_real.kernel import RemoteKernel
from farlab_real.processes import Process, free_ports
from farlab_real.user import HubUser


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of the processes that have to do with a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


@pytest.mark.timeout(600)
def test_demo_from_start_to_stop(tmp_path: Path) -> None:
    folder, port = tmp_path / "demo", free_ports(1)[0]
    command = [sys.executable, str(REPOSITORY / "demo/start.py")]
    demo = Process([*command, "--port", str(port), "--folder", str(folder)], tmp_path / "log")
    demo.start()
    try:
        demo.wait_until(lambda: "Farlab is at" in demo.read_log(), "the demo")
        with HubUser(f"http://127.0.0.1:{port}/", "newcomer").login() as newcomer:
            newcomer.spawn({"profile": "hpc--lab", "partition": "gpu-2-x-a100"})
            newcomer.wait_until_ready()
            names = [item["name"] for item in newcomer.get("api/contents").json()["content"]]
            assert {"Welcome.ipynb", "Quantum.ipynb", "Offload.ipynb"} <= set(names)
            with RemoteKernel(newcomer) as kernel:
                assert kernel.run("import os; print(os.environ['SLURM_JOB_PARTITION'])") == "gpu\n"
        psutil.Process(demo.pid).send_signal(signal.SIGINT)
        psutil.Process(demo.pid).wait(90)
        assert not processes_in(folder)
    finally:
        demo.stop()
