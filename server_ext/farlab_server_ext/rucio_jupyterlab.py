"""Rucio's own JupyterLab extension, where it is installed beside ours, told of the same lakes.

It takes its settings from the server's configuration when it is loaded, which is after us: the
order of the extensions' names. One value of another kind than it expects, and it does not load.
"""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from .datalake.registry import read_lakes
from .lakes_of_server import TOKEN_FILE

PACKAGE = "rucio_jupyterlab"
AUTHENTICATION = {"userpass": "userpass", "x509": "x509_proxy", "oidc": "oidc"}
"""Its words for the catalogue's kinds of identity."""


def configure(server: Any, environ: Mapping[str, str]) -> bool:
    """Tell it of this server's lakes; not where its user or operator has named some. True: told."""
    config = server.config
    if importlib.util.find_spec(PACKAGE) is None or "instances" in config.RucioConfig:
        return False
    try:
        described, here = read_lakes(environ)
    except (ValueError, KeyError, TypeError):
        return False  # said where the lakes are opened
    for key, value in settings(described, here, environ).items():
        config.RucioConfig.setdefault(key, value)
    return bool(described)


def settings(
    described: Sequence[Mapping[str, Any]],
    here: Mapping[str, str] | None,
    environ: Mapping[str, str],
) -> dict[str, Any]:
    """Return its settings: an instance for each Rucio, this site's lake as the first choice."""
    rucios = [lake for lake in described if "rucio" in lake]
    if not rucios:
        return {}
    names = [str(lake["name"]) for lake in rucios]
    first = rucios[names.index(here["lake"])] if here and here["lake"] in names else rucios[0]
    instances = [_instance(lake, here, environ) for lake in rucios]
    kind = next(iter(first["rucio"].get("identity") or {}), "")
    return {
        "instances": instances,
        "default_instance": str(first["name"]),
        "default_auth_type": AUTHENTICATION.get(kind),
    }


def _instance(
    lake: Mapping[str, Any], here: Mapping[str, str] | None, environ: Mapping[str, str]
) -> dict[str, Any]:
    rucio = lake["rucio"]
    url = str(rucio["url"]).rstrip("/")
    told = {
        "name": str(lake["name"]),
        "display_name": str(lake.get("title") or lake["name"]),
        "rucio_base_url": url,
        "rucio_auth_url": str(rucio.get("auth_url") or url).rstrip("/"),
        "rucio_webui_url": rucio.get("web_url"),
        # It takes no other word for the system's certificates than their file.
        "rucio_ca_cert": rucio.get("ca") or ssl.get_default_verify_paths().cafile or "",
        "vo": rucio.get("vo"),
        "site_name": environ.get("FARLAB_SITE"),
    }
    at_site = here is not None and here["lake"] == lake["name"]
    told |= _place(here) if here and at_site else {"mode": "download"}
    if "oidc" in (rucio.get("identity") or {}) and environ.get(TOKEN_FILE):
        told |= {"oidc_auth": "file", "oidc_file_name": environ[TOKEN_FILE]}
    return {key: value for key, value in told.items() if value is not None}


def _place(here: Mapping[str, str]) -> dict[str, Any]:
    """Return where the RSE's files are: below a folder, after some parts of their address."""
    prefix = here.get("prefix")
    before = PurePosixPath(here.get("pfn_prefix") or prefix or "/")
    return {
        "mode": "replica",
        "destination_rse": here["rse"],
        "rse_mount_path": prefix or "/",
        "path_begins_at": len(before.parts) - 1,
    }
