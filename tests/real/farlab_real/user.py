"""A user of a hub, as a browser without JavaScript would be one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from farlab_real.processes import wait_until

ADMIN_TOKEN = "token-of-the-tests-which-may-do-everything"


class HubUser:
    """A logged-in user. `http` is the session; paths of `get` and `post` are below the server."""

    def __init__(self, hub_url: str, name: str) -> None:
        self.hub_url = hub_url
        self.name = name
        self.http = httpx.Client(base_url=hub_url, follow_redirects=True, timeout=60)

    def login(self) -> Self:
        """Log in through the login page."""
        page = self.http.get("hub/login")
        page.raise_for_status()
        answer = self.http.post(
            "hub/login",
            data={"username": self.name, "password": "", "_xsrf": self.xsrf},
            follow_redirects=False,
        )
        assert answer.status_code == 302, answer.text
        # The hub has its own spelling of a name: lower case, for one.
        self.name = self.http.get("hub/api/user", params={"_xsrf": self.xsrf}).json()["name"]
        return self

    @property
    def xsrf(self) -> str:
        """The token that the hub's pages send along with a form."""
        return (
            max(
                (
                    c
                    for c in self.http.cookies.jar
                    if c.name == "_xsrf" and c.path.endswith("/hub/")
                ),
                key=lambda cookie: len(cookie.path),
            ).value
            or ""
        )

    # -- the form ---------------------------------------------------------------------------------

    def form(self, server: str = "", query: str = "") -> str:
        """Return the HTML of the spawn form."""
        return self.http.get(self._hub_path("spawn", server) + query).text

    def spawn(self, options: Mapping[str, str], server: str = "") -> httpx.Response:
        """Send the form with these user_options; return the page that follows."""
        profile = options["profile"]
        fields = {"farlab-site": profile.partition("--")[0]}
        fields[f"farlab-profile-{fields['farlab-site']}"] = profile
        for name, value in options.items():
            if name != "profile":
                fields[f"profile-option-{profile}--{name}"] = value
        return self.post_form(fields, server)

    def post_form(self, fields: Mapping[str, str], server: str = "") -> httpx.Response:
        """Send the form with these fields as they are."""
        self.form(server)
        return self.http.post(
            self._hub_path("spawn", server), params={"_xsrf": self.xsrf}, data=dict(fields)
        )

    # -- the server -------------------------------------------------------------------------------

    def model(self, server: str = "") -> dict[str, Any]:
        """Return JupyterHub's model of the server; empty when there is none."""
        answer = self.api("GET", f"users/{quote(self.name, safe='')}")
        answer.raise_for_status()
        servers: dict[str, dict[str, Any]] = answer.json().get("servers") or {}
        return servers.get(server, {})

    def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Call JupyterHub's API with the browser's cookie."""
        return self.http.request(
            method,
            f"hub/api/{path}",
            params={"_xsrf": self.xsrf},
            content=None if body is None else json.dumps(body),
        )

    def wait_until_ready(self, server: str = "", deadline: float = 240.0) -> None:
        """Wait until the server is ready; fail with its progress log when it is not."""

        def ready() -> bool:
            model = self.model(server)
            if not model.get("ready") and not model.get("pending"):
                page = self.http.get(self._hub_path("spawn-pending", server)).text
                raise AssertionError(f"the server did not start: {_text(page)}")
            return bool(model.get("ready"))

        wait_until(ready, f"{self.name}'s server", deadline=deadline)
        # The server's own cookie, which calls of its API need: they are not sent to log in.
        self.get("lab", server).raise_for_status()

    def progress(self, server: str = "") -> Iterator[dict[str, Any]]:
        """Yield the events of the progress page until the start has ended."""
        url = f"hub/api/{self._server_path(server)}/progress"
        with self.http.stream("GET", url, params={"_xsrf": self.xsrf}, timeout=120) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def stop(self, server: str = "", *, remove: bool = False) -> None:
        """Stop the server, or cancel its start, and wait until it is gone."""
        answer = self.api("DELETE", self._server_path(server), {"remove": True} if remove else None)
        assert answer.status_code in (202, 204), answer.text
        self.wait_until_stopped(server)

    def wait_until_stopped(self, server: str = "", deadline: float = 240.0) -> None:
        """Wait until JupyterHub has no such server any more."""

        def stopped() -> bool:
            model = self.model(server)
            return not (model.get("ready") or model.get("pending"))

        wait_until(stopped, f"{self.name}'s server to stop", deadline=deadline)

    def url(self, path: str, server: str = "") -> str:
        """Return the whole URL of a path on the user's own server."""
        return f"{self.hub_url}{self._user_path(server)}{path}"

    def get(self, path: str, server: str = "", **kwargs: Any) -> httpx.Response:
        """GET from the user's own server, logging in there on the way."""
        return self.http.get(f"{self._user_path(server)}{path}", **kwargs)

    def post(self, path: str, body: Any = None, server: str = "") -> httpx.Response:
        """POST JSON to the user's own server."""
        return self.http.post(
            f"{self._user_path(server)}{path}",
            json=body,
            headers={"X-XSRFToken": self.server_xsrf(server)},
        )

    def server_xsrf(self, server: str = "") -> str:
        """Return the token that the user's server wants with a POST."""
        path = self._user_path(server)
        cookies = [c for c in self.http.cookies.jar if c.name == "_xsrf"]
        mine = [c for c in cookies if c.path.rstrip("/").endswith("/" + path.rstrip("/"))]
        return (mine[0].value or "") if mine else ""

    def _server_path(self, server: str) -> str:
        user = quote(self.name, safe="")
        return f"users/{user}/servers/{server}" if server else f"users/{user}/server"

    def _user_path(self, server: str) -> str:
        return f"user/{quote(self.name, safe='@')}/" + (f"{server}/" if server else "")

    def _hub_path(self, page: str, server: str) -> str:
        return f"hub/{page}/{quote(self.name, safe='@')}" + (f"/{server}" if server else "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.close()


def _text(page: str) -> str:
    """Return a page's text, roughly, for a message."""
    body = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]+>", " ", page)
    return re.sub(r"\s+", " ", body)
