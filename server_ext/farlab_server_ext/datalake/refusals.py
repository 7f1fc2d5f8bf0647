"""Refusals of HTTP servers in words: what happened, and what the user or the operator can do."""

from __future__ import annotations

from .lake import Code, LakeError
from .logins import Login

AGAIN = "Try again in a moment; if that goes on, tell the lake's operators."
STATUSES: dict[int, tuple[Code, str, str]] = {
    400: ("wrong-input", "did not understand what was asked", "Check the name."),
    404: ("not-found", "has nothing there", "Look at the folder again: it may have changed."),
    405: ("conflict", "can't do that with what is there", "Choose another name."),
    409: ("conflict", "has something else there already, or no such folder", "Look again."),
    410: ("not-found", "has nothing there any more", "Look at the folder again."),
    412: ("conflict", "has something there already", "Choose another name, or remove it first."),
    413: ("full", "takes no file of that size", "Ask its operators for more space."),
    416: ("wrong-input", "has fewer bytes than that", "Look at the file's size again."),
    423: ("conflict", "has it locked: someone writes there", AGAIN),
    429: ("unreachable", "is asked too often", AGAIN),
    501: ("unsupported", "can't do that", "Use another lake for it."),
    502: ("unreachable", "does not answer behind its gateway", AGAIN),
    503: ("unreachable", "is not available now", AGAIN),
    504: ("unreachable", "does not answer behind its gateway", AGAIN),
    507: ("full", "is full, or your quota is used up", "Remove something, or ask for more space."),
}
PHRASES = {  # in a server's words, where its status says less: XRootD answers 500 to much
    "no space left": 507,
    "quota exceeded": 507,
    "insufficient space": 507,
    "directory not empty": 409,
    "file exists": 412,
    "no such file or directory": 404,
}


def refusal(title: str, status: int, words: str, login: Login) -> LakeError:
    """Return the error for a status; `words` are the server's own."""
    own = f' It says: "{words}"' if words else ""
    if status in (401, 403):
        return _not_allowed(title, status, own, login)
    if status >= 400:
        status = next((known for said, known in PHRASES.items() if said in words.lower()), status)
    unknown: tuple[Code, str, str] = ("bad-answer", f"answered with status {status}", AGAIN)
    code, what, fix = STATUSES.get(status, unknown)
    return LakeError(code, f"{title} {what}.{own}", fix)


def _not_allowed(title: str, status: int, own: str, login: Login) -> LakeError:
    """Tell an ended login from a missing permission: doors answer 403 to both."""
    if login.ended:
        words = f"Your token for {title} has ended."
        return LakeError("expired", words, "Get a fresh one: log in again.")
    if not login.header:
        words = f"{title} wants to know who you are.{own}"
        return LakeError("login", words, "Log in, or describe an identity in the catalogue.")
    if status == 401:
        words = f"{title} does not accept your login.{own}"
        return LakeError("login", words, "Check user and password, or the token's audience.")
    words = f"You may not do that at {title}.{own}"
    return LakeError("denied", words, "Ask its operators for the right, or your token's issuer.")
