"""The panel as people see it: a real JupyterLab in a real browser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, Route, expect, sync_playwright

BUILT = Path(__file__).parents[2] / "extensions/lab/labextension"
INSTALLED = Path(sys.prefix) / "share/jupyter/labextensions/@farlab/lab"
CHROMIUM = "/usr/bin/chromium"
PATIENCE_S = 60.0
"""How long anything may take on a very slow machine."""


@contextmanager
def jupyter_lab(folder: Path, **place: str) -> Iterator[str]:
    """Run a JupyterLab with folders of its own, at a place; give its address with the token."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("FARLAB_")}
    environ |= {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    environ |= {f"FARLAB_{key}": value for key, value in place.items()}
    environ |= {"HOME": str(folder)}
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *("--ip=127.0.0.1", "--port=0", f"--ServerApp.root_dir={folder}"),
            # Nothing is asked from outside, neither news nor updates.
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=(folder / "log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        info = server_info(folder / "RUNTIME", server)
        yield f"{info['url']}lab?token={info['token']}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE_S)


def server_info(runtime: Path, server: subprocess.Popen[bytes]) -> dict[str, str]:
    """Wait for the file in which a Jupyter server says where it listens."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(file.read_text())
            except json.JSONDecodeError:  # half written
                pass
        time.sleep(0.1)
    log = (runtime.parent / "log").read_text()
    raise AssertionError(f"JupyterLab did not start:\n{log}")


@contextmanager
def browser_page() -> Iterator[Page]:
    """Open a page in a headless Chromium that calls nobody by itself."""
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    arguments += ["--disable-component-update", "--disable-sync", "--no-first-run"]
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        yield page
        browser.close()


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
        "SITE": "vega",
        "SITE_TITLE": "Vega <b>HPC</b>",
        "SITE_KIND": "hpc",
        "PROFILE": "gpu",
        "NODE": "gn17",
        "JOB_ID": "4711",
        "WORKLOAD": "5b0e7a52",
        "DEADLINE": str(int(time.time()) + 605),
    }
    with jupyter_lab(tmp_path, **place) as address, browser_page() as page:
        page.goto(address)
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
    with jupyter_lab(tmp_path) as address, browser_page() as page:
        page.goto(address)
        show_by_palette(page)
        panel = page.get_by_role("region", name="Farlab", exact=True)
        expect(panel).to_contain_text("This server does not run at a Farlab site")


def test_a_missing_server_extension_is_named_and_tried_again(tmp_path: Path) -> None:
    def send_elsewhere(route: Route) -> None:
        route.continue_(url=route.request.url.replace("/farlab/api/", "/farlab/missing/"))

    with jupyter_lab(tmp_path) as address, browser_page() as page:
        page.route("**/farlab/api/server*", send_elsewhere)
        page.goto(address)
        show_by_palette(page)
        panel = page.get_by_role("region", name="Farlab", exact=True)
        expect(panel.get_by_role("alert")).to_contain_text("pip install farlab[lab]")
        page.unroute("**/farlab/api/server*")
        panel.get_by_role("button", name="Try again").click()
        expect(panel).to_contain_text("This server does not run at a Farlab site")
