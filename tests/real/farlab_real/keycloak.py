"""A real Keycloak on https, on loopback: the hub's login, and a site's own provider.

    with RunningKeycloak(folder) as keycloak:
        keycloak.hub.issuer, keycloak.hub.token("marie")["access_token"]
        keycloak.site.add_user("itw001")

It starts with two realms (`keycloak_realms`): `hub` has marie, who is a member of a VO, and carl,
who is of none; `site` has ada, who may have ALISE's API keys. It forgets everything at its end.
"""

from __future__ import annotations

import json
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from farlab_real import keycloak_realms as realms
from farlab_real.authority import Authority
from farlab_real.keycloak_build import DATABASE, PASSWORD, environment, keycloak, start_command
from farlab_real.keycloak_realms import ALISE_ADMIN, HUB, MEMBER, SECRET, SITE
from farlab_real.processes import Process, free_ports, wait_until
from farlab_real.running import Running

TIME_LIMIT_S = 60
FIRST_ANSWER_S = 240.0  # of processor time it needs ten, where many others want it too
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


class KeycloakError(AssertionError):
    """Keycloak refused a call; `status` and `body` are its answer."""

    def __init__(self, what: str, status: int, body: str) -> None:
        super().__init__(f"{what}: {status} {body[:1000]}")
        self.status, self.body = status, body


class RunningKeycloak(Running):
    """A Keycloak with the realms `hub` and `site`; `stop` and `start` are an outage.

    With `plain` it is on http, which browsers take for as safe as https on their own machine.
    """

    def __init__(
        self, folder: Path, authority: Authority | None = None, *, plain: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = authority or Authority(folder / "authority")
        self.plain = plain
        self.url = f"{'http' if plain else 'https'}://127.0.0.1:{free_ports(1)[0]}"
        self._trusted = ssl.create_default_context(cafile=self.authority.ca)
        self.hub, self.site = Realm(self, HUB), Realm(self, SITE)
        self._folder = folder
        self._admin_token, self._admin_until = "", 0.0
        self.process = Process(self._command(), folder / "keycloak.log", environment())

    def start(self) -> Self:
        """Start it, with both realms as they are at first."""
        for file in keycloak().glob(f"{DATABASE}.*"):
            shutil.copy(file, self._folder)
        self._admin_until = 0.0
        self.process.start()
        wait_until(self._is_up, "Keycloak", self.process.read_log, FIRST_ANSWER_S)
        for realm in (self.hub, self.site):
            realm.make()
        self.add_users()
        return self

    def add_users(self) -> None:
        """Add the users that it has at first."""
        self.hub.add_user("marie", entitlements=(MEMBER,))
        self.hub.add_user("carl")
        self.site.add_user("ada", entitlements=(ALISE_ADMIN,))

    def stop(self) -> None:
        """Stop it: all that it knew is gone."""
        self.process.stop()

    def post(
        self, path: str, form: Mapping[str, str], basic: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a form to an address below the server, and return the answer."""
        if basic:
            form = {**form, "client_id": basic[0], "client_secret": basic[1]}
        body = urllib.parse.urlencode(form).encode()
        answer: dict[str, Any] = self._call(urllib.request.Request(f"{self.url}{path}", body))[0]
        return answer

    def admin(self, method: str, path: str, content: Any = None) -> tuple[Any, str]:
        """Call the admin API below /admin/realms; returns the answer and its Location header."""
        headers = {
            "Authorization": f"Bearer {self._admins_token()}",
            "Content-Type": "application/json",
        }
        data = None if content is None else json.dumps(content).encode()
        address = f"{self.url}/admin/realms{path}"
        return self._call(urllib.request.Request(address, data, headers, method=method))

    def _admins_token(self) -> str:
        if self._admin_until < time.monotonic():
            form = {"grant_type": "password", "username": "admin", "password": PASSWORD}
            path = "/realms/master/protocol/openid-connect/token"
            told = self.post(path, {**form, "client_id": "admin-cli"})
            self._admin_token = told["access_token"]
            self._admin_until = time.monotonic() + told["expires_in"] / 2
        return self._admin_token

    def _call(self, request: urllib.request.Request) -> tuple[Any, str]:
        what = f"{request.get_method()} {request.full_url}"
        try:
            with urllib.request.urlopen(
                request, timeout=TIME_LIMIT_S, context=self._trusted
            ) as answer:
                text = answer.read()
                return json.loads(text) if text else None, answer.headers.get("Location", "")
        except urllib.error.HTTPError as error:
            raise KeycloakError(what, error.code, error.read().decode(errors="replace")) from error

    def _is_up(self) -> bool:
        assert self.process.running, f"Keycloak has ended:\n{self.process.read_log()[-4000:]}"
        return self._answers()

    def _answers(self) -> bool:
        try:
            self._call(urllib.request.Request(f"{self.url}/realms/master"))
        except (OSError, KeycloakError):
            return False
        return True

    def _command(self) -> list[str]:
        port = self.url.rpartition(":")[2]
        argv = [*start_command(keycloak(), self._folder), f"--hostname={self.url}"]
        if self.plain:
            return [*argv, "--http-enabled=true", f"--http-port={port}"]
        certificate, key = self.authority.issue("keycloak")
        argv += [f"--https-port={port}"]
        return [
            *argv,
            f"--https-certificate-file={certificate}",
            f"--https-certificate-key-file={key}",
        ]


class Realm:
    """One realm: its addresses, its users, and tokens for them."""

    def __init__(self, server: RunningKeycloak, name: str) -> None:
        self.name, self._server = name, server
        self.issuer = f"{server.url}/realms/{name}"
        self.discovery = f"{self.issuer}/.well-known/openid-configuration"
        self._path = f"/realms/{name}/protocol/openid-connect"

    def token(
        self, user: str, *, client: str = "hub", scope: str = "openid", password: str = PASSWORD
    ) -> dict[str, Any]:
        """Return what a login by name and password gives: access, refresh and ID token."""
        form = {"grant_type": "password", "username": user, "password": password, "scope": scope}
        return self._token(form, client)

    def refresh(self, refresh_token: str, *, client: str = "hub") -> dict[str, Any]:
        """Return what a refresh token gives."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self._token(form, client)

    def exchange(self, access_token: str, audience: str, *, client: str = "hub") -> dict[str, Any]:
        """Return a token for another audience, made from one for this client."""
        form = {"grant_type": EXCHANGE, "subject_token": access_token, "audience": audience}
        return self._token({**form, "subject_token_type": ACCESS_TOKEN, "scope": audience}, client)

    def add_user(
        self, name: str, *, entitlements: tuple[str, ...] = (), password: str = PASSWORD
    ) -> str:
        """Add a user; returns the subject that tokens will carry."""
        made = realms.user(name, password, entitlements)
        return self._admin("POST", "/users", made)[1].rpartition("/")[2]

    def subject(self, name: str) -> str:
        """Return a user's subject."""
        query = urllib.parse.urlencode({"username": name, "exact": "true"})
        found: list[dict[str, str]] = self._admin("GET", f"/users?{query}")[0]
        return found[0]["id"]

    def change_user(self, name: str, **changes: Any) -> None:
        """Change a user, with the words of Keycloak's user representation."""
        path = f"/users/{self.subject(name)}"
        self._admin("PUT", path, self._admin("GET", path)[0] | changes)

    def set_entitlements(self, name: str, *entitlements: str) -> None:
        """Give a user these entitlements and no others."""
        self.change_user(name, attributes={realms.CLAIM: list(entitlements)})

    def disable(self, name: str) -> None:
        """Close a user's account: no login and no refresh from now on."""
        self.change_user(name, enabled=False)

    def enable(self, name: str) -> None:
        """Open a user's account again."""
        self.change_user(name, enabled=True)

    def end_sessions(self, name: str) -> None:
        """Log a user out everywhere: refresh tokens end, access tokens live on to their end."""
        self._admin("POST", f"/users/{self.subject(name)}/logout")

    def set_lifetimes(self, **seconds: int) -> None:
        """Change how long new tokens (`access`) and logins (`idle`, `session`) live, in seconds."""
        self._admin("PUT", "", {realms.SETTINGS[key]: value for key, value in seconds.items()})

    def make(self) -> None:
        """Make the realm, with its clients and without users."""
        self._server.admin("POST", "", realms.realm(self.name))
        profile = self._admin("GET", "/users/profile")[0]
        self._admin("PUT", "/users/profile", profile | {"unmanagedAttributePolicy": "ENABLED"})
        for scope in realms.scopes():
            self._admin("POST", "/client-scopes", scope)
        scopes = {one["name"]: one["id"] for one in self._admin("GET", "/client-scopes")[0]}
        clients = {one["clientId"]: one["id"] for one in self._admin("GET", "/clients")[0]}
        for name in ("hub", "alise"):
            path = f"/clients/{clients[name]}"
            always, asked = realms.defaults(name)
            for one in always:
                self._admin("PUT", f"{path}/default-client-scopes/{scopes[one]}")
            for one in asked:
                self._admin("PUT", f"{path}/optional-client-scopes/{scopes[one]}")

    def _token(self, form: Mapping[str, str], client: str) -> dict[str, Any]:
        return self._server.post(f"{self._path}/token", form, (client, SECRET))

    def _admin(self, method: str, path: str, content: Any = None) -> tuple[Any, str]:
        return self._server.admin(method, f"/{self.name}{path}", content)
