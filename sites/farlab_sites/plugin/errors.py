"""How the plugin says no."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - an answer, not a defect
    """A request that is answered with this HTTP status and this plain text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
