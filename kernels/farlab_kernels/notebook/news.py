"""Says how what is waited for is coming along: in one place of a notebook, in lines elsewhere."""

from __future__ import annotations

import sys
import uuid
from typing import Any

_BAR = 24  # characters
_LARGE = 50 * 2**20
"""Bytes from which on a transfer has a progress bar."""
_STEP = 0.01


class News:
    """A line of text that changes. `shell` is IPython's, if it runs in a notebook's kernel."""

    def __init__(self, shell: Any | None) -> None:
        self._shell = shell
        self._id = f"farlab-{uuid.uuid4().hex}"
        self._shown = False
        self._text = ""

    def tell(self, text: str) -> None:
        """Show a text in place of the one before."""
        if text == self._text:
            return
        self._text = text
        if self._shell is None:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
            return
        self._shell.display_pub.publish(
            {"text/plain": text}, transient={"display_id": self._id}, update=self._shown
        )
        self._shown = True


class Bar:
    """A progress bar for a transfer, shown only if it is large."""

    def __init__(self, shell: Any | None, what: str) -> None:
        self._news = News(shell)
        self._what = what
        self._shown = -1.0

    def __call__(self, done: int, total: int) -> None:
        """Show how many bytes of how many have been moved."""
        share = done / total if total else 1.0
        if total < _LARGE or (share - self._shown < _STEP and share < 1):
            return
        self._shown = share
        full = int(share * _BAR)
        bar = "█" * full + "░" * (_BAR - full)
        self._news.tell(f"{self._what} {bar} {_size(done)} of {_size(total)}")


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
