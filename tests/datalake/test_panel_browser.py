"""The DataLake panel: a real Rucio, seen in a real JupyterLab."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from farlab_real.browser import browser_page
from farlab_real.lab import RunningLab
from farlab_real.processes import free_ports
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import MANY, password_of
from playwright.sync_api import Locator, Page, Request, expect


@pytest.fixture
def lab(tmp_path: Path, rucio: RunningRucio) -> Iterator[RunningLab]:
    """A JupyterLab beside the RSE `VEGA`, with a lake that stands and one that is down."""
    typed: dict[str, object] = {"identity": {"userpass": {}}}
    down = f"http://127.0.0.1:{free_ports(1)[0]}"
    lakes = [
        {"name": "escape", "title": "ESCAPE", "rucio": {"url": rucio.url, **typed}},
        {"name": "virgo", "title": "Virgo", "rucio": {"url": down, **typed}},
    ]
    told = {"lakes": lakes, "here": {"lake": "escape", "rse": "VEGA"}}
    with RunningLab(tmp_path / "lab", {"FARLAB_DATALAKE": json.dumps(told)}) as running:
        yield running


def open_panel(page: Page, lab: RunningLab) -> Locator:
    """Open JupyterLab and show the panel; return it."""
    page.goto(lab.address())
    expect(page.locator(".jp-Launcher")).to_be_visible()
    page.locator(".lm-TabBar-tab[data-id='farlab-datalake']").click()
    return page.get_by_role("region", name="DataLake", exact=True)


def log_in(page: Page, panel: Locator) -> None:
    """Log in to the first lake as alice."""
    row(panel, "ESCAPE").dblclick()
    alert = panel.get_by_role("alert").filter(has_text="You are not logged in to ESCAPE")
    expect(alert).to_be_visible()
    panel.get_by_role("button", name="Log in…").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("User name", exact=True).fill("alice")
    dialog.get_by_label("Password").fill(password_of("alice"))
    dialog.get_by_role("button", name="Log In").click()
    expect(row(panel, "demo")).to_be_visible()


def row(panel: Locator, name: str) -> Locator:
    """Return the row of an entry."""
    return panel.get_by_role("row", name=re.compile(f"^{re.escape(name)}( |$)"))


def test_a_file_is_found_looked_at_made_available_and_opened(lab: RunningLab) -> None:
    with browser_page() as page:
        panel = open_panel(page, lab)
        log_in(page, panel)
        _no_password_is_left(page)
        tree = panel.get_by_role("treegrid")
        row(panel, "demo").click()
        for key in ("ArrowRight", "ArrowRight"):  # into the scope, to its first entry
            tree.press(key)
            expect(row(panel, "days")).to_be_visible()
        row(panel, "days").dblclick()
        row(panel, "day-003.csv").first.click()
        expect(row(panel, "day-003.csv").first.get_by_role("img")).to_have_accessible_name(
            "On this machine"
        )
        _details_and_preview(panel)
        _make_available(page, panel)
        _open_in_notebook(page, panel)


def _no_password_is_left(page: Page) -> None:
    kept = page.evaluate(
        "async () => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie,"
        " await indexedDB.databases()])"
    )
    assert password_of("alice") not in kept
    assert password_of("alice") not in page.content()


def _details_and_preview(panel: Locator) -> None:
    expect(panel.get_by_role("region", name="Replicas")).to_contain_text("VEGA available")
    expect(panel.get_by_role("region", name="Part of")).to_contain_text("demo:days")
    expect(panel.get_by_role("region", name="Rules")).to_contain_text("No rule keeps it")
    panel.get_by_role("tab", name="Preview").click()
    expect(panel.get_by_role("tabpanel").get_by_role("cell").first).to_have_text("3")
    panel.get_by_role("tab", name="Details").click()


def _make_available(page: Page, panel: Locator) -> None:
    panel.get_by_role("button", name="Make Available…").click()
    dialog = page.get_by_role("dialog")
    # It takes the focus once it is there, whatever is being typed.
    expect(dialog.get_by_label("Storage element")).to_be_focused()
    dialog.get_by_role("spinbutton").fill("3")
    dialog.get_by_role("button", name="Make Available").click()
    rules = panel.get_by_role("region", name="Rules")
    expect(rules).to_contain_text("VEGA Complete")
    expect(rules).to_contain_text("alice")
    panel.get_by_role("button", name="Transfers").click()
    ended = panel.get_by_role("tabpanel").get_by_role("listitem").filter(has_text="day-003.csv")
    expect(ended).to_contain_text("Done")
    expect(ended).to_contain_text("escape → VEGA")
    panel.get_by_role("tab", name="Details").click()


def _open_in_notebook(page: Page, panel: Locator) -> None:
    # There is no notebook yet: it makes one.
    panel.get_by_role("button", name="Open in Notebook").click()
    cell = page.locator(".jp-NotebookPanel .jp-CodeCell").first
    expect(cell).to_contain_text("pd.read_csv(")
    page.locator("#jp-bottom-panel").get_by_text("| Idle").wait_for()
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    expect(cell.locator(".jp-OutputArea-output")).to_contain_text("value")


def test_a_long_list_is_read_as_it_is_seen(lab: RunningLab) -> None:
    asked: list[str] = []

    def listen(request: Request) -> None:
        if "/entries?" in request.url:
            asked.append(request.url)

    with browser_page() as page:
        panel = open_panel(page, lab)
        log_in(page, panel)
        page.on("request", listen)
        tree = panel.get_by_role("treegrid")
        row(panel, "many").dblclick()
        expect(row(panel, "file-0000000").first).to_be_visible()
        assert len(asked) == 1
        for _ in range(3):
            with page.expect_response("**/entries?*"):
                tree.press("End")
            expect(tree.locator("[aria-busy]")).to_have_count(0)
        assert len(asked) == 4
        # What is in the page is what is on the screen.
        assert panel.get_by_role("row").count() < 80 < MANY
        tree.press("Home")
        expect(row(panel, "ESCAPE")).to_have_attribute("aria-selected", "true")


def test_what_does_not_work_is_said(lab: RunningLab) -> None:
    with browser_page() as page:
        panel = open_panel(page, lab)
        row(panel, "Virgo").dblclick()
        panel.get_by_role("button", name="Log in…").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("User name", exact=True).fill("alice")
        dialog.get_by_label("Password").fill("anything")
        dialog.get_by_role("button", name="Log In").click()
        expect(dialog).to_contain_text("(unreachable)")
        dialog.get_by_role("button").click()
        expect(dialog).to_have_count(0)

        log_in(page, panel)
        search = panel.get_by_role("combobox", name="Search", exact=True)
        search.fill("demo:day-00*")
        search.press("Enter")
        expect(row(panel, "day-007.csv")).to_be_visible()
        expect(row(panel, "day-011.csv")).to_have_count(0)
        search.fill("demo:nothing*")
        search.press("Enter")
        expect(panel.get_by_role("treegrid")).to_contain_text("Nothing matches")
        panel.get_by_role("button", name="End the search").click()
        expect(row(panel, "ESCAPE")).to_be_visible()

        page.route("**/farlab/datalake/lakes?*", lambda route: route.abort())
        panel.get_by_role("button", name="Refresh").click()
        expect(panel.get_by_role("alert")).to_contain_text("The server did not answer")
        page.unroute("**/farlab/datalake/lakes?*")
        panel.get_by_role("button", name="Try again").click()
        expect(row(panel, "ESCAPE")).to_be_visible()


def test_what_is_dropped_is_uploaded(lab: RunningLab, rucio: RunningRucio) -> None:
    with browser_page() as page:
        panel = open_panel(page, lab)
        log_in(page, panel)
        scope = row(panel, "user.alice")
        data = page.evaluate_handle(
            """() => {
                const data = new DataTransfer();
                data.items.add(new File(["a,b\\n1,2\\n"], "dropped.csv"));
                return data;
            }"""
        )
        for event in ("dragover", "drop"):
            scope.dispatch_event(event, {"dataTransfer": data})
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("1 file of your computer")
        dialog.get_by_label("Dataset", exact=False).first.fill("user.alice:dropped")
        dialog.get_by_role("button", name="Upload").click()
        upload = panel.get_by_role("tabpanel").get_by_role("listitem").filter(has_text="dropped")
        expect(upload.first).to_contain_text("Done")
        scope.dblclick()
        # In its dataset: the scope's own list may be longer than what is drawn of it.
        row(panel, "dropped").dblclick()
        row(panel, "dropped.csv").first.click()
        panel.get_by_role("tab", name="Details").click()
        expect(panel.get_by_role("region", name="Replicas")).to_contain_text("VEGA available")
