"""In a browser: log in on Keycloak's page, and use fresh tokens in a notebook ever after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from farlab_real.browser import BrowserUser, browser_page
from farlab_real.hub import RunningHub
from farlab_real.keycloak import RunningKeycloak
from farlab_real.keycloak_realms import PASSWORD
from farlab_real.oidc_hub import LAKE
from playwright.sync_api import Page

pytestmark = pytest.mark.timeout(600)  # servers start first

ASK = """
import base64, json, os, time, urllib.error, urllib.request
def ask():
    request = urllib.request.Request(
        os.environ["FARLAB_API_URL"].rstrip("/") + "/token",
        json.dumps(WISH).encode(),
        {"Authorization": "Bearer " + os.environ["JUPYTERHUB_API_TOKEN"]},
    )
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        return json.load(error)
def wait_for_end(token):
    payload = token["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    while time.time() <= claims["exp"]:
        time.sleep(0.2)
    return claims
print("ready")
"""
TWICE = """
first = ask()
was = wait_for_end(first)
second = ask()
now = wait_for_end(second)
print(was["aud"], now["aud"], now["exp"] > was["exp"], was["sub"] == now["sub"])
"""
AFTER = """
print(json.dumps({key: ask().get(key, "") for key in ("code", "fix")}))
"""
LOOK = """
print(any("eyJ" in value for value in os.environ.values()))
"""


@pytest.fixture(scope="module")
def short_lives(keycloak: RunningKeycloak) -> Iterator[None]:
    keycloak.hub.set_lifetimes(access=4)
    yield
    keycloak.hub.set_lifetimes(access=60)


@contextmanager
def trusting_page() -> Iterator[Page]:
    """Open a page that takes the certificate of the tests' own authority."""
    with browser_page() as page:
        browser = page.context.browser
        assert browser is not None
        context = browser.new_context(ignore_https_errors=True, viewport=page.viewport_size)
        context.set_default_timeout(90_000)
        yield context.new_page()


def log_in(page: Page, hub: RunningHub, name: str) -> None:
    page.goto(f"{hub.url}hub/login")
    page.locator("a[href*='oauth_login']").click()
    type_password(page, name)


def type_password(page: Page, name: str) -> None:
    page.fill("#username", name)
    page.fill("#password", PASSWORD)
    page.click("#kc-login")


def test_a_notebook_has_fresh_tokens_while_the_login_lives(
    hub: RunningHub, keycloak: RunningKeycloak, short_lives: None
) -> None:
    keycloak.hub.add_user("vera")
    with trusting_page() as page:
        user = BrowserUser(page, hub.url)
        log_in(page, hub, "vera")
        page.wait_for_url("**/hub/spawn**")
        user.choose("UKRI Cloud")
        user.start()
        user.wait_for_lab()
        user.new_notebook()
        assert "ready" in user.run_cell(f"WISH = {LAKE!r}\n{ASK}")
        assert "rucio rucio True True" in user.run_cell(TWICE)
        assert "False" in user.run_cell(LOOK)
        keycloak.hub.disable("vera")
        said = json.loads(user.run_cell(AFTER))
        assert said["code"] == "login-ended"
        assert "/hub/oauth_login" in said["fix"]
        keycloak.hub.enable("vera")
        # Logging in again in another tab is enough: the notebook goes on.
        other = page.context.new_page()
        for name in ("KEYCLOAK_IDENTITY", "KEYCLOAK_SESSION", "AUTH_SESSION_ID"):
            page.context.clear_cookies(name=name)
        other.goto(f"{hub.url}hub/oauth_login")
        type_password(other, "vera")
        other.wait_for_url(f"{hub.url}**")
        assert "rucio rucio True True" in user.run_cell(TWICE)
    hub.api("DELETE", "users/vera/server")
