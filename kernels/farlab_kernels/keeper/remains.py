"""What stays of a kernel's output when its job ends and the spool goes: its end, in the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from farlab_kernels.keeper.cells import Cells
from farlab_kernels.keeper.messages import MessageError, border, kind_of, read
from farlab_kernels.keeper.spool import Entry, Spool
from farlab_kernels.keeper.wire import WireError, decode

_MESSAGES = 400  # the last of a cell that are looked at
_LINES = 25
_LONGEST = 300  # characters of a line


def end_of_output(spool: Spool, cells: Cells) -> str:
    """Return the last lines that the newest cell has printed or raised."""
    cell = cells.last
    if cell is None:
        return ""
    text = "".join(_text(entry) for entry in _entries(spool, cell.id, cell.last))
    # A progress bar draws over itself.
    lines = (line.rpartition("\r")[2] for line in text.rstrip().split("\n")[-_LINES:])
    return "\n".join(line[:_LONGEST] for line in lines)


def _entries(spool: Spool, cell: str, last: int) -> Iterator[Entry]:
    number = last - _MESSAGES
    while entries := spool.after(number):
        number = entries[-1].number
        yield from (entry for entry in entries if entry.cell == cell and entry.output)


def _text(entry: Entry) -> str:
    """Return what a message shows to people, as text."""
    try:
        parts = decode(entry.data).parts
        at = border(parts)
        kind, content = kind_of(parts[at + 2]), read(parts[at + 5])
    except (MessageError, WireError):
        return ""
    if kind == "stream":
        return str(content.get("text", ""))
    if kind == "error":
        return "\n".join(map(str, content.get("traceback") or ())) + "\n"
    data: dict[str, Any] = content.get("data") or {}
    return f"{data['text/plain']}\n" if "text/plain" in data else ""
