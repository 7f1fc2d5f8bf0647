"""A link that is there before its kernel: it answers what a client must know to go on waiting."""

from __future__ import annotations

import sys
import uuid
from typing import Any

from farlab_kernels.keeper.messages import Frames, MessageError, border, read
from farlab_kernels.keeper.wire import Kind
from farlab_kernels.link.link import KernelLink

_INFO = {
    "status": "ok",
    "protocol_version": "5.4",
    "implementation": "ipython",
    "implementation_version": "",
    "language_info": {
        "name": "python",
        "version": ".".join(map(str, sys.version_info[:3])),
        "mimetype": "text/x-python",
        "file_extension": ".py",
        "pygments_lexer": "ipython3",
        "nbconvert_exporter": "python",
        "codemirror_mode": {"name": "ipython", "version": 3},
    },
    "supported_features": [],
    "help_links": [],
}


class EarlyLink(KernelLink):
    """Cells that are sent while the kernel is waited for show what `tell` was told last."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._text = ""
        self._cells: dict[bytes, str] = {}
        self._ready = False

    @property
    def waiting(self) -> bool:
        """Whether no kernel has been there yet."""
        return self.kernel.state == "starting" and self.kernel.generation == 0

    def tell(self, text: str) -> None:
        """Show in the cells that wait how their kernel is coming along."""
        self._text = text
        for header in self._cells:
            self._show(header)

    def _show(self, header: bytes) -> None:
        id_ = self._cells[header]
        kind = "update_display_data" if id_ else "display_data"
        self._cells[header] = id_ = id_ or uuid.uuid4().hex
        data = {"data": {"text/plain": self._text}, "metadata": {}}
        self._publish(kind, {**data, "transient": {"display_id": id_}}, header)

    def _publish(self, kind: str, content: dict[str, Any], parent: bytes = b"{}") -> None:
        frames = self._signer.make(kind, content, parent=parent, to=[kind.encode()])
        self._end.deliver(Kind.IOPUB, frames)
        self._flush()

    def _send(self, kind: Kind, frames: Frames) -> None:
        if not self.waiting or not self._answered(kind, frames):
            super()._send(kind, frames)

    def _answered(self, kind: Kind, frames: Frames) -> bool:
        """Do something about a client's message; False: it is for the kernel."""
        try:
            at = border(frames)
            name = str(read(frames[at + 2]).get("msg_type"))
        except MessageError:
            return False
        header, to = frames[at + 2], frames[:at]
        if name == "execute_request":
            self._cells[header] = ""
            if self._text:
                self._show(header)
        elif name == "kernel_info_request":
            self._reply(kind, name, header, to, {**_INFO, "banner": self._text})
            return True
        elif name in ("shutdown_request", "interrupt_request"):
            self._reply(kind, name, header, to, {"status": "ok"})
            return True
        return False

    def _reply(
        self, kind: Kind, name: str, header: bytes, to: Frames, content: dict[str, Any]
    ) -> None:
        self._publish("status", {"execution_state": "busy"}, header)
        reply, published = self._signer.end(name, header, to, content)
        self._end.deliver(kind, reply)
        for frames in published:
            self._end.deliver(Kind.IOPUB, frames)
        self._publish("status", {"execution_state": "starting"})

    def _tell(self) -> None:
        super()._tell()
        if self.kernel.state == "ready" and not self._ready:
            self._ready = True
            self._publish("status", {"execution_state": "idle"})
