"""A real hub whose users log in at a real Keycloak, by HTTP, as a browser without JavaScript.

hub = oidc_hub(folder, keycloak, sites, lakes=[...], login={"exchange": True})
with hub, OidcUser(hub, keycloak, "marie") as marie:
    marie.spawn(...)
"""

from __future__ import annotations

import html
import re
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from farlab_real.hub import RunningHub
from farlab_real.keycloak import RunningKeycloak
from farlab_real.keycloak_realms import PASSWORD, SECRET
from farlab_real.user import HubUser

VO = "dev.intertwin.eu"
LAKE = {"audience": "rucio", "scope": "openid rucio"}
"""A token that Keycloak gives by exchange."""
REFUSED = {"audience": "elsewhere", "scope": "openid"}
"""A token that it refuses."""

KEEP_LOGIN = """
from farlab_spawner.authenticator import FarlabLogin
c.JupyterHub.authenticator_class = FarlabLogin
"""


def login_of(keycloak: RunningKeycloak, folder: Path, **more: Any) -> dict[str, Any]:
    """Return the catalogue's `login:` for a Keycloak's realm of the hub."""
    secret = folder / "client.secret"
    folder.mkdir(parents=True, exist_ok=True)
    secret.write_text(SECRET)
    secret.chmod(0o600)
    return {
        "issuer": keycloak.hub.issuer,
        "client_id": "hub",
        "client_secret_file": str(secret),
        "ca": str(keycloak.authority.ca),
        **more,
    }


def oidc_hub(
    folder: Path,
    keycloak: RunningKeycloak,
    catalogue: Mapping[str, Any],
    *,
    login: Mapping[str, Any] | None = None,
    more: str = "",
    python: Path | str = sys.executable,
) -> RunningHub:
    """Return a hub, not yet started; `python` may be another environment's."""
    said = {**catalogue, "login": login_of(keycloak, folder, **(login or {}))}
    return RunningHub(folder, said, more=KEEP_LOGIN + more, python=python)


class OidcUser(HubUser):
    """A user who logs in on Keycloak's page."""

    def __init__(self, hub: RunningHub, keycloak: RunningKeycloak, name: str) -> None:
        super().__init__(hub.url, name)
        self._token = ""
        trusted = ssl.create_default_context(cafile=keycloak.authority.ca)
        self.http = httpx.Client(
            base_url=hub.url, follow_redirects=True, timeout=60, verify=trusted
        )

    def login(self) -> Self:
        """Log in; ends on the hub's page."""
        answer = self.try_login()
        assert answer.status_code == 200, answer.text
        self.name = self.http.get("hub/api/user", params={"_xsrf": self.xsrf}).json()["name"]
        return self

    def try_login(self, password: str = PASSWORD) -> httpx.Response:
        """Send name and password to the provider's page; return where that leads."""
        page = self.http.get("hub/oauth_login")
        if urlsplit(str(page.url)).path.startswith("/hub/"):
            return page  # the provider knew the browser still
        found = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        assert found, page.text
        form = {"username": self.name, "password": password, "credentialId": ""}
        return self.http.post(html.unescape(found[1]), data=form)

    # -- the Farlab service, as a script of the user's would call it ------------------------------

    def api_token(self) -> str:
        """Return a new token of the hub for this user."""
        answer = self.api("POST", f"users/{self.name}/tokens", {"expires_in": 3600})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def farlab(self, method: str, path: str, body: Any = None, token: str = "") -> httpx.Response:
        """Call the Farlab service as this user."""
        self._token = self._token or self.api_token()
        return httpx.request(
            method,
            f"{self.hub_url}services/farlab/api/{path}",
            json=body,
            headers={"Authorization": f"Bearer {token or self._token}"},
            timeout=60,
        )
