"""Exceptions of a kernel at a site, raised here as what they are, as far as that is known here."""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Sequence
from typing import Any


class RemoteError(Exception):
    """An exception at a site whose type is not known here; the cause of one whose type is.

    `ename`, `evalue` and `traceback` are what the kernel said of it, `place` is where, and `index`
    is the number of the item, of a map, that raised it.
    """

    def __init__(
        self, ename: str, evalue: str, traceback: Sequence[str] = (), *, place: str = "the site",
        index: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(ename, evalue)
        self.ename = ename
        self.evalue = evalue
        self.traceback = list(traceback)
        self.place = place
        self.index = index

    def __str__(self) -> str:
        item = "" if self.index is None else f", item {self.index}"
        said = f"{self.ename} at {self.place}{item}: {self.evalue}"
        return "\n".join([said, *self.traceback])


class InterruptedCellError(RemoteError):
    """The cell or call was interrupted."""


class DeadKernelError(RemoteError):
    """The kernel died, or its job ended; `evalue` says why."""


class UnfinishedMapError(DeadKernelError):
    """The kernels of a map were lost before it was done; `results` has the results, by item."""

    def __init__(self, words: str, place: str, results: dict[int, Any]) -> None:
        super().__init__("DeadKernelError", words, place=place)
        self.results = results


class AbortedCellError(RemoteError):
    """The cell did not run, because one before it failed."""


_OURS = {"KeyboardInterrupt": InterruptedCellError, "DeadKernelError": DeadKernelError}


def known_type(module: str, name: str) -> type[Exception] | None:
    """Return the exception class of that name, if there is one here and it is an Exception."""
    found: Any = sys.modules.get(module)
    if found is None:
        try:
            found = importlib.import_module(module)
        except Exception:  # whatever a module does when it is imported
            return None
    for part in name.split("."):
        found = getattr(found, part, None)
    known = isinstance(found, type) and issubclass(found, Exception)
    return found if known else None


def rebuild(remote: RemoteError, module: str, name: str, sent: object = None) -> Exception:
    """Return what to raise here: `sent` if it arrived, else one made of the type and the message.

    Its cause is `remote`, which has the traceback.
    """
    if remote.ename in _OURS:
        return _as(_OURS[remote.ename], remote)
    kind = known_type(module, name)
    if kind is None:
        return remote
    error = sent if isinstance(sent, kind) else _make(kind, remote.evalue)
    if error is None:
        return remote
    error.__cause__ = remote
    if remote.index is not None:
        error.add_note(f"raised at {remote.place} by item {remote.index} of the map")
    return error


def from_reply(content: dict[str, Any], place: str) -> Exception:
    """Return what to raise for a cell that failed, by its reply alone."""
    if content.get("status") == "aborted":
        return AbortedCellError("AbortedCellError", "a cell before it failed", place=place)
    name = str(content.get("ename", "Error"))
    trace = [str(line) for line in content.get("traceback", ())]
    remote = RemoteError(name, str(content.get("evalue", "")), trace, place=place)
    module = builtins.__name__
    return rebuild(remote, module, name)


def _as(kind: type[RemoteError], remote: RemoteError) -> RemoteError:
    return kind(
        remote.ename, remote.evalue, remote.traceback, place=remote.place, index=remote.index
    )


def _make(kind: type[Exception], message: str) -> Exception | None:
    try:
        error = kind(message)
    except Exception:  # an exception class may want other arguments
        return None
    return error if isinstance(error, kind) else None
