"""Errors of object stores in words that a user can read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from ..lake import Code, LakeError
from ..refusals import AGAIN

KEYS = "Type your keys again."
CODES: dict[str, tuple[Code, str, str]] = {
    "AccessDenied": ("denied", "does not let you do that", "Ask its operators for the right."),
    "ExpiredToken": ("expired", "says that your keys have ended", "Log in again."),
    "ExpiredTokenException": ("expired", "says that your keys have ended", "Log in again."),
    "InvalidAccessKeyId": ("login", "does not know your access key", KEYS),
    "XAdminUserNotFound": ("login", "does not know your access key", KEYS),  # versitygw's word
    "SignatureDoesNotMatch": ("login", "finds your secret key wrong", KEYS),
    "NoSuchBucket": ("not-found", "has no such bucket", "Check its name."),
    "NoSuchKey": ("not-found", "has nothing there", "Look again: it may be gone."),
    "NoSuchUpload": ("conflict", "has ended this upload meanwhile", "Upload it anew."),
    "InvalidPart": ("conflict", "got this file from elsewhere at once", "Upload it anew."),
    "PreconditionFailed": ("conflict", "has something there already", "Choose another name."),
    "BucketAlreadyOwnedByYou": ("conflict", "has this bucket already", "Choose another name."),
    "BucketAlreadyExists": ("conflict", "has this bucket already", "Choose another name."),
    "InvalidBucketName": ("wrong-input", "takes no such bucket name", "Choose another name."),
    "KeyTooLongError": ("wrong-input", "takes no name that long", "Choose another name."),
    "InvalidRange": ("wrong-input", "has fewer bytes than that", "Look at its size again."),
    "QuotaExceeded": ("full", "is full, or your quota is used up", "Ask for more space."),
    "InsufficientStorage": ("full", "is full", "Ask its operators for more space."),
    "RequestTimeTooSkewed": ("bad-answer", "has another time", "Set this machine's clock right."),
    "SlowDown": ("unreachable", "is asked too often", AGAIN),
}
STATUSES = {
    "301": "NoSuchBucket",
    "403": "AccessDenied",
    "404": "NoSuchKey",
    "412": "PreconditionFailed",
    "416": "InvalidRange",
    "507": "InsufficientStorage",
}


@contextmanager
def s3_failures_of(title: str, endpoint: str) -> Iterator[None]:
    """Turn what boto3 raises into LakeError; `title` is the lake's."""
    try:
        yield
    except boto.ClientError as error:
        raise _answered(title, error.response) from None
    except boto.SSLError as error:
        words = f"{title} shows a certificate that can't be trusted: {str(error)[-200:]}."
        fix = "Name a bundle with its authority (CA/B or IGTF) as this lake's `ca`."
        raise LakeError("untrusted-certificate", words, fix) from None
    except boto.ParamValidationError as error:
        words = f"{title} takes no such name: {str(error)[:200]}"
        raise LakeError("wrong-input", words, "Choose another name.") from None
    except (ResponseParserError, boto.ChecksumError, ValueError) as error:
        words = f"{title} answered with something that is not S3 ({type(error).__name__})."
        raise LakeError("bad-answer", words, f"Check that {endpoint} is its address.") from None
    except (boto.HTTPClientError, boto.BotoCoreError, OSError) as error:
        words = f"{title} does not answer at {endpoint}: {str(error)[:200]}"
        raise LakeError("unreachable", words, AGAIN) from None


def _answered(title: str, response: Any) -> LakeError:
    """Return the error for an answer's code, or for its status where there is no code."""
    found = response.get("Error", {})
    name = str(found.get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = str(found.get("Message", ""))[:200]
    known = CODES.get(STATUSES.get(name, name)) or CODES.get(STATUSES.get(str(status), ""))
    if known is None:
        code: Code = "unreachable" if status >= 502 else "bad-answer"
        return LakeError(code, f"{title} answered {name or status}: {message}", AGAIN)
    return LakeError(known[0], f"{title} {known[1]}.", known[2])
