"""The usage ledger beside plain SQL: queries of users and groups, and how fast records go in.

The records are those of a busy year: 2,000 users in 20 groups at 5 sites, jobs of minutes to a
day. `--quick` writes 100,000 of them, the usual run a million, `--full` ten million.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from farlab_hub.database import migrate, open_engine, sqlite_url
from farlab_hub.ledger import writing
from farlab_hub.ledger.ledger import Ledger
from farlab_hub.ledger.queries import Span, Whose, usage
from farlab_hub.ledger.records import UsageRecord
from farlab_hub.ledger.rollup import DAY, day_of
from farlab_hub.store import Store
from farlab_hub.vault import Vault
from sqlalchemy import Engine

YEAR = day_of(time.mktime((2026, 1, 1, 12, 0, 0, 0, 0, 0)))
USERS, GROUPS = 2000, 20
SITES = ("vega", "cloud", "htc", "hpc2", "quantum")
QUICK, USUAL, FULL = 100_000, 1_000_000, 10_000_000
BATCH = 20_000
INSERTS, AT_ONCE = 2000, 50

# What somebody would write without the ledger's sums: hours of a job count in its end's month.
PLAIN = """
select vo, strftime('%Y-%m', ended, 'unixepoch') as month, site,
       sum(cores * (ended - started)) / 3600.0, sum(gpus * (ended - started)) / 3600.0, count(*)
from usage_records where ended >= ? and ended < ? group by vo, month, site
"""


def records(count: int, seed: int = 1) -> Iterator[UsageRecord]:
    """Yield records of a year, the same ones each time."""
    draw = random.Random(seed)
    for number in range(count):
        user = int(draw.paretovariate(1.2) * 20) % USERS
        group = f"group{user % GROUPS}"
        started = (YEAR + draw.random() * 365) * DAY
        length = min(DAY, draw.expovariate(1 / 5400))
        site = SITES[user % 3 if draw.random() < 0.9 else draw.randrange(5)]
        yield UsageRecord(
            uid=str(uuid.UUID(int=seed << 64 | number)), owner=f"user{user}", issuer_subject="",
            groups=(group,), vo=group, account=f"itw{user % 50}", site=site, kind="kernel",
            profile=draw.choice(("cpu", "gpu")), image="/opt/plain", job_id=str(number),
            submitted=started - 30, started=started, ended=started + length,
            heartbeat=started + length, cores=float(draw.choice((1, 2, 8))), gpus=0.0, gpu_type="",
            memory=2**32, cpu_s=length * 0.7, peak_memory=2**30, energy_kwh=0.1,
            energy_source="estimated", co2e_g=20.0, state="finished", reason="Completed",
            exit_code=0, source="sacct", final=True,
        )  # fmt: skip


def fill(engine: Engine, count: int) -> float:
    """Write records through the ledger; return how many went in in a second."""
    rest, begun = records(count), time.perf_counter()
    while batch := list(islice(rest, BATCH)):
        with engine.begin() as connection:
            writing.put(connection, batch)
    return count / (time.perf_counter() - begun)


def best(work: Callable[[], object], times: int = 5) -> float:
    """Return the best time of several, in seconds."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def my_month(engine: Engine) -> float:
    """Return how long "my last month by site and day" takes a busy user, in seconds (median)."""
    span = Span(YEAR + 300, YEAR + 330)
    taken = []
    for user in range(20, 60):
        with engine.connect() as connection:
            begun = time.perf_counter()
            rows, _ = usage(connection, span, ["day", "site"], Whose(f"user{user}"), YEAR * DAY)
            taken.append(time.perf_counter() - begun)
            assert rows
    return statistics.median(taken)


def groups_year(engine: Engine, database: Path) -> tuple[float, float]:
    """Return how long "all groups this year by month and site" takes plain SQL, and us."""
    span = Span(YEAR, YEAR + 364)
    plain = sqlite3.connect(database)
    limits = (YEAR * DAY, (YEAR + 365) * DAY)

    def ours() -> Any:
        with engine.connect() as connection:
            return usage(connection, span, ["group", "month", "site"], Whose(), YEAR * DAY)

    times = 3
    raw = best(lambda: plain.execute(PLAIN, limits).fetchall(), times)
    assert len(ours()[0]) >= len(plain.execute(PLAIN, limits).fetchall())
    plain.close()
    return raw, best(ours, times)


async def inserts(folder: Path) -> float:
    """Return how many records of jobs that end side by side get to the disk in a second."""
    folder.mkdir()
    store = Store(sqlite_url(folder), Vault(folder / "submissions"), Vault(folder / "keys"))
    await store.open()
    ledger = Ledger(store)
    rest = records(INSERTS, seed=2)

    async def ending() -> None:
        for record in rest:
            await ledger.put(record)

    begun = time.perf_counter()
    await asyncio.gather(*(ending() for _ in range(AT_ONCE)))
    rate = INSERTS / (time.perf_counter() - begun)
    await store.close()
    return rate


def bare_inserts(folder: Path) -> float:
    """Return how many rows a second a bare SQLite takes, each in a transaction on the disk."""
    folder.mkdir()
    engine = open_engine(sqlite_url(folder), synced=True)
    migrate(engine)
    engine.dispose()
    bare = sqlite3.connect(folder / "farlab.sqlite", isolation_level=None)
    bare.execute("pragma synchronous=full")
    values = [writing.values_of(record) for record in records(INSERTS, seed=2)]
    rows = [
        tuple(json.dumps(v) if isinstance(v, list) else v for v in one.values()) for one in values
    ]
    marks = ",".join("?" * len(rows[0]))
    statement = f"insert into usage_records ({','.join(map(_quoted, values[0]))}) values ({marks})"
    begun = time.perf_counter()
    for row in rows:
        bare.execute(statement, row)
    rate = INSERTS / (time.perf_counter() - begun)
    bare.close()
    return rate


def _quoted(name: str) -> str:
    return f'"{name}"'


def measure(count: int, folder: Path) -> None:
    """Measure the ledger with so many records."""
    url = sqlite_url(folder)
    engine = open_engine(url, synced=False)
    migrate(engine)
    rate = fill(engine, count)
    print(f"# {count} records, written at {rate:.0f} a second in batches", flush=True)
    print(f"bench accounting.my_month_ms {my_month(engine) * 1000:.2f} goal <= 10", flush=True)
    plain, ours = groups_year(engine, folder / "farlab.sqlite")
    print(f"# all groups, a year: plain SQL {plain * 1000:.0f} ms, ours {ours * 1000:.1f} ms")
    print(f"bench accounting.groups_year_ratio {plain / ours:.1f} goal >= 10", flush=True)
    engine.dispose()
    mine = [asyncio.run(inserts(folder / f"ours{n}")) for n in range(3)]
    bare = [bare_inserts(folder / f"bare{n}") for n in range(3)]
    print(f"# committed records a second: {max(mine):.0f}, bare SQLite {max(bare):.0f}")
    print(f"bench accounting.insert_ratio {max(mine) / max(bare):.2f} goal >= 0.5", flush=True)


# Further figures of accounting: functions that print their own lines.
MORE: tuple[Callable[[], None], ...] = ()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} records")
    parser.add_argument("--full", action="store_true", help=f"{FULL} records")
    args = parser.parse_args()
    count = QUICK if args.quick else FULL if args.full else USUAL
    with tempfile.TemporaryDirectory(prefix="farlab-bench-") as folder:
        measure(count, Path(folder))
    for further in MORE:
        further()
    return 0


if __name__ == "__main__":
    sys.exit(main())
