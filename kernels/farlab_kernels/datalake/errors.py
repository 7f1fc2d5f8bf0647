"""What a lake, or the server on the way to it, could not do; each error says what to do.

They are errors of files too, so that pandas, xarray and fsspec treat them as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farlab_kernels.service.errors import ServiceError


class LakeError(ServiceError, OSError):
    """A lake refused. `code` is the server's word, such as `expired` or `unreachable`."""


class LakeNotFoundError(LakeError, FileNotFoundError):
    """There is nothing of that name."""


class LakeDeniedError(LakeError, PermissionError):
    """The identity may not, or there is none yet."""


_KINDS: dict[str, type[LakeError]] = {
    "not-found": LakeNotFoundError,
    "denied": LakeDeniedError,
    "login": LakeDeniedError,
    "expired": LakeDeniedError,
}


def error_of(said: Mapping[str, Any], status: int = 0) -> LakeError:
    """Return the error that an answer of the server tells: `code`, `message`, `fix`."""
    code, fix = str(said.get("code") or ""), str(said.get("fix") or "")
    if code == "login":
        fix = f"{fix} The DataLake's panel asks for your name and password.".strip()
    kind = _KINDS.get(code, LakeError)
    return kind(str(said.get("message") or "it is not said why"), fix, code=code, status=status)
