"""Measure how soon the Usage screen is painted in Chromium, with many records in the ledger.

From the click on its card to the frame after sums, chart and history are all in the page. The
records are those of `bench_accounting`, the busiest user's among them, whose screen it is.

    python benchmarks/bench_usage_panel.py [--quick]
"""

from __future__ import annotations

import argparse
import getpass
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

from bench_accounting import BATCH, YEAR, records
from farlab_hub.database import migrate, open_engine, sqlite_url
from farlab_hub.ledger import writing
from farlab_hub.ledger.records import UsageRecord
from farlab_hub.ledger.rollup import DAY
from farlab_real.browser import browser_page
from farlab_real.lab import RunningLab
from playwright.sync_api import Page
from stopping import exit_on_sigterm

QUICK, FULL = 30_000, 1_000_000
ROUNDS = 5
BUSIEST = "user20"
TIMES = ("submitted", "started", "ended", "heartbeat")

OPEN = """async () => {
    const card = [...document.querySelectorAll(".jp-LauncherCard")].find(
        card => card.textContent.includes("Usage"));
    const begun = performance.now();
    card.click();
    const isThere = () => document.querySelector(".jp-farlab-Usage-totals")
        && document.querySelector(".jp-farlab-Usage-chart canvas[style]")
        && document.querySelector("section[aria-label=History] tbody tr");
    while (!isThere()) {
        if (performance.now() - begun > 60_000) {
            throw new Error("the screen is not painted after a minute");
        }
        await new Promise(requestAnimationFrame);
    }
    await new Promise(requestAnimationFrame);
    return performance.now() - begun;
}"""


def main() -> None:
    """Fill a ledger, open the screen some times, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} records")
    count = QUICK if parser.parse_args().quick else FULL
    exit_on_sigterm()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farlab-bench-")))
        fill(folder, count)
        catalogue = folder / "sites.yaml"
        catalogue.write_text(json.dumps({"sites": [SITE]}))
        options = (f"--FarlabServerApp.catalogue={catalogue}",
                   f"--FarlabServerApp.state_dir={folder / 'state'}")  # fmt: skip
        lab = stack.enter_context(RunningLab(folder / "lab", {}, *options))
        page = stack.enter_context(browser_page())
        page.set_default_timeout(60_000)
        paints = [paint(page, lab) for _ in range(ROUNDS)]
        print(f"# {count} records; {', '.join(f'{one:.0f}' for one in paints)} ms", flush=True)
        middle = statistics.median(paints)
        print(f"bench accounting.panel_first_paint_ms {middle:.3g} goal <= 1000", flush=True)


SITE = {
    "name": "vega",
    "title": "Vega",
    "kind": "hpc",
    "carrier": {"direct": {"url": "http://127.0.0.1:9"}},
    "profiles": [
        {
            "name": "cpu",
            "title": "CPU",
            "sizes": [{"title": "1 CPU", "cpu": 1, "memory": "1Gi"}],
            "images": [{"title": "Python 3", "image": sys.prefix}],
        }
    ],
}


def fill(folder: Path, count: int) -> None:
    """Write the records, the busiest user's under the name of whoever runs this."""
    state = folder / "state"
    state.mkdir()
    engine = open_engine(sqlite_url(state), synced=False)
    migrate(engine)
    rest = records(count)
    while batch := list(islice(rest, BATCH)):
        with engine.begin() as connection:
            writing.put(connection, [*map(until_now, batch)])
    engine.dispose()


def until_now(record: UsageRecord) -> UsageRecord:
    """Return a record of the year that ends now."""
    owner = getpass.getuser() if record.owner == BUSIEST else record.owner
    shift = time.time() - (YEAR + 366) * DAY
    moved = {name: getattr(record, name) + shift for name in TIMES}
    return replace(record, owner=owner, **moved)


def paint(page: Page, lab: RunningLab) -> float:
    """Load JupyterLab anew, open the screen for a year, and return how long it took, in ms."""
    page.goto(lab.address() + "&reset")
    page.locator(".jp-LauncherCard", has_text="Usage").wait_for()
    return float(page.evaluate(OPEN))


if __name__ == "__main__":
    main()
