"""The transfers of this server: its lakes', with those that an earlier server has left."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from .datalake.registry import Lakes
from .datalake.transfers.journal import own_journal
from .datalake.transfers.rules import RuleTransfers
from .datalake.transfers.transfers import Transfers


def open_transfers(lakes: Lakes, folder: Path, log: logging.Logger) -> Transfers | None:
    """Return the transfers between a server's lakes; None where there are no lakes.

    Where the folder can't be written, there are none either, and a line in the log.
    """
    if not lakes.listed():
        return None
    try:
        journal = own_journal(folder)
    except (OSError, sqlite3.Error) as error:
        log.error("Farlab can't keep transfers in %s: %s", folder, error)
        return None
    rules = RuleTransfers(lakes.opened, lakes.get)
    return Transfers(journal, lakes.get, fts=lakes.fts, others=[rules])
