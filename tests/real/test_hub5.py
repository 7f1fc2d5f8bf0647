"""The main path on JupyterHub 5.5, where most hubs are, with a server on a Slurm node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from farlab_real.hub import RunningHub
from farlab_real.kernel import RemoteKernel
from farlab_real.processes import wait_until
from farlab_real.slurm import SlurmCluster


@pytest.mark.timeout(600)
def test_jupyterhub_5_starts_a_server_on_a_slurm_node(
    catalogue: dict[str, Any], hub5_python: Path, slurm: SlurmCluster, tmp_path: Path
) -> None:
    with RunningHub(tmp_path, catalogue, python=hub5_python) as hub:
        version = httpx.get(f"{hub.url}hub/api/").json()["version"]
        assert version.startswith("5.5.")
        with hub.login("grace") as grace:
            grace.spawn({"profile": "vega--lab", "partition": "gpu-2-x-a100"})
            grace.wait_until_ready()
            with RemoteKernel(grace) as kernel:
                assert (
                    kernel.run("import os; print(len(os.environ['CUDA_VISIBLE_DEVICES']))") == "3\n"
                )
            grace.stop()
        wait_until(lambda: "grace" not in slurm.run("squeue", "--noheader"), "the job to end")
