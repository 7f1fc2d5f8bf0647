"""What cells have said, from the spool: for a client that was not there, or is another one now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from farlab_kernels.keeper.cells import Cell, Cells
from farlab_kernels.keeper.proof import Visitor, refuse
from farlab_kernels.keeper.spool import Entry, Spool
from farlab_kernels.keeper.wire import Kind, encode


class History:
    """Answers connections of the kinds "cells" and "history".

    `{"kind": "cells"}` is answered with what cells there are, and that is all. `{"kind": "history",
    "cell": id, "since": number, "follow": bool}` is answered with the packets of a cell (of all
    cells, if none is named), the ones behind `since`; with `follow` also with those to come until
    the cell has ended. An event packet `{"done": true}` is the last.
    """

    def __init__(self, spool: Spool, cells: Cells) -> None:
        self._spool = spool
        self._cells = cells
        self._grown = asyncio.Event()

    def grow(self) -> None:
        """Wake those who follow."""
        self._grown.set()

    async def list(self, visitor: Visitor) -> None:
        """Say what cells there are."""
        visitor.accept()
        text = json.dumps(self._cells.describe()).encode()
        visitor.writer.write(encode(Kind.EVENT, self._spool.last, [text]))
        await visitor.writer.drain()

    async def replay(self, visitor: Visitor) -> None:
        """Send what was said."""
        name = str(visitor.hello.get("cell") or "")
        cell = self._cells.get(name)
        if name and cell is None:
            refuse(visitor.writer, f"this kernel knows no cell {name}")
            return
        since = visitor.hello.get("since")
        number = since if isinstance(since, int) else 0
        if cell is not None and cell.first:
            number = max(number, cell.first - 1)
        visitor.accept(first=self._spool.first, last=self._spool.last)
        follow = bool(visitor.hello.get("follow"))
        number = await self._send(visitor, number, cell)
        while follow and not _over(cell):
            self._grown.clear()
            await self._grown.wait()
            number = await self._send(visitor, number, cell)
        visitor.writer.write(encode(Kind.EVENT, number, [b'{"done": true}']))
        await visitor.writer.drain()

    async def _send(self, visitor: Visitor, number: int, cell: Cell | None) -> int:
        """Send what follows `number`; return the last number that there is."""
        while entries := self._spool.after(number):
            number = entries[-1].number
            visitor.writer.write(b"".join(_of(cell, entries)))
            await visitor.writer.drain()
            await asyncio.sleep(0)  # others' turn
            if _over(cell) and cell is not None and number >= cell.last:
                break
        return number


def _of(cell: Cell | None, entries: Iterable[Entry]) -> Iterable[bytes]:
    return (entry.data for entry in entries if cell is None or entry.cell == cell.id)


def _over(cell: Cell | None) -> bool:
    """Tell whether nothing more is to come of a cell."""
    return cell is not None and cell.ended and cell.idle
