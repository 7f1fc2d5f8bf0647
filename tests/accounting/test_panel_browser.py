"""The Usage screen in a real JupyterLab: a kernel at a site runs, and its hours are seen."""

from __future__ import annotations

import getpass
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from farlab_real.browser import browser_page
from farlab_real.lab import RunningLab
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import wait_until
from playwright.sync_api import Locator, Page, expect

PROFILE = {
    "name": "small",
    "title": "Small",
    "sizes": [{"title": "2 CPU", "cpu": 2, "memory": "1Gi"}],
    "images": [{"title": "this one", "image": sys.prefix}],
    "walltime": "1:00:00",
}
BUDGET = {"name": "monthly", "users": ["*"], "unit": "core-hours", "window": "30 days"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunningLab]:
    with RunningPlugin(tmp_path / "plugin", {"local": {}}) as plugin:
        site = {"name": "here", "title": "Here", "kind": "cloud", "carrier": plugin.carrier}
        accounting = {"name": "HERE", "watts": {"core": 10}, "grid": 300}
        target = {"name": "apel", "records": "cloud", "folder": str(tmp_path / "queue")}
        catalogue = tmp_path / "sites.yaml"
        described = {
            "sites": [{**site, "profiles": [PROFILE], "accounting": accounting}],
            "budgets": [{**BUDGET, "amount": 3}],
            "accounting": {"managers": {"crew": [getpass.getuser()]}},
            "publishing": [target],
        }
        catalogue.write_text(yaml.safe_dump(described))
        option = f"--FarlabServerApp.catalogue={catalogue}"
        groups = "--FarlabServerApp.groups=crew"
        with RunningLab(tmp_path / "lab", {}, option, groups) as running:
            yield running


def open_screen(page: Page, lab: RunningLab) -> Locator:
    """Open JupyterLab and the screen from its launcher; return it."""
    page.goto(lab.address())
    page.locator(".jp-LauncherCard").filter(has_text="Usage").click()
    return page.locator(".jp-farlab-UsagePanel")


def test_a_kernels_hours_are_seen_while_it_runs_and_after(lab: RunningLab, tmp_path: Path) -> None:
    with browser_page() as page:
        screen = open_screen(page, lab)
        expect(screen.get_by_role("region", name="Now")).to_contain_text("Nothing of yours runs")
        expect(screen.get_by_role("region", name="History")).to_contain_text("Nothing ended")

        asked = {"kind": "kernel", "site": "here", "name": "mine"}
        workload = lab.call("POST", "farlab/api/workloads", asked)
        again(screen)
        row = screen.get_by_role("region", name="Now").get_by_role("row", name=re.compile("^mine"))
        expect(row).to_contain_text("here small")
        expect(row).to_contain_text(re.compile(r"\d+ seconds?"))
        # It may use two cores for an hour, of three core hours.
        expect(screen.get_by_role("region", name="Budgets")).to_contain_text("of 3 core-hours used")

        wait_until(lambda: has_started(lab), "the kernel's job to start")
        lab.call("DELETE", f"farlab/api/workloads/{workload['uid']}")
        history = screen.get_by_role("region", name="History")
        ended = history.get_by_role("row").filter(has_text="here small")
        page.get_by_label("Span").select_option("days")
        expect(ended).to_contain_text("Cancelled")
        expect(screen.get_by_text("Core hours", exact=True).first).to_be_visible()
        expect(screen.locator("canvas")).to_be_visible()
        expect(screen).to_contain_text("Energy, estimated")

        with page.expect_download() as download:
            history.get_by_role("link", name="Save as csv").click()
        text = download.value.path().read_text()
        assert workload["uid"] in text
        assert "core" in text.splitlines()[0]

        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        ended.get_by_role("button", name="Show what is published of job").press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("APEL-cloud-message: v0.4")
        expect(dialog).to_contain_text(f"VMUUID: {workload['uid']}")
        expect(dialog).to_contain_text("SiteName: HERE")
        dialog.get_by_role("button", name="Copy").click()
        expect(dialog).to_be_hidden()
        assert f"VMUUID: {workload['uid']}" in page.evaluate("navigator.clipboard.readText()")

        # As its manager, the group's usage: all of it is this user's.
        page.get_by_label("Whose usage").select_option(label="The group crew")
        users = screen.get_by_role("region", name="Users")
        expect(users).to_contain_text(getpass.getuser())
        starts = screen.get_by_role("region", name="Starts")
        expect(starts).to_contain_text("here")
        expect(history.get_by_role("row").filter(has_text="here small")).to_have_count(1)


def has_started(lab: RunningLab) -> bool:
    """Say whether what lives counts already."""
    return all(one["started"] is not None for one in lab.call("GET", "farlab/api/usage/now"))


def again(screen: Locator) -> None:
    """Have the screen ask anew, as it does by itself after a while."""
    screen.get_by_label("Span").select_option("last-month")
    screen.get_by_label("Span").select_option("month")


def test_a_budget_without_room_refuses_with_the_reason_and_is_shown(
    lab: RunningLab, tmp_path: Path
) -> None:
    catalogue = tmp_path / "sites.yaml"
    described = yaml.safe_load(catalogue.read_text())
    described["budgets"] = [{**BUDGET, "amount": 2}]
    catalogue.write_text(yaml.safe_dump(described))
    lab.call("POST", "farlab/api/workloads", {"kind": "kernel", "site": "here", "name": "one"})
    with pytest.raises(Exception, match="429"):
        lab.call("POST", "farlab/api/workloads", {"kind": "kernel", "site": "here", "name": "two"})
    with browser_page() as page:
        screen = open_screen(page, lab)
        budgets = screen.get_by_role("region", name="Budgets")
        expect(budgets).to_contain_text("Used up: nothing new starts")
        page.get_by_title("This month at sites; click for more").click()
        expect(page.locator(".jp-farlab-UsageStatus")).to_contain_text("monthly: 0 of 2 core-hours")


def test_a_service_that_is_away_is_told_and_asked_again(lab: RunningLab) -> None:
    with browser_page() as page:
        page.route("**/farlab/api/usage*", lambda route: route.abort())
        page.route("**/farlab/api/usage/**", lambda route: route.abort())
        screen = open_screen(page, lab)
        expect(screen.get_by_role("alert").first).to_contain_text("did not answer")
        page.unroute("**/farlab/api/usage*")
        page.unroute("**/farlab/api/usage/**")
        screen.get_by_role("button", name="Try again").first.click()
        expect(screen.get_by_text("Core hours", exact=True).first).to_be_visible()
