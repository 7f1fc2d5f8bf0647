"""A real ALISE on loopback: it links the users of the hub's login to a site's own accounts.

    with RunningAlise(folder, keycloak) as alise:
        key = alise.api_key()
        visitor = alise.link("itw001", "marie")
        alise.url, alise.site

Its internal provider is Keycloak's realm `site`, whose user names are the local accounts; its
external one is the realm `hub`. Nobody needs a browser: a visitor goes through the same pages.
"""

from __future__ import annotations

import hashlib
import html
import http.cookiejar
import json
import os
import re
import secrets
import socket
import sqlite3
import ssl
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from farlab_real.hub import REPOSITORY
from farlab_real.keycloak import Realm, RunningKeycloak
from farlab_real.keycloak_realms import ALISE_ADMIN, CLAIM, PASSWORD, SECRET
from farlab_real.processes import Process, free_ports
from farlab_real.running import Running

VENV = REPOSITORY / ".venv-alise"
SITE, HUB = "vega-kc", "hub"
TIME_LIMIT_S = 60
FORM = re.compile(r'<form[^>]*id="kc-form-login"[^>]*action="([^"]+)"')


class RunningAlise(Running):
    """An ALISE with one site; `stop` and `start` are an outage, after which it knows its links."""

    def __init__(self, folder: Path, keycloak: RunningKeycloak, *, site: str = SITE) -> None:
        self._folder, self._keycloak, self.site = folder, keycloak, site
        (folder / ".config").mkdir(parents=True, exist_ok=True)
        (folder / ".config/alise.conf").write_text(self._configuration())
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        uvicorn = [str(VENV / "bin/uvicorn"), "alise.daemon:app", "--host", "127.0.0.1"]
        bundle = str(keycloak.authority.bundle)
        trust = {"REQUESTS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle}
        argv = [*uvicorn, "--port", str(self.port)]
        self.process = Process(argv, folder / "alise.log", {**os.environ, **trust})

    def start(self) -> Self:
        """Start it; Keycloak must run."""
        self.process.start()
        self.process.wait_until(self._answers, "ALISE")
        return self

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()

    def api_key(self) -> str:
        """Return a new key for the site, got with the token of someone who may have one."""
        token = self._keycloak.site.token("ada")["access_token"]
        status, answer = self.get(f"/api/v1/target/{self.site}/get_apikey", token)
        assert status == 200, f"no key from ALISE: {status} {answer}"
        return str(answer["apikey"])

    def give_key(self) -> str:
        """Return a new key, put into ALISE's database: its own call wants a provider on https."""
        key = secrets.token_hex(16)
        columns = "ownername TEXT, owneremail TEXT, sub TEXT, iss TEXT, apikey TEXT"
        self._change(f"CREATE TABLE IF NOT EXISTS apikeys ({columns})")
        self._change("INSERT INTO apikeys (apikey) VALUES (?)", key)
        return key

    def revoke(self, key: str) -> None:
        """Take a key back; ALISE itself has no way to do that."""
        self._change("DELETE FROM apikeys WHERE apikey = ?", key)

    def mapping(self, key: str, subject: str, issuer: str = "") -> tuple[int, Any]:
        """Return ALISE's own answer for someone of the hub's login."""
        digest = hashlib.sha1((issuer or self._keycloak.hub.issuer).encode()).hexdigest()
        who = f"issuer/{digest}/user/{urllib.parse.quote_plus(subject)}"
        return self.get(f"/api/v1/target/{self.site}/mapping/{who}?apikey={key}")

    def get(self, path: str, token: str = "") -> tuple[int, Any]:
        """Return the status and the content of one address."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=TIME_LIMIT_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def visitor(self) -> Visitor:
        """Return somebody with a fresh browser, so to say."""
        return Visitor(self, self._keycloak)

    def link(self, account: str, user: str) -> Visitor:
        """Link a user of the hub's login to the site's account of that name; both must exist."""
        visitor = self.visitor()
        visitor.link(account, user)
        return visitor

    def _change(self, statement: str, *values: str) -> None:
        with sqlite3.connect(self._folder / f"links_{self.site}.db") as database:
            database.execute(statement, values)
        database.close()

    def _configuration(self) -> str:
        claims = (
            f"admin_entitlement = {json.dumps([ALISE_ADMIN])}\nadmin_entitlement_claim = {CLAIM}\n"
        )
        site, hub = self._keycloak.site, self._keycloak.hub
        own = "internal = True\nusername_claim = preferred_username\n"
        sections = [_provider(self.site, site) + own + claims, _provider(HUB, hub) + claims]
        return "\n".join([*sections, f"[database]\ndb_name = {self._folder}/links\n"])

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True


class Visitor:
    """Someone at ALISE's pages, with the cookies of a browser."""

    def __init__(self, alise: RunningAlise, keycloak: RunningKeycloak) -> None:
        self._alise = alise
        trusted = ssl.create_default_context(cafile=keycloak.authority.ca)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=trusted),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def link(self, account: str, user: str) -> None:
        """Log in at the site, then at the hub's login, as ALISE's page asks for."""
        self._login(f"/{self._alise.site}", account)
        self._login(f"/{self._alise.site}/link/{HUB}", user)

    def unlink(self) -> None:
        """Take the link away that this visitor has made."""
        self._page(f"{self._alise.url}/{self._alise.site}/unlink/{HUB}")

    def _login(self, path: str, name: str) -> None:
        page = self._page(f"{self._alise.url}{path}")
        form = FORM.search(page)
        assert form, f"no login form at {path}: {page[:2000]}"
        words = {"username": name, "password": PASSWORD, "credentialId": ""}
        self._page(html.unescape(form[1]), words)

    def _page(self, address: str, form: Mapping[str, str] | None = None) -> str:
        body = None if form is None else urllib.parse.urlencode(form).encode()
        with self._opener.open(address, body, timeout=TIME_LIMIT_S) as answer:
            return str(answer.read().decode())


def _provider(name: str, realm: Realm) -> str:
    return (
        f"[auth.{name}]\nop_url = {realm.issuer}\nclient_id = alise\nclient_secret = {SECRET}\n"
        "scopes = openid profile email\n"
    )
