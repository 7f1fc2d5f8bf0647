"""A kernel whose widgets work while a cell keeps its main thread busy.

ipykernel handles a frontend's comm messages in the main thread, behind the cell that runs there. A
slider would move only after the cell. Here they go to a subshell, a thread of ipykernel 7, while
the main thread does not answer, and to the main thread as ever while it does: cells that await a
widget expect them there.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

from ipykernel.ipkernel import IPythonKernel

_COMMS = ("comm_msg", "comm_close")
_BUSY = 0.05  # seconds without an answer after which the main thread counts as busy


class LiveKernel(IPythonKernel):
    """IPython's kernel with another way for comm messages; with ipykernel 6 there is none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._probe: Future[None] | None = None
        self._widgets: str | None = None

    async def shell_channel_thread_main(self, msg: Any) -> None:
        """Receive a message, in the thread that does only that."""
        frames = self._for_subshell(msg) if await self._is_for_busy(msg) else None
        if frames is None:
            await super().shell_channel_thread_main(msg)  # type: ignore[no-untyped-call]
            return
        manager = self.shell_channel_thread.manager
        manager.get_shell_channel_to_subshell_socket(self._widgets).send_multipart(frames)

    async def _is_for_busy(self, msg: Any) -> bool:
        """Tell whether it is a comm message, and the main thread is busy."""
        session: Any = self.session
        try:
            _, parts = session.feed_identities(msg, copy=False)
            header = session.unpack(parts[1].bytes)
        except Exception:  # whatever is wrong with it, ipykernel says so
            return False
        return header.get("msg_type") in _COMMS and not await self._main_answers()

    async def _main_answers(self) -> bool:
        if self._probe is not None and not self._probe.done():
            return False
        self._probe = Future()
        self.io_loop.add_callback(self._probe.set_result, None)
        answer = asyncio.wrap_future(self._probe)
        await asyncio.wait((answer,), timeout=_BUSY)
        return answer.done()

    def _for_subshell(self, msg: Any) -> list[bytes]:
        """Return the message's frames, with the subshell for widgets in its header."""
        if self._widgets is None:
            self._widgets = self.shell_channel_thread.manager._create_subshell()
        session: Any = self.session
        identities, parts = session.feed_identities(msg, copy=False)
        header, *rest = [part.bytes for part in parts[1:]]
        header = session.pack({**session.unpack(header), "subshell_id": self._widgets})
        signature = session.sign([header, *rest[:3]])
        return [*identities, b"<IDS|MSG>", signature, header, *rest]
