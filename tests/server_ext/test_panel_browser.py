"""The panel as people see it: a real JupyterLab in a real browser."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from farlab_real.browser import browser_page
from farlab_real.lab import RunningLab
from playwright.sync_api import Page, Route, expect

BUILT = Path(__file__).parents[2] / "extensions/lab/labextension"
INSTALLED = Path(sys.prefix) / "share/jupyter/labextensions/@farlab/lab"


def show_by_palette(page: Page) -> None:
    """Show the panel with the keyboard alone."""
    expect(page.locator(".jp-Launcher")).to_be_visible()
    field = page.locator(".jp-ModalCommandPalette .lm-CommandPalette-input")
    while not field.is_visible():  # the key does nothing until all shortcuts are loaded
        page.keyboard.press("Control+Shift+C")
        page.wait_for_timeout(100)
    field.fill("where this server runs")
    expect(page.locator(".lm-CommandPalette-item")).to_have_count(1)
    page.keyboard.press("Enter")


def test_the_installed_panel_is_the_built_one() -> None:
    """A stale copy would be tested here instead of what was built last."""
    built = json.loads((BUILT / "package.json").read_text())
    installed = json.loads((INSTALLED / "package.json").read_text())
    assert installed["jupyterlab"]["_build"] == built["jupyterlab"]["_build"], "run `make lab`"


def test_the_place_the_countdown_and_the_warning(tmp_path: Path) -> None:
    # Ten minutes before the end a warning is due: whether it comes while the page is
    # open or was due before makes no difference here.
    place = {
        "FARLAB_SITE": "vega",
        "FARLAB_SITE_TITLE": "Vega <b>HPC</b>",
        "FARLAB_SITE_KIND": "hpc",
        "FARLAB_PROFILE": "gpu",
        "FARLAB_NODE": "gn17",
        "FARLAB_JOB_ID": "4711",
        "FARLAB_WORKLOAD": "5b0e7a52",
        "FARLAB_DEADLINE": str(int(time.time()) + 605),
    }
    with RunningLab(tmp_path, place) as lab, browser_page() as page:
        page.goto(lab.address())
        warning = page.locator(".Toastify__toast", has_text="This server ends at")
        expect(warning).to_contain_text("in less than 10 minutes")
        warning.get_by_role("button", name="Show").click()

        panel = page.get_by_role("region", name="Farlab", exact=True)
        expect(panel).to_be_focused()
        expect(panel.get_by_role("heading", level=3)).to_have_text("Vega <b>HPC</b>")
        for text in ("HPC", "gpu", "gn17", "4711", "5b0e7a52"):
            expect(panel.get_by_text(text, exact=True)).to_be_visible()
        timer = panel.get_by_role("timer")
        shown = timer.inner_text()
        assert shown.startswith("0:")
        expect(timer).not_to_have_text(shown)
        expect(panel).to_contain_text("Save your work")


def test_a_server_at_no_site_says_so(tmp_path: Path) -> None:
    with RunningLab(tmp_path, {}) as lab, browser_page() as page:
        page.goto(lab.address())
        show_by_palette(page)
        panel = page.get_by_role("region", name="Farlab", exact=True)
        expect(panel).to_contain_text("This server does not run at a Farlab site")


def test_a_missing_server_extension_is_named_and_tried_again(tmp_path: Path) -> None:
    def send_elsewhere(route: Route) -> None:
        route.continue_(url=route.request.url.replace("/farlab/api/", "/farlab/missing/"))

    with RunningLab(tmp_path, {}) as lab, browser_page() as page:
        page.route("**/farlab/api/server*", send_elsewhere)
        page.goto(lab.address())
        show_by_palette(page)
        panel = page.get_by_role("region", name="Farlab", exact=True)
        expect(panel.get_by_role("alert")).to_contain_text("pip install farlab[lab]")
        page.unroute("**/farlab/api/server*")
        panel.get_by_role("button", name="Try again").click()
        expect(panel).to_contain_text("This server does not run at a Farlab site")
