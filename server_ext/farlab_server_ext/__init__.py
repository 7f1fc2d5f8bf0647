"""The Jupyter server's side of Farlab: the APIs behind its JupyterLab panels."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell jupyter_server which application this package extends it with."""
    # Imported here, so that the rest of the package works without jupyter_server.
    from .app import FarlabServerApp  # noqa: PLC0415

    return [{"module": "farlab_server_ext", "app": FarlabServerApp}]
