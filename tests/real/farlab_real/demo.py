"""The demo as a newcomer starts it, and what they do in a browser to log in and to link an account.

with RunningDemo(log) as demo, browser_page() as page:
    log_in(page, demo, "alice")
"""

from __future__ import annotations

import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Self

import httpx
import psutil  # type: ignore[import-untyped]
from playwright.sync_api import Page

from farlab_real.oidc_hub import OidcUser
from farlab_real.processes import Process, free_ports, wait_until
from farlab_real.running import Running
from farlab_real.user import HubUser

REPOSITORY = Path(__file__).resolve().parents[3]
UP_S = 360.0
DOWN_S = 90.0


class RunningDemo(Running):
    """The demo, in a folder that its local accounts can reach and that is removed at the end."""

    def __init__(self, log: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="farlab-demo-"))
        self.folder.chmod(0o711)
        port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}/"
        command = [sys.executable, str(REPOSITORY / "demo/start.py"), "--port", str(port)]
        self.process = Process([*command, "--folder", str(self.folder)], log)

    @property
    def alise(self) -> str:
        """Where accounts are linked, as the demo has printed it."""
        found = re.search(r"linked at +(\S+)", self.process.read_log())
        assert found, f"the demo has no login:\n{self.process.read_log()}"
        return found[1]

    def start(self) -> Self:
        """Start it and wait until it says where it is."""
        self.process.start()
        log = self.process.read_log
        try:
            wait_until(lambda: "Ctrl-C stops" in log() or not self.running, "demo", log, UP_S)
            assert self.running, f"the demo does not start:\n{log()}"
        except AssertionError:
            self.end()
            raise
        return self

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.process.running

    def stop(self) -> None:
        """Press Ctrl-C, and wait until it has stopped everything."""
        program = psutil.Process(self.process.pid)
        program.send_signal(signal.SIGINT)
        program.wait(DOWN_S)

    def end(self) -> None:
        """Stop it in any case, and leave nothing."""
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class DemoUser(OidcUser):
    """A user of the demo by HTTP; the password is the name."""

    def __init__(self, demo: RunningDemo, name: str) -> None:
        HubUser.__init__(self, demo.url, name)
        self._token = ""
        self.http.event_hooks = {"response": [self._take_secure_cookies]}

    def _take_secure_cookies(self, _: httpx.Response) -> None:
        """Send the provider's `Secure` cookies over http: on loopback browsers do that too."""
        for cookie in self.http.cookies.jar:
            cookie.secure = False

    def try_login(self, password: str = "") -> httpx.Response:
        """Send name and password to the provider's page; return where that leads."""
        return super().try_login(password or self.name)

    def login(self) -> Self:
        """Log in; ends on the hub's page."""
        answer = self.try_login()
        assert answer.status_code == 200, answer.text
        return self


def log_in(page: Page, demo: RunningDemo, name: str) -> None:
    """Log in at the hub; ends on the spawn form."""
    page.goto(demo.url)
    page.get_by_role("button", name="Sign in with Keycloak").click()
    type_name(page, name)
    page.wait_for_url("**/hub/spawn**")


def type_name(page: Page, name: str) -> None:
    """Fill in the login page that is shown."""
    page.get_by_label("Username or email").fill(name)
    page.get_by_label("Password", exact=True).fill(name)
    page.get_by_role("button", name="Sign In").click()


def link_account(tab: Page, name: str) -> None:
    """Link the account of this name at ALISE's page; who is logged in at the hub is linked."""
    type_name(tab, name)
    tab.get_by_role("link", name="Link identity").click()
    tab.get_by_role("link", name="Unlink identity").wait_for()
