"""%offload, %%offload and %datalake: the Python API as IPython magics."""

from __future__ import annotations

from typing import Any

from farlab_kernels.datalake.completion import Completer
from farlab_kernels.datalake.magics import DatalakeMagics
from farlab_kernels.magics.completion import register
from farlab_kernels.magics.magics import OffloadMagics


def load(ipython: Any) -> None:
    """Register the magics and their completion."""
    ipython.register_magics(OffloadMagics(ipython))
    register(ipython)
    ipython.register_magics(DatalakeMagics(ipython))
    ipython.set_hook("complete_command", Completer(), str_key="%datalake")
