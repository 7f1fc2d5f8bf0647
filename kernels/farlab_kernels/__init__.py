"""Kernels at sites: what runs beside a kernel there, and what makes it look local here.

import farlab_kernels
with farlab_kernels.connect("vega", gpus=1) as vega:
    vega.run("print('there')")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# At a site the package is there without what a notebook needs: so nothing is imported for it.
_LATER = {
    "connect": "farlab_kernels.blocking_session",
    "attach": "farlab_kernels.blocking_session",
    "leave": "farlab_kernels.blocking_session",
    "send_off": "farlab_kernels.errands",
    "open_session": "farlab_kernels.session",
    "Client": "farlab_kernels.service.client",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER])


def load_ipython_extension(ipython: Any) -> None:
    """Register %offload, %%offload and %datalake: `%load_ext farlab_kernels`."""
    import_module("farlab_kernels.magics").load(ipython)
