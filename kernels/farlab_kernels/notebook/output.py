"""Shows what a cell at a site publishes, as if it had been published here."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import Any, Protocol

from farlab_kernels.cells import Message

_COMMS = ("comm_open", "comm_msg", "comm_close")


class Output(Protocol):
    """A place where output goes, in the thread that waits for the cell."""

    def show(self, message: Message, worker: int = 0) -> None:
        """Show a message of a worker's cell."""

    def finish(self) -> None:
        """Let all be seen that was shown."""


class TerminalOutput:
    """Prints; what is richer than text has its text form printed."""

    def show(self, message: Message, worker: int = 0) -> None:
        """Print a message's text."""
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            stream = sys.stderr if content["name"] == "stderr" else sys.stdout
            stream.write(content["text"])
        elif kind in ("display_data", "execute_result"):
            sys.stdout.write(str(content["data"].get("text/plain", "")) + "\n")

    def finish(self) -> None:
        """Flush."""
        sys.stdout.flush()
        sys.stderr.flush()


class NotebookOutput:
    """Publishes in the notebook's own kernel, for the cell that it runs now.

    `publish_comm` gets messages of widgets and the number of their worker.
    """

    def __init__(self, shell: Any, publish_comm: Callable[[Message, int], None]) -> None:
        self._shell = shell
        self._kernel = shell.kernel
        self.parent: dict[str, Any] = dict(shell.kernel.get_parent("shell"))
        self._publish_comm = publish_comm
        self._written = True  # also what was printed before this cell

    def show(self, message: Message, worker: int = 0) -> None:
        """Publish a message again."""
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            stream = sys.stderr if content["name"] == "stderr" else sys.stdout
            stream.write(content["text"])
            self._written = True
            return
        self.finish()
        if kind in ("display_data", "update_display_data"):
            self._display(content, update=kind == "update_display_data")
        elif kind == "execute_result":
            self._result(message)
        elif kind == "clear_output":
            self._shell.display_pub.clear_output(bool(content.get("wait")))
        elif kind in _COMMS:
            self._publish_comm(message, worker)

    def _display(self, content: dict[str, Any], *, update: bool = False) -> None:
        self._shell.display_pub.publish(
            content["data"], content["metadata"], transient=content.get("transient"), update=update
        )

    def _result(self, message: Message) -> None:
        """Publish a cell's value under this cell's number; as a display where that is captured."""
        content = message["content"]
        captured = sys.displayhook is not self._shell.displayhook
        if captured:
            self._display(content)
            return
        session, count = self._kernel.session, self._shell.displayhook.prompt_count
        session.send(
            self._kernel.iopub_socket, "execute_result", {**content, "execution_count": count},
            parent=self.parent, metadata=message["metadata"], ident=b"execute_result",
        )  # fmt: skip

    def finish(self) -> None:
        """Flush what was printed, so that it comes before what is published next."""
        if self._written:
            sys.stdout.flush()
            sys.stderr.flush()
            self._written = False


def ask(prompt: str, password: bool) -> str:
    """Ask the person at the notebook or terminal. Raises EOFError where nobody can be asked."""
    try:
        return getpass.getpass(prompt) if password else input(prompt)
    except Exception as error:  # ipykernel's StdinNotImplementedError is any RuntimeError's
        if type(error).__name__ != "StdinNotImplementedError":
            raise
        raise EOFError(str(error)) from None


def may_ask(shell: Any) -> bool:
    """Tell whether the notebook's frontend answers questions."""
    return bool(getattr(shell.kernel, "_allow_stdin", True))
