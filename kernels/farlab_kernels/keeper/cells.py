"""What cells there were: which are running, and where in the spool each begins and ends."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

_MOST = 1000  # ended cells that are remembered
_HEAD = 200  # characters of a cell's code that are remembered


@dataclass(slots=True)
class Cell:
    """A cell. `client` is who sent it; `first` and `last` are numbers in the spool, 0 for none."""

    id: str
    client: str
    code: str
    sent: float = field(default_factory=time.time)
    first: int = 0
    last: int = 0
    status: str = ""
    """Of its reply: ok, error or aborted; "" while there is none."""
    idle: bool = False

    @property
    def ended(self) -> bool:
        """Whether there is a reply: from then on the kernel runs the next one."""
        return bool(self.status)


class Cells:
    """The cells of one keeper, oldest first."""

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}

    def begin(self, id_: str, client: str, code: str) -> None:
        """Add a cell that a client sent."""
        self._cells[id_] = Cell(id_, client, code[:_HEAD])
        while len(self._cells) > _MOST:
            oldest = next(iter(self._cells.values()))
            if not oldest.ended:
                break
            del self._cells[oldest.id]

    def get(self, id_: str) -> Cell | None:
        """Return a cell, or None if there is, or is remembered, none."""
        return self._cells.get(id_)

    @property
    def last(self) -> Cell | None:
        """The newest one that the kernel has begun."""
        begun = (cell for cell in reversed(self._cells.values()) if cell.first)
        return next(begun, None)

    def running(self) -> bool:
        """Tell whether one runs, or waits to."""
        return any(not cell.ended for cell in self._cells.values())

    def said(self, id_: str, number: int) -> Cell | None:
        """Take note of a spool entry that belongs to a cell, and return the cell."""
        cell = self._cells.get(id_)
        if cell is not None:
            cell.first = cell.first or number
            cell.last = number
        return cell

    def floor(self, last: int) -> int:
        """Return the number up to which entries belong to ended cells only."""
        begun = [cell.first for cell in self._cells.values() if cell.first and not cell.ended]
        return min(begun, default=last + 1) - 1

    def describe(self) -> list[dict[str, Any]]:
        """Return them all as JSON values."""
        return [asdict(cell) for cell in self._cells.values()]
