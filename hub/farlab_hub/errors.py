"""What can go wrong for a caller of the hub service: a code, a sentence, and what to do."""

from __future__ import annotations


class HubServiceError(Exception):
    """An error that the caller reads; `status` is the HTTP status that it becomes."""

    status = 500
    code = "internal"

    def __init__(self, message: str, fix: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.code = code or type(self).code


class BadRequestError(HubServiceError):
    """The request itself is wrong."""

    status = 400
    code = "bad-request"


class NoTokenError(HubServiceError):
    """The request carries no token, or one that the hub does not know."""

    status = 401
    code = "no-token"


class ForbiddenError(HubServiceError):
    """The caller, or the user it acts for, may not do this."""

    status = 403
    code = "forbidden"


class NotLinkedError(ForbiddenError):
    """The user has no local account at the site."""

    code = "not-linked"


class NotFoundError(HubServiceError):
    """There is no such thing."""

    status = 404
    code = "not-found"


class ConflictError(HubServiceError):
    """The request contradicts what is already there."""

    status = 409
    code = "conflict"


class SiteTroubleError(HubServiceError):
    """The site answered with an error, or not at all."""

    status = 502
    code = "site-trouble"


class CannotCheckError(HubServiceError):
    """Something that must be checked first cannot be checked now."""

    status = 503
    code = "cannot-check"


class UpgradeError(HubServiceError):
    """The address is a WebSocket's, and the request is none."""

    status = 426
    code = "websocket-needed"


class TooManyError(HubServiceError):
    """There are as many as there may be."""

    status = 429
    code = "site-limit"


class NotReadyError(HubServiceError):
    """It will work later."""

    status = 503
    code = "not-ready"
