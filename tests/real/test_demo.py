"""`make demo`'s program: it starts, a user gets JupyterLab from it, and it leaves nothing."""

from __future__ import annotations

import pwd
import re
from pathlib import Path
from typing import Any

import psutil
import pytest
from farlab_real.browser import BrowserUser, browser_page
from farlab_real.demo import DemoUser, RunningDemo, link_account, log_in
from farlab_real.kernel import RemoteKernel
from farlab_real.processes import wait_until
from farlab_real.user import HubUser
from playwright.sync_api import Locator, Page, expect


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of the processes that have to do with a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


@pytest.mark.timeout(1200)
def test_demo_from_start_to_stop(tmp_path: Path) -> None:
    with RunningDemo(tmp_path / "log") as demo, browser_page(width=1400) as page:
        log_in(page, demo, "alice")
        page.goto(demo.alise)
        link_account(page, "alice")
        with DemoUser(demo, "alice").login() as newcomer:
            newcomer.spawn({"profile": "hpc--lab", "partition": "gpu-2-x-a100"})
            newcomer.wait_until_ready()
            names = [item["name"] for item in newcomer.get("api/contents").json()["content"]]
            notebooks = {"Welcome.ipynb", "Quantum.ipynb", "Offload.ipynb", "DataLake.ipynb"}
            assert notebooks <= set(names)
            with RemoteKernel(newcomer) as kernel:
                assert kernel.run("import os; print(os.environ['SLURM_JOB_PARTITION'])") == "gpu\n"
                assert kernel.run("import getpass; print(getpass.getuser())") == "alice\n"
            page.goto(newcomer.url("lab?reset"))
            BrowserUser(page, demo.url).wait_for_lab()
            look_into_the_lake(page)
            run_the_tutorial(page, newcomer)
        demo.stop()
        assert not processes_in(demo.folder)
    # The accounts were the demo's alone.
    assert "alice" not in {one.pw_name for one in pwd.getpwall()}


def look_into_the_lake(page: Page) -> None:
    """Find a data set, look at it, and open it in a notebook: without a word typed."""
    page.locator(".lm-TabBar-tab[data-id='farlab-datalake']").click()
    panel = page.get_by_role("region", name="DataLake", exact=True)
    row(panel, "Rucio").dblclick()
    row(panel, "climate").dblclick()
    row(panel, "stations").dblclick()
    row(panel, "map.png").first.click()
    panel.get_by_role("tab", name="Preview").click()
    expect(panel.get_by_role("tabpanel").get_by_role("img")).to_be_visible()
    row(panel, "stations.csv").first.click()
    expect(panel.get_by_role("tabpanel")).to_contain_text("Bergtal")
    panel.get_by_role("tab", name="Details").click()
    panel.get_by_role("button", name="Open in Notebook").click()
    cell = page.locator(".jp-NotebookPanel .jp-CodeCell").first
    expect(cell).to_contain_text("pd.read_csv(")
    page.locator("#jp-bottom-panel").get_by_text("| Idle").wait_for()
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    expect(cell.locator(".jp-OutputArea-output")).to_contain_text("Hafenstadt")


def run_the_tutorial(page: Page, user: HubUser) -> None:
    """Open the notebook of the DataLake from the user's folder, and run all of it."""
    page.goto(user.url("lab/tree/DataLake.ipynb?reset"))
    page.locator("#jp-bottom-panel").get_by_text("| Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    # The last cell runs when all the others have, without an error.
    last = page.locator(".jp-NotebookPanel .jp-CodeCell").last
    expect(last.locator(".jp-OutputArea-output")).to_contain_text("climate:t2m", timeout=240_000)
    page.keyboard.press("Control+s")

    def saved() -> bool:
        outputs = code_cells(user)[-1:]
        return "climate:t2m" in str(outputs and outputs[0]["outputs"])

    wait_until(saved, "the notebook to be saved")
    outputs = str(code_cells(user))
    for words in ("climate:t2m is at HPC", "image/png", "user.alice:change"):
        assert words in outputs


def code_cells(user: HubUser) -> list[dict[str, Any]]:
    """Return the tutorial's code cells as the folder has them; none while it is being saved."""
    saved = user.get("api/contents/DataLake.ipynb").json().get("content") or {"cells": []}
    return [cell for cell in saved["cells"] if cell["cell_type"] == "code"]


def row(panel: Locator, name: str) -> Locator:
    """Return the rows of an entry."""
    return panel.get_by_role("row", name=re.compile(f"^{re.escape(name)}( |$)"))
