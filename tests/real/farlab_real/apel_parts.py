"""Usage records and targets for tests of what is published."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from farlab_hub.apel.naming import Place
from farlab_hub.apel.queue import STAGE
from farlab_hub.database import migrate, open_engine, sqlite_url
from farlab_hub.ledger import writing
from farlab_hub.ledger.records import UsageRecord
from farlab_sites.publishing import Target

OCTOBER = 1_790_812_800  # 2026-10-01T00:00:00Z
NOVEMBER = OCTOBER + 31 * 86400
HOUR = 3600
PLACE = Place("VEGA", "vega", "hepscore23", 12.5)
PLACES = {"vega": PLACE}


def usage(**changes: Any) -> UsageRecord:
    """Return the record of a workload that ran from 01:00 to 03:00 on 1 October 2026."""
    started = changes.get("started", OCTOBER + HOUR)
    ended = changes.get("ended", OCTOBER + 3 * HOUR)
    values: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "owner": "alice",
        "issuer_subject": "1234@https://aai.example.org",
        "groups": ("vo.example.org",),
        "vo": "vo.example.org",
        "account": "itw001",
        "site": "vega",
        "kind": "server",
        "profile": "gpu",
        "image": "registry.example.org/itwinai:1.0",
        "job_id": "4711",
        "submitted": (started or OCTOBER) - 60,
        "started": started,
        "ended": ended,
        "heartbeat": ended if ended is not None else OCTOBER + 3 * HOUR,
        "cores": 8.0,
        "gpus": 0.0,
        "gpu_type": "",
        "memory": 64 * 2**30,
        "cpu_s": 40_000.4,
        "peak_memory": 3 * 2**30,
        "energy_kwh": None,
        "energy_source": "",
        "co2e_g": None,
        "state": "finished",
        "reason": "",
        "exit_code": 0,
        "source": "sacct",
        "final": ended is not None,
    }
    return UsageRecord(**values | changes)


def target(folder: Path = Path("queue"), **changes: Any) -> Target:
    """Return a target with a folder."""
    values = {"name": "egi", "records": "cloud", "folder": folder}
    return Target.model_validate(values | changes)


def ledger(folder: Path, records: list[UsageRecord]) -> None:
    """Make the database of a hub service whose ledger holds these records."""
    engine = open_engine(sqlite_url(folder), synced=False)
    migrate(engine)
    with engine.begin() as connection:
        writing.put(connection, records)
    engine.dispose()


def messages_in(folder: Path) -> list[str]:
    """Return the messages in a queue, in their order, without taking them out."""
    files = sorted(path for path in folder.glob("*/*") if path.parent.name != STAGE)
    return [path.read_text(encoding="ascii") for path in files]
