"""What can go wrong between here and the Farlab service; each error says what to do."""

from __future__ import annotations


class ServiceError(Exception):
    """The service refused. `code` is for programs, `message` and `fix` are for people."""

    def __init__(self, message: str, fix: str = "", *, code: str = "", status: int = 0) -> None:
        super().__init__(f"{message}. {fix}" if fix and message[-1:] not in ".!?" else
                         f"{message} {fix}".strip())  # fmt: skip
        self.message = message
        self.fix = fix
        self.code = code
        self.status = status


class UnreachableError(ServiceError, ConnectionError):
    """The service does not answer; trying again may help."""


class NotConfiguredError(ServiceError):
    """It is not known where the service is, or with which token to go there."""
