"""The Workloads panel: a real kernel at a local site, seen in a real JupyterLab."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from farlab_real.browser import browser_page
from farlab_real.lab import RunningLab
from farlab_real.plugin import RunningPlugin
from playwright.sync_api import Locator, Page, Route, expect


def open_panel(page: Page, lab: RunningLab) -> Locator:
    """Open JupyterLab and show the panel; return it."""
    page.goto(lab.address())
    expect(page.locator(".jp-Launcher")).to_be_visible()
    page.locator(".lm-TabBar-tab[data-id='farlab-workloads']").click()
    return page.get_by_role("region", name="Workloads", exact=True)


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[RunningPlugin]:
    with RunningPlugin(tmp_path / "plugin", {"local": {"cpus": 2}}) as running:
        yield running


@pytest.fixture
def catalogue(tmp_path: Path, plugin: RunningPlugin) -> Path:
    profile = {
        "name": "small",
        "title": "Small",
        "sizes": [{"title": "1 CPU", "cpu": 1, "memory": "1Gi"}],
        "images": [{"title": "this one", "image": sys.prefix}],
        "walltime": "1:00:00",
    }
    site = {"name": "here", "title": "Here", "kind": "cloud", "profiles": [profile]}
    file = tmp_path / "sites.yaml"
    file.write_text(yaml.safe_dump({"sites": [{**site, "carrier": plugin.carrier}]}))
    return file


def test_a_kernel_is_seen_read_attached_to_and_cancelled(tmp_path: Path, catalogue: Path) -> None:
    option = f"--FarlabServerApp.catalogue={catalogue}"
    with RunningLab(tmp_path / "lab", {}, option) as lab, browser_page() as page:
        panel = open_panel(page, lab)
        expect(panel).to_contain_text("Nothing of yours runs at a site")

        asked = {"kind": "kernel", "site": "here", "name": "mine"}
        lab.call("POST", "farlab/api/workloads", asked)
        row = panel.get_by_role("row", name=re.compile("^mine"))
        expect(row.get_by_role("cell").nth(0)).to_contain_text("here")
        expect(row).to_contain_text("Ready")
        # Its node took it for an hour at the most.
        expect(row.get_by_role("timer")).to_have_text(re.compile(r"^(0:5\d|1:00):"))
        expect(panel.get_by_role("status")).to_contain_text("mine: Ready")

        _read_the_log(page, row)
        _attach_a_notebook(page, row)

        row.get_by_role("button", name="Cancel mine").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Its job at here ends")
        dialog.get_by_role("button", name="Keep It").click()
        expect(row).to_contain_text("Ready")
        row.click(button="right", position={"x": 4, "y": 4})
        page.get_by_role("menuitem", name="Cancel a Workload").click()
        dialog.get_by_role("button", name="Cancel Workload").click()
        expect(row).to_contain_text("Cancelled")
        expect(panel.get_by_role("status")).to_contain_text("mine: Cancelled")
        expect(row.get_by_role("button")).to_have_count(1)
        assert lab.call("GET", "farlab/api/workloads") == []


def _read_the_log(page: Page, row: Locator) -> None:
    page.route("**/logs?*", lambda route: route.abort())
    row.focus()
    page.keyboard.press("Enter")
    log = page.locator(".jp-farlab-Log")
    expect(log.get_by_role("alert")).to_contain_text("The server did not answer")
    page.unroute("**/logs?*")
    log.get_by_role("button", name="Try again").click()
    expect(log.get_by_role("alert")).to_have_count(0)
    expect(log.get_by_role("status")).to_contain_text("Ready")
    expect(log.get_by_role("log")).not_to_be_empty()
    expect(page.get_by_role("tab", name="Log of mine")).to_be_visible()


def _attach_a_notebook(page: Page, row: Locator) -> None:
    attach = row.get_by_role("button", name="Attach a notebook to mine")
    # The log is in front: no notebook would take a cell.
    attach.click()
    expect(page.locator(".Toastify__toast", has_text="Copied the code")).to_be_visible()
    page.get_by_role("tab", name="Launcher").click()
    page.locator(".jp-LauncherCard[data-category='Notebook']").first.click()
    cells = page.locator(".jp-NotebookPanel .jp-CodeCell")
    expect(cells).to_have_count(1)
    attach.click()
    expect(cells).to_have_count(2)
    expect(cells.nth(1)).to_contain_text("%offload attach mine")


def test_what_is_missing_is_said_and_tried_again(tmp_path: Path) -> None:
    def answer(route: Route) -> None:
        route.fulfill(json=[_server()])

    with RunningLab(tmp_path / "lab", {}) as lab, browser_page() as page:
        panel = open_panel(page, lab)
        alert = panel.get_by_role("alert")
        expect(alert).to_contain_text("knows of no Farlab service")
        expect(alert).to_contain_text("--FarlabServerApp.catalogue=sites.yaml")

        page.route("**/farlab/api/workloads*", answer)
        panel.get_by_role("button", name="Try again").click()
        row = panel.get_by_role("row", name=re.compile("^Notebook server"))
        expect(row).to_contain_text("Place 3 of 12")
        # It is ended where it was started.
        expect(row.get_by_role("button")).to_have_count(1)

        page.unroute("**/farlab/api/workloads*")
        expect(alert).to_contain_text("This list is old")
        expect(row).to_be_visible()


def _server() -> dict[str, object]:
    """A notebook server that waits, as a hub's service tells of it."""
    words = {"uid": "5b0e7a52-0000-4000-8000-000000000000", "kind": "server", "site": "vega"}
    empty = dict.fromkeys(("name", "server_name", "node", "reason"), "")
    message = "Waiting for resources: place 3 of 12 in partition gpu"
    state = {"profile": "gpu", "state": "queued", "message": message}
    return {**words, **empty, **state, "created": 0, "deadline": None}
