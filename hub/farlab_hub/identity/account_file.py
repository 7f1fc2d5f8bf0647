"""A site's accounts in a file: one line a user."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from ..errors import CannotCheckError

MOST_BYTES = 16 * 2**20


class AccountFile:
    """A CSV file `user,account`, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._accounts: Mapping[str, str] = {}

    def account(self, user: str) -> str | None:
        """Return the user's account, None when the file has none; `CannotCheckError` if unread."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._accounts = self._read(status.st_size)
                self._stamp = stamp
        except (OSError, ValueError) as error:
            msg = f"the account file {self._path.name} cannot be read: {error}"
            raise CannotCheckError(msg, "Tell the hub's operator.") from error
        return self._accounts.get(user)

    def _read(self, size: int) -> Mapping[str, str]:
        if size > MOST_BYTES:
            msg = f"it is larger than {MOST_BYTES} bytes"
            raise ValueError(msg)
        text = self._path.read_text(encoding="utf-8-sig")
        if not text.endswith("\n"):  # half of an account's name may be another account's
            msg = "it is being written, or its last line needs a line break"
            raise ValueError(msg)
        rows = csv.DictReader(io.StringIO(text), strict=True)
        if not {"user", "account"} <= set(rows.fieldnames or ()):
            msg = "its first line must be user,account"
            raise ValueError(msg)
        try:
            return {
                row["user"].strip(): (row["account"] or "").strip() for row in rows if row["user"]
            }
        except csv.Error as error:
            msg = f"line {rows.line_num}: {error}"
            raise ValueError(msg) from error
