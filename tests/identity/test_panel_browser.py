"""The Identity panel in a real JupyterLab, with sites that are open, closed and of no account."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from farlab_real.browser import browser_page
from farlab_real.lab import RunningLab
from farlab_real.plugin import RunningPlugin
from playwright.sync_api import Locator, Page, expect

PROFILE = {
    "name": "small",
    "title": "Small",
    "sizes": [{"title": "1 CPU", "cpu": 1, "memory": "1Gi"}],
    "images": [{"title": "this one", "image": sys.prefix}],
}


def open_panel(page: Page, lab: RunningLab) -> Locator:
    """Open JupyterLab and show the panel; return it."""
    page.goto(lab.address())
    expect(page.locator(".jp-Launcher")).to_be_visible()
    page.locator(".lm-TabBar-tab[data-id='farlab-identity']").click()
    return page.get_by_role("region", name="Identity", exact=True)


@pytest.fixture
def accounts(tmp_path: Path) -> Path:
    file = tmp_path / "accounts.csv"
    file.write_text("user,account\n")
    return file


@pytest.fixture
def lab(tmp_path: Path, accounts: Path) -> Iterator[RunningLab]:
    with RunningPlugin(tmp_path / "plugin", {"local": {}}) as plugin:
        common = {"carrier": plugin.carrier, "profiles": [PROFILE]}
        linking = {"url": "http://127.0.0.1:9", "site": "vega-kc"}
        (tmp_path / "key").write_text("a key\n")
        sites = [
            {"name": "here", "title": "Here", "kind": "cloud"},
            {"name": "hpc", "title": "Vega", "kind": "hpc", "accounts": {"file": str(accounts)}},
            {
                **{"name": "htc", "title": "Grid", "kind": "htc"},
                "accounts": {"alise": {**linking, "key_file": str(tmp_path / "key")}},
            },
            {"name": "q", "title": "Qubits", "kind": "quantum", "groups": ["physics"]},
        ]
        catalogue = tmp_path / "sites.yaml"
        catalogue.write_text(yaml.safe_dump({"sites": [{**site, **common} for site in sites]}))
        option = f"--FarlabServerApp.catalogue={catalogue}"
        with RunningLab(tmp_path / "lab", {}, option) as running:
            yield running


def test_each_site_says_who_the_user_is_there_and_what_to_do(
    lab: RunningLab, accounts: Path
) -> None:
    with browser_page() as page:
        panel = open_panel(page, lab)
        expect(panel).to_contain_text(getpass.getuser())

        def site(title: str) -> Locator:
            return panel.get_by_role("listitem").filter(has_text=title)

        expect(site("Here")).to_contain_text("No account needed")
        expect(site("Here").get_by_role("button")).to_have_count(0)
        expect(site("Qubits")).to_contain_text("Closed to you")
        expect(site("Qubits")).to_contain_text("Only members of physics may use Qubits.")
        expect(site("Grid")).to_contain_text("Can't check")
        expect(site("Vega")).to_contain_text("Not linked")
        expect(site("Vega")).to_contain_text("has no account at Vega")

        accounts.write_text(f"user,account\n{getpass.getuser()},itw001\n")
        page.get_by_role("button", name="Check your account at Vega again").click()
        expect(site("Vega")).to_contain_text("Linked")
        expect(site("Vega")).to_contain_text("as itw001, by the operator's list")
        expect(panel.get_by_role("status")).to_contain_text("Vega: Linked")

        accounts.unlink()
        page.wait_for_timeout(1100)  # the service answers one question a second
        page.get_by_role("button", name="Check your account at Vega again").click()
        expect(site("Vega")).to_contain_text("Can't check")


def test_linking_is_followed_in_the_other_tab_to_its_end(lab: RunningLab) -> None:
    with browser_page() as page:
        panel = open_panel(page, lab)
        grid = panel.get_by_role("listitem").filter(has_text="Grid")
        # Nothing listens at this site's page; what comes of it is seen by its answers alone.
        with page.context.expect_page() as opened:
            grid.get_by_role("button", name="Link an account at Grid").click()
        opened.value.close()
        expect(grid).to_contain_text("Go on in the other tab")

        def linked(route) -> None:  # type: ignore[no-untyped-def]
            told = next(
                one
                for one in lab.call("GET", "farlab/api/identity")["sites"]
                if one["site"] == "htc"
            )
            told |= {"state": "linked", "account": "itw002", "open": True}
            told["external"] = [
                {"issuer": "https://iam.example", "subject": "1", "name": "alice", "last_seen": 0}
            ]
            route.fulfill(body=json.dumps(told), content_type="application/json")

        page.route("**/farlab/api/identity/htc/check*", linked)
        expect(grid).to_contain_text("as itw002, by account linking (ALISE)")
        expect(grid).to_contain_text("alice at iam.example")
        expect(grid.get_by_role("button", name="Unlink your account at Grid")).to_be_visible()
        expect(grid).not_to_contain_text("Go on in the other tab")


def test_a_service_that_is_away_is_told_and_asked_again(lab: RunningLab) -> None:
    with browser_page() as page:
        page.route("**/farlab/api/identity*", lambda route: route.abort())
        panel = open_panel(page, lab)
        expect(panel.get_by_role("alert")).to_contain_text("did not answer")
        page.unroute("**/farlab/api/identity*")
        panel.get_by_role("button", name="Try again").click()
        expect(panel.get_by_role("listitem").first).to_contain_text("Here")
