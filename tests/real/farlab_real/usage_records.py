"""Usage records that tests and benchmarks write."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from farlab_hub.ledger.records import UsageRecord


def at(text: str) -> float:
    """Return a time such as `2026-11-26 14:05` (UTC) in seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def record(number: int = 0, **changes: Any) -> UsageRecord:
    """Return the record of a job of one core that ran for an hour on 26 November 2026."""
    started = at("2026-11-26 10:00")
    plain = UsageRecord(
        uid=str(uuid.UUID(int=number)),
        owner="alice",
        issuer_subject="",
        groups=("itw",),
        vo="itw",
        account="itw001",
        site="vega",
        kind="kernel",
        profile="gpu",
        image="/opt/plain",
        job_id=str(1000 + number),
        submitted=started - 60,
        started=started,
        ended=started + 3600,
        heartbeat=started + 3600,
        cores=1.0,
        gpus=0.0,
        gpu_type="",
        memory=2**30,
        cpu_s=None,
        peak_memory=None,
        energy_kwh=None,
        energy_source="",
        co2e_g=None,
        state="finished",
        reason="Completed",
        exit_code=0,
        source="sacct",
        final=True,
    )
    return replace(plain, **changes)
