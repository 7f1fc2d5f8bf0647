"""Measure the DataLake panel while a large dataset of a real Rucio is scrolled in Chromium.

The longest frame is the median of the longest ones of some rounds: another process that takes the
machine for a moment is no frame of ours. The memory is the JavaScript heap's, after a collection.

    python benchmarks/bench_panel.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

from farlab_real import rucio_seed
from farlab_real.browser import browser_page
from farlab_real.lab import RunningLab
from farlab_real.postgres import RunningPostgres
from farlab_real.rucio_conf import ROOT_PASSWORD
from farlab_real.rucio_server import RunningRucio
from playwright.sync_api import CDPSession, Locator, Page, expect
from stopping import exit_on_sigterm

SCROLL = """async ([step, frames]) => {
    const tree = document.querySelector(".jp-farlab-LakeTree");
    const gaps = [];
    let before = await new Promise(requestAnimationFrame);
    for (let frame = 0; frame < frames; frame += 1) {
        tree.scrollTop += step;
        const now = await new Promise(requestAnimationFrame);
        gaps.push(now - before);
        before = now;
    }
    const rows = tree.querySelectorAll("[role=row]").length;
    return {longest: Math.max(...gaps), rows, height: tree.scrollHeight};
}"""
STEP = 60
"""Pixels a frame: fast scrolling."""
ROW = 26
PATIENCE_MS = 60_000


def main() -> None:
    """Start everything, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller dataset, fewer rounds")
    quick = parser.parse_args().quick
    files, rounds, frames = (25_000, 5, 90) if quick else (100_000, 9, 600)
    exit_on_sigterm()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farlab-bench-")))
        postgres = stack.enter_context(RunningPostgres())
        rucio = stack.enter_context(RunningRucio(folder / "rucio", postgres, workers=2))
        rucio.admin.add_scope("big")
        rucio.admin.add_rse("VEGA", rucio.folder / "vega")
        rucio_seed.add_files(rucio, "big", "file-", files, "VEGA")
        rucio_seed.add_dataset(rucio, "big", "part", "file-", files)
        lab = stack.enter_context(RunningLab(folder / "lab", lakes(rucio)))
        log_in = {"username": "root", "password": ROOT_PASSWORD}
        lab.call("PUT", "farlab/datalake/lakes/big/identity", log_in)
        page = stack.enter_context(browser_page())
        measure(page, open_dataset(page, lab), rounds, frames)


def lakes(rucio: RunningRucio) -> dict[str, str]:
    """Return what a spawner tells a server."""
    settings = {"url": rucio.url, "identity": {"userpass": {}}}
    described = {"lakes": [{"name": "big", "title": "Big", "rucio": settings}]}
    return {"FARLAB_DATALAKE": json.dumps({**described, "here": {"lake": "big", "rse": "VEGA"}})}


def open_dataset(page: Page, lab: RunningLab) -> Locator:
    """Open the dataset in the panel; return the tree."""
    page.goto(lab.address())
    page.locator(".jp-Launcher").wait_for()
    page.locator(".lm-TabBar-tab[data-id='farlab-datalake']").click()
    panel = page.get_by_role("region", name="DataLake", exact=True)
    for name, child in (("big", "part"), ("part", "file-0000000")):
        row_of(panel, name).dblclick()
        row_of(panel, child).wait_for()
    return panel.get_by_role("treegrid")


def row_of(panel: Locator, name: str) -> Locator:
    """Return the row of an entry."""
    return panel.get_by_role("row", name=re.compile(f"^{name}( |$)")).first


def measure(page: Page, tree: Locator, rounds: int, frames: int) -> None:
    """Scroll through the pages as they come, and print the figures."""
    session = page.context.new_cdp_session(page)
    scroll(page, tree, frames)  # what is compiled and drawn the first time is no scrolling
    before = heap(session)
    longest, most = [], 0
    for _ in range(rounds):
        told = scroll(page, tree, frames)
        longest.append(told["longest"])
        most = max(most, int(told["rows"]))
    rows = int(told["height"] / ROW)
    show("panel_longest_frame_ms", statistics.median(longest), "<=", 100)
    show("panel_memory_mb", (heap(session) - before) / 1e6, "<=", 50)
    show("panel_rows_in_page", most, "<=", 100)
    print(f"# {rows} rows were read", flush=True)


def scroll(page: Page, tree: Locator, frames: int) -> dict[str, float]:
    """Scroll some pages down, and wait until what is seen is there."""
    told: dict[str, float] = page.evaluate(SCROLL, [STEP, frames])
    expect(tree.locator("[aria-busy]")).to_have_count(0, timeout=PATIENCE_MS)
    return told


def heap(session: CDPSession) -> float:
    """Return the bytes of the JavaScript heap that are in use."""
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"])


def show(name: str, value: float, sign: str, goal: float) -> None:
    """Print one figure."""
    print(f"bench datalake.{name} {value:.3g} goal {sign} {goal:g}", flush=True)


if __name__ == "__main__":
    main()
