"""Debian's headless Chromium, and what a user does with it in the hub and in JupyterLab."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"

# Without these Chromium looks for its maker's servers at every start.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

PATIENCE_MS = 90_000


@contextmanager
def browser_page(width: int = 1280, height: int = 900, *, dark: bool = False) -> Iterator[Page]:
    """Open a page in a new browser; every wait in it may take as long as a slow machine needs."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = _patient_context(browser, width, height, dark=dark).new_page()
        try:
            yield page
        except BaseException:
            # What the user would have seen, for whoever looks into the failure.
            folder = Path(tempfile.mkdtemp(prefix="farlab-failure-"))
            for number, shown in enumerate(_open_pages(browser), 1):
                shown.screenshot(path=folder / f"page-{number}.png")
            print(f"the pages as they were: {folder}")
            raise
        finally:
            browser.close()


@contextmanager
def without_javascript(page: Page) -> Iterator[Page]:
    """Open a page beside another one, logged in as there, in which no script runs."""
    browser, size = page.context.browser, page.viewport_size
    assert browser is not None
    assert size is not None
    context = _patient_context(browser, size["width"], size["height"], scripts=False)
    context.add_cookies(page.context.cookies())  # type: ignore[arg-type]
    yield context.new_page()
    # Not in a `finally`: what it shows of a failure is taken by `browser_page`.
    context.close()


def _patient_context(
    browser: Browser, width: int, height: int, *, dark: bool = False, scripts: bool = True
) -> BrowserContext:
    """Return a new context, each page of which has the same patience."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
    )
    context.set_default_timeout(PATIENCE_MS)
    return context


def _open_pages(browser: Browser) -> list[Page]:
    return [page for context in browser.contexts for page in context.pages]


class BrowserUser:
    """A user who works in a browser page."""

    def __init__(self, page: Page, hub_url: str) -> None:
        self.page = page
        self.hub_url = hub_url

    def log_in(self, name: str) -> None:
        """Log in on the hub's page; ends on the spawn form."""
        self.page.goto(f"{self.hub_url}hub/login")
        self.page.fill("#username_input", name)
        self.page.click("#login_submit")
        self.page.wait_for_url("**/hub/spawn**")

    def choose(self, site: str, **options: str) -> None:
        """Click a site's card by its title, and select options (`size`, `partition`, `image`)."""
        self.page.get_by_role("radio", name=re.compile(f"^{re.escape(site)}")).check()
        for option, label in options.items():
            select = self.page.locator(f"select[name$='--{option}']:visible")
            select.select_option(label=label)

    def start(self) -> None:
        """Press Start."""
        self.page.get_by_role("button", name="Start", exact=True).click()

    def wait_for_lab(self) -> None:
        """Wait until JupyterLab stands, with its launcher."""
        self.page.wait_for_url("**/lab**")
        self.page.wait_for_selector(".jp-Launcher")

    def new_notebook(self) -> None:
        """Open a Python notebook from the launcher and wait for its kernel."""
        self.page.locator(".jp-LauncherCard[data-category='Notebook']").first.click()
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        """Wait until the status bar calls the notebook's kernel idle: only then cells are run."""
        self.page.locator("#jp-bottom-panel").get_by_text("| Idle").wait_for()

    def run_cell(self, code: str) -> str:
        """Type code into the selected cell, run it, and return its output."""
        outputs = self.page.locator(".jp-NotebookPanel .jp-OutputArea-output")
        before = outputs.count()
        cell = self.page.locator(".jp-NotebookPanel .jp-Cell.jp-mod-selected .cm-content")
        cell.click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")
        expect(outputs).to_have_count(before + 1)
        return outputs.nth(before).inner_text()

    def open_lab(self, name: str) -> None:
        """Log in while the server runs already, and open JupyterLab without an earlier layout."""
        self.page.goto(f"{self.hub_url}hub/login")
        self.page.fill("#username_input", name)
        self.page.click("#login_submit")
        self.page.wait_for_url("**/user/**")
        self.page.goto(f"{self.hub_url}user/{name}/lab?reset")
        self.wait_for_lab()

    def add_cell(self, code: str) -> Locator:
        """Type code into the notebook's last cell, run it, and return the cell's output area.

        It does not wait for the cell's end. The window must be tall: JupyterLab removes cells that
        are far out of sight from the page.
        """
        cells = self.page.locator(".jp-NotebookPanel .jp-CodeCell")
        number = cells.count()
        cells.last.locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")
        expect(cells).to_have_count(number + 1)
        return cells.nth(number - 1).locator(".jp-Cell-outputWrapper")

    def press_button(self, name: str) -> None:
        """Press a button of the notebook's toolbar: `interrupt` or `restart`."""
        self.page.locator(f".jp-NotebookPanel-toolbar [data-jp-item-name='{name}']").click()

    def restart_kernel(self) -> None:
        """Restart the notebook's kernel, and wait for the new one."""
        self.press_button("restart")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.wait_for_kernel()
