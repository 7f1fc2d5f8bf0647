"""Where the service is, and with which token: told by the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from farlab_kernels.service.errors import NotConfiguredError

URL = "FARLAB_API_URL"
TOKENS = ("FARLAB_API_TOKEN", "JUPYTERHUB_API_TOKEN")

_NO_URL_ON_HUB = (
    "this server was not told where the hub's Farlab service is",
    f"Stop the server and start it again; if {URL} is still not set then, ask the hub's operator "
    "for Farlab's service (farlab_spawner.configure in jupyterhub_config.py).",
)
_NO_URL = (
    "it is not known where the Farlab service is",
    "On a laptop, install farlab[lab] and start JupyterLab with a catalogue of your sites: "
    f"`farlab sites --help` says how. To use a hub's service from here, set {URL} to its address, "
    f"such as https://HUB/services/farlab/api/, and {TOKENS[0]} to a token from its page "
    "/hub/token.",
)
_NO_TOKEN = (
    f"{URL} is set, but there is no token",
    f"Set {TOKENS[0]} to a token of the service; a hub gives one on its page /hub/token.",
)


@dataclass(frozen=True)
class Settings:
    """The address of the API, with a slash at its end, and the token."""

    url: str
    token: str = field(repr=False)

    @property
    def local(self) -> bool:
        """Whether the service is on this machine: no proxy leads there."""
        host = urlsplit(self.url).hostname or ""
        return host == "localhost" or host.startswith("127.") or host == "::1"


def settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the environment. Raises NotConfiguredError."""
    known = os.environ if environment is None else environment
    url = known.get(URL, "").strip()
    if not url:
        on_hub = known.get("JUPYTERHUB_API_URL") and known.get("JUPYTERHUB_API_TOKEN")
        raise NotConfiguredError(*(_NO_URL_ON_HUB if on_hub else _NO_URL), code="not-configured")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        fix = "It looks like https://HUB/services/farlab/api/."
        raise NotConfiguredError(f"{URL} is no address: {url!r}", fix, code="not-configured")
    token = next((known[name].strip() for name in TOKENS if known.get(name, "").strip()), "")
    if not token:
        raise NotConfiguredError(*_NO_TOKEN, code="not-configured")
    return Settings(url.rstrip("/") + "/", token)
