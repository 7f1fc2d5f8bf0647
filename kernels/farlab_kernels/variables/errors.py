"""What can go wrong with a transfer; each error says what, where and what to do."""

from __future__ import annotations


class TransferError(Exception):
    """Something could not be sent or fetched. `kind` is its name on the wire."""

    kind = "transfer"


class CutError(TransferError, ConnectionError):
    """The connection ended in the middle; nothing was set."""

    kind = "cut"


class MissingError(TransferError, LookupError):
    """A variable or a call that the other end does not have."""

    kind = "missing"


class UnsendableError(TransferError, TypeError):
    """A value that can't be pickled, or not be read at the other end."""

    kind = "unsendable"


class VersionsError(UnsendableError):
    """A value that can't travel between two versions of Python or of a package."""

    kind = "versions"


class RemoteFileError(TransferError, OSError):
    """A file that can't be read or written."""

    kind = "file"


class NoRoomError(TransferError, MemoryError):
    """More than the other end has memory for."""

    kind = "room"


class StoppedError(TransferError):
    """A call that was cancelled before it began."""

    kind = "stopped"


_KINDS = {
    kind.kind: kind
    for kind in (
        TransferError,
        CutError,
        MissingError,
        UnsendableError,
        VersionsError,
        RemoteFileError,
        NoRoomError,
        StoppedError,
    )
}


def to_wire(error: TransferError) -> dict[str, str]:
    """Return what the other end needs to raise the same error."""
    return {"kind": error.kind, "message": str(error)}


def from_wire(said: dict[str, str]) -> TransferError:
    """Return the error that the other end had."""
    return _KINDS.get(said.get("kind", ""), TransferError)(said.get("message", "unknown"))
