"""Where the Farlab service is, and the token that this server calls it with."""

from __future__ import annotations

from collections.abc import Mapping

URL = "FARLAB_API_URL"
TOKENS = ("FARLAB_API_TOKEN", "JUPYTERHUB_API_TOKEN")


def address_of_service(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return address and token; both may be empty."""
    token = next((environ[name] for name in TOKENS if environ.get(name)), "")
    return environ.get(URL, ""), token
