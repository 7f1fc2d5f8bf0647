"""JupyterHub's side of Farlab: the spawner, its form and its progress.

In `jupyterhub_config.py`::

    import farlab_spawner

    farlab_spawner.configure(c, "sites.yaml")
"""

from __future__ import annotations

from .configure import configure
from .spawner import FarlabSpawner

__all__ = ["FarlabSpawner", "configure"]
