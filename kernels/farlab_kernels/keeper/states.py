"""How a kernel is, and what can be asked of its keeper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["starting", "ready", "dead", "ended"]
"""dead: it can be restarted; ended: its job ends too."""
OrderName = Literal["interrupt", "restart", "end", "expect-restart", "expect-end"]


@dataclass(frozen=True)
class KernelState:
    """How the kernel is. `generation` counts its starts; `reason` says why it is dead or ended."""

    state: State
    generation: int
    reason: str = ""
