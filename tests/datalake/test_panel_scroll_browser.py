"""A large dataset in the panel, scrolled to its middle and to its end in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from farlab_real import rucio_seed
from farlab_real.browser import browser_page
from farlab_real.lab import RunningLab
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import password_of
from playwright.sync_api import CDPSession, Locator, Page, Request, expect

FILES = 2_500
PATIENCE_MS = 60_000
ROWS_MAX = 100
"""Rows that may be in the page."""
HEAP_MAX = 20e6
"""Bytes by which the page may grow: some kilobytes a row would be more."""


@pytest.fixture
def lab(tmp_path: Path, rucio: RunningRucio) -> Iterator[RunningLab]:
    """A JupyterLab at `VEGA` to which alice has logged in, with the dataset `large:all`."""
    rucio.admin.add_scope("large")
    rucio_seed.add_files(rucio, "large", "row-", FILES, "VEGA")
    rucio_seed.add_dataset(rucio, "large", "all", "row-", FILES)
    settings = {"url": rucio.url, "identity": {"userpass": {}}}
    lakes = [{"name": "escape", "title": "ESCAPE", "rucio": settings}]
    told = {"lakes": lakes, "here": {"lake": "escape", "rse": "VEGA"}}
    with RunningLab(tmp_path / "lab", {"FARLAB_DATALAKE": json.dumps(told)}) as running:
        alice = {"username": "alice", "password": password_of("alice")}
        running.call("PUT", "farlab/datalake/lakes/escape/identity", alice)
        yield running


def row(panel: Locator, name: str) -> Locator:
    """Return the first row of an entry."""
    return panel.get_by_role("row", name=re.compile(f"^{re.escape(name)}")).first


def heap(session: CDPSession) -> float:
    """Return the bytes of the JavaScript heap that are in use."""
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"])


def test_a_large_dataset_is_scrolled(lab: RunningLab) -> None:
    asked: list[str] = []

    def listen(request: Request) -> None:
        if "/entries?" in request.url:
            asked.append(request.url)

    with browser_page() as page:
        panel = open_panel(page, lab)
        tree = panel.get_by_role("treegrid")
        session = page.context.new_cdp_session(page)
        page.on("request", listen)
        with page.expect_response("**/entries?*", timeout=PATIENCE_MS) as first:
            row(panel, "all").dblclick()
        expect(row(panel, "row-")).to_be_visible(timeout=PATIENCE_MS)
        told = first.value.json()
        pages, seen, small = 1, len(told["entries"]), heap(session)
        while told["next"]:
            expect(tree.locator("[aria-busy]")).to_have_count(0, timeout=PATIENCE_MS)
            with page.expect_response("**/entries?*", timeout=PATIENCE_MS) as answer:
                tree.press("End")
            told = answer.value.json()
            was, seen, pages = seen, seen + len(told["entries"]), pages + 1
            if was < FILES / 2 <= seen:
                _middle_is_drawn(tree, asked)
        expect(tree.locator("[aria-busy]")).to_have_count(0, timeout=PATIENCE_MS)
        tree.press("End")
        expect(tree.get_by_role("row").last).to_have_attribute("aria-selected", "true")
        # The template of the rows is in it too.
        assert seen == FILES + 1
        # One question for each page that was seen, and none twice.
        assert len(asked) == pages
        assert tree.get_by_role("row").count() <= ROWS_MAX
        assert heap(session) - small < HEAP_MAX


def _middle_is_drawn(tree: Locator, asked: list[str]) -> None:
    """Scroll back and forth among what is known: it is drawn, and nothing is asked for."""
    before = len(asked)
    for part in (0.25, 0.5):
        tree.evaluate("(tree, part) => { tree.scrollTop = part * tree.scrollHeight; }", part)
        expect(tree.get_by_role("row").first).to_be_visible()
        assert tree.get_by_role("row").count() <= ROWS_MAX
    assert len(asked) == before


def open_panel(page: Page, lab: RunningLab) -> Locator:
    """Show the panel with the dataset alone in its tree; return it."""
    page.goto(lab.address())
    expect(page.locator(".jp-Launcher")).to_be_visible()
    page.locator(".lm-TabBar-tab[data-id='farlab-datalake']").click()
    panel = page.get_by_role("region", name="DataLake", exact=True)
    search = panel.get_by_role("combobox", name="Search", exact=True)
    expect(row(panel, "large")).to_be_visible(timeout=PATIENCE_MS)
    search.fill("large:all")
    search.press("Enter")
    expect(row(panel, "large")).to_have_count(0)
    expect(row(panel, "all")).to_be_visible(timeout=PATIENCE_MS)
    return panel
