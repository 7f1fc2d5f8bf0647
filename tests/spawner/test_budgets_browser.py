"""Budgets on the form in a browser: what a choice will use, what is left, and the refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from farlab_real.browser import BrowserUser, browser_page, without_javascript
from farlab_real.hub import RunningHub
from farlab_real.plugin import RunningPlugin
from farlab_real.world import machine_sites
from playwright.sync_api import Page, expect

MONTHLY: dict[str, Any] = {"name": "monthly", "users": ["*"], "unit": "core-hours", "amount": 36}
SIZE = "#fl-profile-option-cloud--lab--size"
CREDITS = {**MONTHLY, "name": "pilot", "unit": {"core": 1, "gib": 1}, "amount": 1000}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("budgets")
    with RunningPlugin(folder / "plugin", {"local": {"cpus": 4}}) as plugin:
        catalogue = machine_sites(plugin)
        accounts = folder / "accounts.csv"
        accounts.write_text("user,account\n")
        here = {key: value for key, value in catalogue["sites"][0].items() if key != "walltime"}
        unlinked = {"name": "hpc", "title": "Vega", "accounts": {"file": str(accounts)}}
        catalogue["sites"] += [{**here, **unlinked}, {**here, "name": "open", "title": "Open end"}]
        catalogue["budgets"] = [{**one, "window": "30 days"} for one in (MONTHLY, CREDITS)]
        with RunningHub(folder / "hub", catalogue) as running:
            yield running


def opened(page: Page, hub: RunningHub, name: str) -> BrowserUser:
    """Log in, and wait until the form's script has run."""
    user = BrowserUser(page, hub.url)
    user.log_in(name)
    expect(page.locator("#fl-summary")).to_be_visible()
    return user


def test_the_form_follows_the_choice(hub: RunningHub) -> None:
    with browser_page() as page:
        opened(page, hub, "una")
        use = page.locator("#fl-use")
        expect(use).to_contain_text("will use up to 8 core-hours")
        expect(use).to_contain_text("36 of 36 core-hours left (monthly)")
        expect(use).to_contain_text("takes up to 16 credits; 1000 of 1000 credits left (pilot)")
        page.locator(SIZE).select_option(label="Whole machine")
        expect(use).to_contain_text("will use up to 32 core-hours")
        expect(use.locator(".is-warn")).to_contain_text("over 80 % may be used")
        page.get_by_role("radio", name="Open end").check()
        expect(use).to_contain_text("will use in each hour 1 core-hour")
        vega = page.locator("[data-site=hpc]")
        expect(vega).to_contain_text("Not linked")
        expect(vega).to_contain_text("una has no account at Vega")
        with without_javascript(page) as bare:
            bare.goto(f"{hub.url}hub/spawn")
            expect(bare.locator("[data-site=cloud] .fl-budgets")).to_contain_text(
                "36 of 36 core-hours left (monthly)"
            )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_has_room_for_it(hub: RunningHub, dark: bool) -> None:
    with browser_page(360, 740, dark=dark) as page:
        opened(page, hub, "pam")
        expect(page.locator("#fl-use")).to_contain_text("core-hours left")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        expect(page.locator("#fl-start")).to_be_in_viewport()


def test_no_room_is_told_before_and_after_the_start(hub: RunningHub) -> None:
    catalogue = hub.catalogue.read_text()
    with browser_page() as page:
        user = opened(page, hub, "rob")
        page.locator(SIZE).select_option(label="Whole machine")
        expect(page.locator("#fl-use .is-warn")).to_be_visible()
        hub.catalogue.write_text(catalogue.replace("amount: 36", "amount: 20"))
        try:
            user.start()
            refusal = page.get_by_role("alert").filter(has_text="did not start")
            expect(refusal).to_contain_text("his may use 32 core-hours, and you have 20 left of 20")
            expect(refusal).to_contain_text("Choose less")
            page.goto(f"{hub.url}hub/spawn")
            page.locator(SIZE).select_option(label="Whole machine")
            no_room = page.locator("#fl-use .is-off")
            expect(no_room).to_contain_text("No room: 20 of 20 core-hours left (monthly)")
            expect(no_room).to_contain_text("It is more than the whole budget")
        finally:
            hub.catalogue.write_text(catalogue)
