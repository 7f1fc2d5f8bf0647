"""Takes widgets' messages from the frontend while the notebook's kernel waits for a cell.

ipykernel 7 receives in a thread of its own, and hands on to the main thread, which waits, or to a
subshell. Messages to stand-ins are taken out there. Earlier ones are seen only after the cell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from farlab_kernels.notebook.comms import StandIn

_COMMS = ("comm_msg", "comm_close")
_hooked: set[int] = set()

log = logging.getLogger(__name__)


def hook(kernel: Any) -> None:
    """Let messages to stand-ins pass the main thread by; does it once for a kernel."""
    thread = getattr(kernel, "shell_channel_thread", None)
    stream = getattr(kernel, "shell_stream", None)
    handle = getattr(kernel, "shell_channel_thread_main", None)
    if thread is None or stream is None or handle is None or id(kernel) in _hooked:
        return
    _hooked.add(id(kernel))
    take = taker(kernel, handle)
    thread.io_loop.add_callback(stream.on_recv, take, copy=False)


def taker(kernel: Any, handle: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what receives in place of `handle`, which gets all but messages to stand-ins."""

    async def take(frames: Any) -> None:
        try:
            message = _read(kernel, frames)
        except Exception:  # whatever is wrong with it, ipykernel says so
            message = None
        if message is None:
            await handle(frames)
        else:
            kernel.comm_manager.comms[message["content"]["comm_id"]].comms.forward(message)

    return take


def _read(kernel: Any, frames: Any) -> dict[str, Any] | None:
    """Return a message to a stand-in, None if it is another."""
    session = kernel.session
    _, parts = session.feed_identities(frames, copy=False)
    message: dict[str, Any] = session.deserialize(parts, content=False, copy=False)
    if message["header"]["msg_type"] not in _COMMS:
        return None
    content = session.unpack(message["content"])
    if not isinstance(kernel.comm_manager.comms.get(content.get("comm_id")), StandIn):
        return None
    return {**message, "content": content}
