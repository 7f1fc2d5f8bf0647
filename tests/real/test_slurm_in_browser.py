"""The main path, as a user sees it: pick GPUs at Vega, wait, compute, stop."""

from __future__ import annotations

import re

import psutil
import pytest
from farlab_real.browser import BrowserUser, browser_page
from farlab_real.hub import RunningHub
from farlab_real.processes import wait_until
from farlab_real.slurm import SlurmCluster


def listener(port: int) -> psutil.Process:
    """Return the process that listens at a port of loopback."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
            return psutil.Process(connection.pid)
    raise AssertionError(f"nothing listens at port {port}")


def jobs(slurm: SlurmCluster) -> list[str]:
    """Return the jobs that Slurm still runs or holds."""
    return slurm.run("squeue", "--noheader", "--format=%i %T").split("\n")[:-1]


@pytest.mark.timeout(600)
def test_gpus_at_vega_from_login_to_stop(hub: RunningHub, slurm: SlurmCluster) -> None:
    with browser_page() as page:
        ada = BrowserUser(page, hub.url)
        ada.log_in("ada")
        ada.choose("Vega HPC", partition="gpu, 2 x A100")
        ada.start()
        page.wait_for_url("**/spawn-pending/**")
        ada.wait_for_lab()

        page.get_by_role("tab", name="Farlab").click()
        sidebar = page.get_by_role("region", name="Farlab")
        sidebar.get_by_text("Vega HPC").wait_for()
        assert re.search(r"\bg\d\b", sidebar.inner_text())  # the node's name in Slurm

        ada.new_notebook()
        code = "import os\nmark = 42\nprint('GPUs', os.environ['CUDA_VISIBLE_DEVICES'])"
        assert re.fullmatch(r"GPUs \d,\d", ada.run_cell(code).strip())

        relay = listener(hub.relay_port)
        relay.kill()
        wait_until(
            lambda: listener_or_none(hub.relay_port) not in (None, relay),
            "a new relay",
            deadline=120,
        )
        page.reload()
        ada.wait_for_kernel()
        assert ada.run_cell("print('still', mark)").strip() == "still 42"

        assert jobs(slurm)
        page.goto(f"{hub.url}hub/home")
        page.locator("#stop").click()
        wait_until(lambda: not jobs(slurm), "the job to leave squeue", deadline=120)


def listener_or_none(port: int) -> psutil.Process | None:
    """Return the process that listens at a port, or None."""
    try:
        return listener(port)
    except AssertionError:
        return None
