"""What a cell publishes is shown once, while its output comes from the spool too."""

from __future__ import annotations

from types import SimpleNamespace

from farlab_kernels.notebook.comms import Comms

HERE = {"header": {"msg_id": "here"}}


class FakeKernel:
    """The notebook's kernel, which remembers the texts that it has been told to publish."""

    iopub_socket = None

    def __init__(self):
        self.texts = []
        self.session = SimpleNamespace(send=self._send)

    def _send(self, socket, kind, content, **more):
        self.texts.append(content["text"])


def said(kind, **content):
    parent = {"msg_id": "cell"}
    about = {"parent_header": parent, "metadata": {}, "buffers": []}
    return {"msg_type": kind, "content": content, **about}


async def test_what_the_spool_has_shown_may_come_later():
    kernel, remote = FakeKernel(), SimpleNamespace(channels=SimpleNamespace())
    comms = Comms(kernel, remote)
    hear = remote.channels.listen

    comms.begin_replay({"id": "cell", "idle": False}, HERE)
    hear(said("stream", text="while it is shown"))
    comms.end_replay("cell")
    hear(said("stream", text="shown already"))
    hear(said("status", execution_state="idle"))
    hear(said("stream", text="from a thread of the cell"))
    assert kernel.texts == ["from a thread of the cell"]


async def test_a_cell_that_had_ended_is_heard_behind_the_replay():
    kernel, remote = FakeKernel(), SimpleNamespace(channels=SimpleNamespace())
    comms = Comms(kernel, remote)
    hear = remote.channels.listen

    comms.begin_replay({"id": "cell", "idle": True}, HERE)
    hear(said("stream", text="while it is shown"))
    comms.end_replay("cell")
    hear(said("stream", text="from a thread of the cell"))
    assert kernel.texts == ["from a thread of the cell"]
