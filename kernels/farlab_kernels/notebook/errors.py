"""Errors of a site as a notebook shows them: the traceback of there, once, and none of here."""

from __future__ import annotations

from collections.abc import Sequence

from farlab_kernels.remote_errors import DeadKernelError, InterruptedCellError, RemoteError
from farlab_kernels.service.errors import ServiceError
from farlab_kernels.variables.errors import TransferError
from farlab_kernels.worker import StartError

PLAIN = (ServiceError, StartError, TransferError, DeadKernelError)
"""Errors that say all in their message."""


def dress(error: BaseException) -> BaseException:
    """Return the error to raise here, which IPython shows with the traceback of the site."""
    if isinstance(error, InterruptedCellError):
        interrupted = KeyboardInterrupt()
        interrupted.__cause__ = error
        return _show(interrupted, error.traceback)
    if isinstance(error, KeyboardInterrupt):  # of a wait, as for a job that has not begun
        return _show(error, ["KeyboardInterrupt: you stopped waiting for the site."])
    if isinstance(error, PLAIN):
        return _show(error, [f"{type(error).__name__}: {_words(error)}"])
    if isinstance(error, RemoteError):
        return _show(_named(error), error.traceback)
    if isinstance(error.__cause__, RemoteError):
        return _show(error, error.__cause__.traceback)
    return error


def add_line(error: BaseException, line: str) -> None:
    """Add something to what is shown of an error."""
    error.add_note(line)
    render = getattr(error, "_render_traceback_", None)
    if render is not None:
        _show(error, [*render(), line])


def opaque(error: Exception) -> Exception:
    """Return the error to raise in a cell, in place of one that IPython shows in its own way.

    Of a syntax error it shows the lines here, not the traceback that it is given.
    """
    remote = error.__cause__
    if isinstance(error, SyntaxError | ExceptionGroup) and isinstance(remote, RemoteError):
        return dress(_named(remote))  # type: ignore[return-value]
    return error


def _show(error: BaseException, traceback: Sequence[str]) -> BaseException:
    lines = list(traceback) or [f"{type(error).__name__}: {error}"]
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
    return error


def _words(error: BaseException) -> str:
    return error.evalue if isinstance(error, RemoteError) else str(error)


def _named(error: RemoteError) -> RemoteError:
    """Give an error whose type is not known here the name of its type there."""
    name = error.ename if error.ename.isidentifier() else "RemoteError"
    kind: type[RemoteError] = type(name, (RemoteError,), {"__str__": _words})
    return kind(error.ename, error.evalue, error.traceback, place=error.place, index=error.index)
