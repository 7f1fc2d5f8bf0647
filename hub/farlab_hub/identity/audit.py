"""The record of every decision on whose account somebody's jobs run under.

One JSON object a line, in a file that only the service's account reads, and a line in the log. No
token and no key comes near it.
"""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from time import time
from typing import Any, Literal

from .person import Person

log = logging.getLogger(__name__)

MOST_BYTES = 10 * 2**20
KEPT = 9  # files beside the newest
MOST_OWNERS = 10_000

Purpose = Literal["start", "look"]


class Audit:
    """Writes decisions; without a file into the log alone."""

    def __init__(self, file: Path | None = None) -> None:
        self._out = logging.Logger("farlab.audit", logging.INFO)
        self._handler = _PrivateFile(file) if file else None
        if self._handler:
            self._out.addHandler(self._handler)
        self._owners: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._last: OrderedDict[tuple[str, str, str], tuple[str | None, str]] = OrderedDict()

    def decided(
        self,
        person: Person,
        site: str,
        *,
        account: str | None = None,
        rule: str,
        outcome: str,
        detail: str = "",
        purpose: Purpose,
    ) -> None:
        """Write down one decision. `outcome`: mapped, not-linked, refused-account, cannot-check.

        A look is written down when it tells something new: lists are looked at all the time.
        """
        is_new = self._is_new((person.name, person.subject, site), (account, outcome))
        if purpose == "look" and not is_new:
            return
        entry: dict[str, Any] = {
            "time": time(),
            "user": person.name,
            "issuer": person.issuer,
            "subject": person.subject,
            "site": site,
            "account": account,
            "rule": rule,
            "outcome": outcome,
            "detail": detail,
            "purpose": purpose,
        }
        other = self._other_owner(person, site, account) if account else None
        if other:
            entry["shared_with"] = other
            if rule != "vo":
                log.warning(
                    "%s: %s and %s are both the account %s", site, person.name, other, account
                )
        self._out.info(json.dumps(entry))
        level = logging.INFO if purpose == "start" else logging.DEBUG
        log.log(level, "%s at %s: %s %s (%s)", person.name, site, outcome, account or "-", rule)

    def close(self) -> None:
        """Close the file."""
        if self._handler:
            self._handler.close()

    def _is_new(self, who: tuple[str, str, str], decision: tuple[str | None, str]) -> bool:
        before = self._last.pop(who, None)
        self._last[who] = decision
        if len(self._last) > MOST_OWNERS:
            self._last.popitem(last=False)
        return before != decision

    def _other_owner(self, person: Person, site: str, account: str) -> str | None:
        """Return who had this account the last time, if that was somebody else."""
        before = self._owners.pop((site, account), person.name)
        self._owners[site, account] = person.name
        if len(self._owners) > MOST_OWNERS:
            self._owners.popitem(last=False)
        return before if before != person.name else None


class _PrivateFile(RotatingFileHandler):
    """A file with mode 0600 from its first byte on, and ten generations of it."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, maxBytes=MOST_BYTES, backupCount=KEPT, encoding="utf-8", delay=True)

    def _open(self) -> TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(handle, 0o600)
        return os.fdopen(handle, "a", encoding="utf-8")
