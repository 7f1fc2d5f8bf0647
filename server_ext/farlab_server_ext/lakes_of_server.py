"""The lakes that this server's environment tells of, and the tokens for them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from .datalake.hub_tokens import HubTokens
from .datalake.registry import VARIABLE, Lakes, read_lakes
from .datalake.tokens import FileTokens, TokenSource
from .service_address import address_of_service

TOKEN_FILE = "FARLAB_TOKEN_FILE"  # noqa: S105 - a variable's name
"""The environment variable that names a file with a token, which something else keeps fresh."""

URL, TOKEN = "FARLAB_DATALAKE_URL", "FARLAB_DATALAKE_TOKEN"


def open_lakes(environ: Mapping[str, str], log: logging.Logger) -> Lakes:
    """Return the lakes; none, and a line in the log, if they make no sense."""
    tokens = tokens_for(environ)
    try:
        described, here = read_lakes(environ)
    except (ValueError, KeyError, TypeError) as error:
        log.error("Farlab knows no lakes: %s makes no sense: %s", VARIABLE, error)
        return Lakes([], None, tokens)
    return Lakes(described, here, tokens)


def tokens_for(environ: Mapping[str, str]) -> TokenSource:
    """Return where tokens come from: the file that is named, else the service that is there."""
    file = environ.get(TOKEN_FILE, "")
    if not file and address_of_service(environ)[0]:
        # Asked each time: a server's token may be another one after the hub was restarted.
        return HubTokens(lambda: address_of_service(environ))
    return FileTokens(Path(file) if file else None)


def address_of_lakes(serverapp: Any, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which this server's kernels reach its lakes, if they can."""
    # Its own address leads to JupyterLab's page; the APIs are below the base URL.
    url = urljoin(str(serverapp.local_url), str(serverapp.base_url))
    # On a hub, the server's own token is one that opens it.
    token = environ.get("JUPYTERHUB_API_TOKEN", "") or str(serverapp.identity_provider.token or "")
    if not url.startswith(("http://", "https://")):
        return {}  # a Unix socket
    return {URL: f"{url.rstrip('/')}/farlab/datalake/", TOKEN: token}
