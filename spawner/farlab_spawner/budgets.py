"""What is left of a user's budgets at a site, in the words of the form.

The hub service says it; nothing in it is taken for granted. What a choice takes of it the page
itself works out (form.js): it changes with size and partition.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .facts import Entry, Moment, moment_of
from .words import figure

RESOURCES = ("core", "gpu", "gib", "cpu")


@dataclass(frozen=True)
class Left:
    """How one budget stands. Amounts in its unit."""

    name: str
    group: str  # whose members share it; empty: the user's own
    unit: str
    amount: float
    left: float
    window: str
    state: str  # ok | warn | full
    room_at: float | None
    weights: dict[str, float]
    coming: tuple[tuple[float, float], ...]

    @property
    def text(self) -> str:
        """What is left, in one line."""
        whose = f"{self.name}, {self.group}" if self.group else self.name
        return f"{figure(self.left)} of {figure(self.amount)} {self.unit} left ({whose})"

    @property
    def room(self) -> Moment | None:
        """When there is room again, where there is none."""
        return moment_of(self.room_at) if self.state == "full" else None


def budgets_of(entry: Entry | None) -> tuple[Left, ...]:
    """Return the budgets that count at a site; what can't be read is left out."""
    listed = (entry or {}).get("budgets")
    found = map(_left, listed) if isinstance(listed, list) else ()
    return tuple(one for one in found if one is not None)


def as_json(budgets: Iterable[Left]) -> str:
    """Return them as the page's script reads them."""
    return json.dumps([asdict(one) for one in budgets])


def _left(said: Any) -> Left | None:
    try:
        return Left(
            name=str(said["name"]),
            group=str(said["subject"]) if said["scope"] == "group" else "",
            unit=str(said["unit"]),
            amount=float(said["amount"]),
            left=float(said["left"]),
            window=str(said["window"]),
            state=str(said["state"]),
            room_at=None if said["room_at"] is None else float(said["room_at"]),
            weights=_weights(said["weights"]),
            coming=tuple((float(when), float(left)) for when, left in said["coming"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _weights(said: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(said[name]) for name in RESOURCES}
