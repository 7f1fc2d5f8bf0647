"""The tour in docs/tour.md, on the demo in a browser: each button and each cell that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from farlab_real.browser import BrowserUser, browser_page
from farlab_real.demo import RunningDemo, link_account, log_in
from farlab_real.processes import wait_until
from playwright.sync_api import Locator, Page, expect

TOUR = (Path(__file__).parents[2] / "docs/tour.md").read_text()
CELLS = re.findall(r"```python\n(.*?)\n```\n", TOUR, re.DOTALL)
SHOWN = re.findall(r"```text\n(.*?)\n```\n", TOUR, re.DOTALL)
SITE, CARD = "HPC machine", ".fl-site[data-site='hpc'] .fl-card"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningDemo]:
    with RunningDemo(tmp_path / "log") as running:
        yield running


@pytest.mark.timeout(1200)
def test_the_tour(demo: RunningDemo) -> None:
    with browser_page(width=1300) as page:
        log_in(page, demo, "alice")
        start_without_account(page, demo)
        place = open_identity(page)
        expect(place).to_contain_text("Not linked")
        link(page, place)
        expect(place).to_contain_text("as alice, by account linking (ALISE)")
        start_on_gpu(page, demo)
        compute(page, demo)
        screen = open_usage(page)
        see_jobs_and_budget(screen)
        see_the_bar_grow(screen)


def press(page: Page, role: str, name: str) -> None:
    """Press what the tour prints in bold."""
    assert f"**{name}**" in " ".join(TOUR.split())
    page.get_by_role(role, name=name, exact=True).click()  # type: ignore[arg-type]


def start_without_account(page: Page, demo: RunningDemo) -> None:
    """Start where the login is enough; the form says where it is not."""
    expect(page.locator(CARD)).to_contain_text("Not linked")
    user = BrowserUser(page, demo.url)
    user.choose("Cloud")
    press(page, "button", "Start")
    user.wait_for_lab()


def open_identity(page: Page) -> Locator:
    """Open the Identity tab; return what it says of the HPC machine."""
    page.locator(".lm-TabBar-tab[data-id='farlab-identity']").click()
    return page.locator(".jp-farlab-Identity[data-site='hpc']")


def link(page: Page, place: Locator) -> None:
    assert "**Link now**" in TOUR
    with page.expect_popup() as opened:
        place.get_by_role("button", name=f"Link an account at {SITE}").click()
    link_account(opened.value, "alice")
    opened.value.close()
    expect(place.get_by_text("Linked", exact=True)).to_be_visible()


def start_on_gpu(page: Page, demo: RunningDemo) -> None:
    page.get_by_role("menuitem", name="File", exact=True).click()
    with page.expect_popup() as opened:
        page.get_by_role("menuitem", name="Hub Control Panel").click()
    opened.value.close()
    page.goto(f"{demo.url}hub/home")
    press(page, "button", "Stop My Server")
    press(page, "button", "Start My Server")
    user = BrowserUser(page, demo.url)
    user.choose(SITE, partition="gpu, 1 x A100")
    expect(page.locator(CARD)).to_contain_text("linked as alice")
    press(page, "button", "Start")
    user.wait_for_lab()


def compute(page: Page, demo: RunningDemo) -> None:
    user = BrowserUser(page, demo.url)
    user.new_notebook()
    first, load, offload = CELLS
    expect(user.add_cell(first)).to_contain_text(SHOWN[0])
    user.add_cell(load)
    expect(user.add_cell(offload)).to_contain_text(SHOWN[1])


def open_usage(page: Page) -> Locator:
    page.locator(".jp-farlab-UsageStatus").click()
    return page.locator(".jp-farlab-UsagePanel")


def see_jobs_and_budget(screen: Locator) -> None:
    now = screen.get_by_role("region", name="Now").get_by_role("row")
    expect(now).to_have_count(3)  # with the head: the server and the kernel
    expect(screen.get_by_role("region", name="Budgets")).to_contain_text("of 4 gpu-hours used")


def see_the_bar_grow(screen: Locator) -> None:
    screen.get_by_label("Quantity").select_option(label="GPU hours")
    bars = screen.get_by_role("region", name="GPU hours")

    def hours() -> float:
        found = re.search(r"hpc: ([\d.]+)", bars.inner_text())
        return float(found[1]) if found else 0.0

    def shown() -> float:
        wait_until(lambda: hours() > 0, "GPU hours", screen.inner_text)
        return hours()

    before = shown()
    wait_until(lambda: hours() > before, "the bar to grow", screen.inner_text)
