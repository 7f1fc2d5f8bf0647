"""What cells said that nobody waited for: in order, from their keepers' spools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from farlab_kernels.cells import Message
from farlab_kernels.link.link import Message as SpoolMessage
from farlab_kernels.session import Session
from farlab_kernels.worker import Worker

Show = Callable[[Message, int], None]
"""Gets a message, and the number of the worker that it comes from."""
_QUIET = ("status", "execute_input")


async def replay(session: Session, cells: Sequence[dict[str, Any] | None], show: Show) -> None:
    """Show all that cells have said and will say; one a worker, of their keepers' lists.

    Raises what a cell raised.
    """
    pairs = enumerate(zip(session.workers, cells, strict=True))
    found = await asyncio.gather(
        *(_replay(worker, cell, at, show) for at, (worker, cell) in pairs if cell is not None)
    )
    for error in filter(None, found):
        raise error


async def _replay(
    worker: Worker, cell: dict[str, Any], number: int, show: Show
) -> Exception | None:
    reply: dict[str, Any] = {"status": cell["status"]}
    async for message in worker.kernel.link.history(cell["id"], follow=True):
        if message.kind == "execute_reply":
            reply = message.content
        elif message.channel == "iopub" and message.kind not in _QUIET:
            show(_message(message), number)
    return None if reply["status"] in ("ok", "") else await worker.kernel.caller.error(reply)


def _message(said: SpoolMessage) -> Message:
    names = ("header", "parent_header", "metadata", "content", "buffers")
    return {"msg_type": said.kind, **{name: getattr(said, name) for name in names}}
