"""How a cell's code says with which arguments it was sent, so that who attaches knows them."""

from __future__ import annotations

from typing import Any

from farlab_kernels.session import Session

HEADER = "# %%offload "
"""What the first line of a cell begins with that a magic has sent; its arguments follow."""


def head(line: str, cell: str) -> str:
    """Return the code to send for a cell: the magic's own line, as a comment, stays the first.

    So tracebacks have the line numbers of the notebook's cell.
    """
    if cell.lstrip().startswith("%%"):  # a magic of its own, which must be the first line
        return cell
    return f"{HEADER}{line}\n{cell}"


def arguments_of(code: str) -> str:
    """Return the magic's arguments from the code that was sent."""
    first = code.partition("\n")[0]
    return first.removeprefix(HEADER) if first.startswith(HEADER) else ""


async def last_cells(session: Session) -> list[dict[str, Any] | None]:
    """Return each worker's last cell that a magic has sent, else its last one, if there is any."""
    found: list[dict[str, Any] | None] = []
    for worker in session.workers:
        cells = await worker.kernel.link.cells()
        ours = [cell for cell in cells if cell["code"].startswith(HEADER)]
        found.append((ours or cells)[-1] if cells else None)
    return found
