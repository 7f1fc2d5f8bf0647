"""The time that a deletion leaves a pod to end, where it is less than the pod's own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from farlab_sites.plugin import accounts
from farlab_sites.plugin.job.runner import GRACE
from farlab_sites.plugin.store import Record

log = logging.getLogger(__name__)


def deletion_grace(manifest: object) -> int | None:
    """Return the seconds that a deleted pod's manifest names; None where it names none."""
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    grace = metadata.get("deletionGracePeriodSeconds") if isinstance(metadata, dict) else None
    return grace if isinstance(grace, int) and grace >= 0 else None


async def shorten(
    record: Record, manifest: object, account: Callable[[Record], accounts.Account | None]
) -> None:
    """Leave word in the job's folder for the pod runner, which reads it when told to end."""
    grace = deletion_grace(manifest)
    if grace is None or grace >= record.job["grace"] or record.answer is not None:
        return
    try:
        await accounts.write_word(account(record), Path(record.folder) / GRACE, str(grace))
    except accounts.AccountError as error:  # then the pod's own time holds
        log.warning("pod %s: %s", record.uid, error)
