"""The form and the progress page in a browser: keyboard, phone, dark mode, without JavaScript."""

from __future__ import annotations

import re

import pytest
from farlab_real.browser import PATIENCE_MS, BrowserUser, browser_page
from farlab_real.processes import wait_until
from farlab_real.world import World
from playwright.sync_api import Page, expect


def opened(page: Page, world: World, name: str) -> BrowserUser:
    """Log in, and wait until the form's script has run."""
    user = BrowserUser(page, world.hub.url)
    user.log_in(name)
    expect(page.locator("#fl-summary")).to_be_visible()
    return user


def focused(page: Page) -> str:
    """Return the id of the element with the keyboard's focus."""
    return str(page.evaluate("document.activeElement.id"))


def tab_to(page: Page, element: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(40):
        if focused(page) == element:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {element}")


def test_keyboard_alone_is_enough(world: World) -> None:
    with browser_page() as page:
        opened(page, world, "kay")
        summary = page.locator("#fl-summary")
        expect(summary).to_contain_text("UKRI Cloud · JupyterLab")
        tab_to(page, "fl-site-cloud")
        tab_to(page, "fl-profile-option-cloud--lab--size")
        page.keyboard.press("ArrowDown")
        expect(summary).to_contain_text("Whole machine · Python 3 · ends after 8 hours")
        tab_to(page, "fl-profile-option-cloud--lab--image")
        page.keyboard.press("End")
        other = page.get_by_label("Other image", exact=True)
        expect(other).to_be_visible()
        tab_to(page, str(other.get_attribute("id")))
        page.keyboard.type("/elsewhere")
        tab_to(page, "fl-start")
        problem = page.get_by_role("alert").filter(has_text="must match /opt/.*")
        expect(problem).to_be_visible()
        expect(other).to_have_attribute("aria-invalid", "true")
        page.keyboard.press("Enter")
        assert page.url.endswith("/hub/spawn")  # the browser does not send it
        other.fill("/opt/mine")
        expect(problem).to_be_hidden()
        expect(summary).to_contain_text("/opt/mine")
        page.get_by_label("Image", exact=True).select_option(label="Broken")
        tab_to(page, "fl-start")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert").filter(has_text="did not start")).to_be_visible()
        # A start that fails within JupyterHub's first second is answered with the form itself.
        if not page.locator("#spawn_form").count():
            page.get_by_role("link", name="Back to the form").click()
        expect(page.get_by_label("Image", exact=True)).to_have_value("broken")


def test_progress_is_live_and_can_be_cancelled(world: World) -> None:
    first = world.user("first")
    first.spawn({"profile": "cloud--lab", "size": "whole-machine"})
    first.wait_until_ready()
    with browser_page() as page:
        lea = opened(page, world, "lea")
        lea.start()
        queued = page.locator("[data-stage=queued]")
        expect(queued).to_have_attribute("aria-current", "step")
        expect(queued).to_contain_text("place 1 of 1")
        expect(page.locator("[data-stage=submitted]")).to_contain_text("Job")
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("button", name="Keep waiting").click()
        expect(queued).to_be_visible()
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("button", name="Cancel the start").click()
        page.wait_for_url("**/hub/spawn/lea**")
        wait_until(lambda: "lea/" not in world.live(), "the job to be cancelled")
        lea.start()
        expect(page.locator("[data-stage=queued]")).to_have_attribute("aria-current", "step")
        first.stop()
        page.wait_for_url("**/user/lea/lab**")
        page.wait_for_selector("#jp-main-dock-panel")
    lea_again = world.user("lea")
    lea_again.stop()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_phone(world: World, dark: bool) -> None:
    with browser_page(360, 740, dark=dark) as page:
        opened(page, world, "pia")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
        assert (brightness < 80) is dark
        start = page.locator("#fl-start")
        expect(start).to_be_in_viewport()
        expect(page.locator("#fl-site-down")).to_be_disabled()


def test_form_works_without_javascript(world: World) -> None:
    # The machine is full at first: a start that fails within JupyterHub's first second would be
    # answered with the form, and never with the page of a server that is starting.
    first = world.user("nell")
    first.spawn({"profile": "cloud--lab", "size": "whole-machine"})
    first.wait_until_ready()
    with browser_page() as page:
        opened(page, world, "nora")
        cookies = page.context.cookies()
        browser = page.context.browser
        assert browser is not None
        plain = browser.new_context(java_script_enabled=False)
        plain.set_default_timeout(PATIENCE_MS)
        plain.add_cookies(cookies)  # type: ignore[arg-type]
        bare = plain.new_page()
        bare.goto(f"{world.hub.url}hub/spawn")
        bare.get_by_label("CPU and memory").select_option(label="Whole machine")
        bare.get_by_label("Image", exact=True).select_option(label="Broken")
        bare.get_by_role("button", name="Start").click()
        bare.wait_for_url("**/spawn-pending/**")
        first.stop()
        nora = world.user("nora")
        nora.wait_until_stopped()
        bare.reload()
        expect(bare.get_by_role("heading", name="The server did not start")).to_be_visible()
        bare.get_by_role("link", name="Back to the form").click()
        expect(bare.get_by_label("Image", exact=True)).to_have_value("broken")
        plain.close()
