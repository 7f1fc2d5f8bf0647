"""Rucio's refusals in words: which code, and what the user can do."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..lake import Code, LakeError

CODES: dict[str, Code] = {
    "AccessDenied": "denied",
    "ScopeAccessDenied": "denied",
    "CannotAuthenticate": "expired",
    "InvalidRSEExpression": "wrong-input",
    "InsufficientAccountLimit": "full",
    "InsufficientTargetRSEs": "denied",
    "RSEWriteBlocked": "denied",
    "RSEOverQuota": "full",
    "DuplicateRule": "conflict",
    "DuplicateContent": "conflict",
    "Duplicate": "conflict",
    "DataIdentifierAlreadyExists": "conflict",
    "FileAlreadyExists": "conflict",
    "FileReplicaAlreadyExists": "conflict",
    "FileConsistencyMismatch": "conflict",
    "UnsupportedOperation": "conflict",
    "UnsupportedStatus": "conflict",
    "DataIdentifierNotFound": "not-found",
    "ScopeNotFound": "not-found",
    "RSENotFound": "not-found",
    "RuleNotFound": "not-found",
    "AccountNotFound": "not-found",
    "ReplicaNotFound": "not-found",
    "InvalidMetadata": "wrong-input",
    "InvalidObject": "wrong-input",
    "InvalidPath": "wrong-input",
    "KeyNotFound": "wrong-input",
    "InvalidValueForKey": "wrong-input",
    "DIDFilterSyntaxError": "wrong-input",
    "InputValidationError": "wrong-input",
}
"""Rucio's exceptions: the class tells more than the status, which is 500 for some refusals."""

BY_STATUS: dict[int, Code] = {
    400: "wrong-input",
    401: "expired",
    403: "denied",
    404: "not-found",
    409: "conflict",
    413: "wrong-input",
    429: "unreachable",
    502: "unreachable",
    503: "unreachable",
    504: "unreachable",
}
FIXES: dict[Code, str] = {
    "denied": "Ask who owns the scope, or who runs this Rucio, for permission.",
    "expired": "Log in again.",
    "full": "Free some of your quota, choose another RSE, or ask for more.",
    "conflict": "Choose another name, or use what is there already.",
    "not-found": "Reload the listing; it may have been removed meanwhile.",
    "wrong-input": "Correct it, and try again.",
    "unreachable": "Try again later.",
    "bad-answer": "Try again; if it stays so, tell who runs this Rucio.",
}


def refusal(title: str, status: int, headers: Mapping[str, str], body: str) -> LakeError:
    """Return the error for an answer that is not a success."""
    name, words = headers.get("ExceptionClass", ""), headers.get("ExceptionMessage", "")
    try:
        # The header is cut after 125 characters, the body is whole.
        told = json.loads(body)
        name = str(told.get("ExceptionClass") or name)
        words = str(told.get("ExceptionMessage") or words)
    except (ValueError, AttributeError):
        pass
    code = CODES.get(name) or BY_STATUS.get(status) or "bad-answer"
    said = " ".join(words.split())[:500] or f"status {status}"
    return LakeError(code, f"{title}: {said.rstrip('.')}.", FIXES[code])
