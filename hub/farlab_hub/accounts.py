"""Which local account of a site runs a user's jobs: by file, or by virtual organisation."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from farlab_sites.catalogue import Site

from .errors import CannotCheckError, ForbiddenError, NotLinkedError

SAFE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
REFUSED = frozenset({"root", "toor"})
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


class Accounts:
    """The account mapping of every site."""

    def __init__(self) -> None:
        self._files: dict[Path, AccountFile] = {}

    def account(self, site: Site, user: str, groups: Collection[str]) -> str | None:
        """Return the local account that runs `user`'s jobs at `site`.

        None when the site maps nobody: its plugin's own account runs every job. Raises
        `NotLinkedError` (no account), `ForbiddenError` (an account that no job may run as),
        `CannotCheckError` (the mapping is unreadable now; nothing may start).
        """
        mapping = site.accounts
        if mapping is None:
            return None
        if mapping.file is not None:
            found = self._file(Path(mapping.file)).account(user)
        else:
            vos = mapping.vo or {}
            found = next((account for vo, account in vos.items() if vo in groups), None)
        return _checked(site, user, found)

    def _file(self, path: Path) -> AccountFile:
        return self._files.setdefault(path, AccountFile(path))


def _checked(site: Site, user: str, account: str | None) -> str:
    if not account:
        msg = f"{user} has no account at {site.title}"
        fix = "Ask the hub's operator or the site to link your account, then try again."
        raise NotLinkedError(msg, fix)
    if account in REFUSED or not SAFE.fullmatch(account):
        msg = f"{user} is mapped to an account at {site.title} that no job may run as"
        fix = "The hub's operator must correct the site's account mapping."
        raise ForbiddenError(msg, fix, code="refused-account")
    return account
