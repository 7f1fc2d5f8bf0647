"""Measure usage records on their way to APEL, beside what today's probes ask a Prometheus.

Speed: a month of records from the ledger to messages in a queue (read, made, checked, written,
noted), beside a real Prometheus answering the five queries of Kuantifier on as many pods, each with
a unique name and one container, as it needs them. Both per record and the best of three.

Truth: a replay of what probes lose (equal pod names, deleted pods, a month's end, several
containers, cancelled jobs): the share of the true core-seconds that an independent reader finds in
the published records, of the ledger and of our own probe; the smaller one counts.

    python benchmarks/bench_apel.py [--quick]
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

from farlab_hub.apel.months import Month
from farlab_hub.apel.publisher import Publisher, items_for, way_of
from farlab_hub.apel.source import ledger_source
from farlab_hub.apel.state import State
from farlab_hub.database import migrate, open_engine, sqlite_url
from farlab_hub.ledger.records import UsageRecord
from farlab_hub.ledger.tables import UsageRow, table_of
from farlab_hub.ledger.writing import values_of
from farlab_hub.probe.config import ProbeConfig
from farlab_hub.probe.run import Window, publish_window
from farlab_real.apel_parts import NOVEMBER, OCTOBER, PLACES, ledger, messages_in, target, usage
from farlab_real.apel_reader import Record, read, row_key
from farlab_real.pod_history import Container, PodLife, add
from farlab_real.prometheus import History, RunningPrometheus
from sqlalchemy import insert
from stopping import exit_on_sigterm

QUICK, FULL = (20_000, 5_000), (1_000_000, 100_000)  # records, and pods in the Prometheus
MONTH = Month(2026, 10)
STEP = 600  # seconds between samples: about as many of each pod as in an hour of a real cluster
RANGE = f"[{MONTH.end - MONTH.start}s]"
REQUESTS = "kube_pod_container_resource_requests"
QUERIES = (
    f"(max_over_time(kube_pod_completion_time{RANGE}) - max_over_time(kube_pod_start_time{RANGE}))"
    f' * on (pod) group_left max by (pod) (max_over_time({REQUESTS}{{resource="cpu"}}{RANGE}))',
    f"max_over_time(kube_pod_completion_time{RANGE})",
    f"max_over_time(kube_pod_start_time{RANGE})",
    f'max_over_time({REQUESTS}{{resource="cpu"}}{RANGE})',
    f'sum by (pod) (max_over_time({REQUESTS}{{resource="memory"}}{RANGE})) / 1000',
)


def records(number: int) -> Iterator[UsageRecord]:
    """Yield the records of a month, of 500 users in 20 VOs."""
    rng = random.Random(3)
    for index in range(number):
        start = OCTOBER + rng.random() * 30 * 86400
        user = rng.randrange(500)
        yield usage(
            owner=f"user{user}",
            vo=f"vo{user % 20}.example.org",
            started=start,
            ended=start + rng.random() * 86400,
            job_id=str(index),
        )


def fill(folder: Path, number: int) -> None:
    """Make a ledger; its sums, which nobody asks for here, stay empty."""
    engine = open_engine(sqlite_url(folder), synced=False)
    migrate(engine)
    rows: list[dict[str, object]] = []
    with engine.begin() as connection:
        for record in records(number):
            rows.append({**values_of(record), "walltime": None})
            if len(rows) == 10_000:
                connection.execute(insert(table_of(UsageRow)), rows)
                rows = []
        if rows:
            connection.execute(insert(table_of(UsageRow)), rows)
    engine.dispose()


def publish(folder: Path, months: Iterable[Month] = (MONTH,)) -> int:
    """Publish months of a folder's ledger to a queue beside it; return how many records."""
    engine = open_engine(sqlite_url(folder), synced=False)
    to = target(folder / "queue")
    with State(folder) as state:
        publisher = Publisher(state, to.name, way_of(to))
        outcomes = [
            publisher.publish(month, items_for(to, month, ledger_source(engine), PLACES))
            for month in months
        ]
    engine.dispose()
    if any(outcome.refusals for outcome in outcomes):
        raise RuntimeError(f"not sent: {outcomes[0].refusals[:3]}")
    return sum(outcome.records for outcome in outcomes)


def pods(number: int) -> History:
    """Return what a Prometheus has of pods that completed, a third of a day after one another."""
    rng = random.Random(4)
    history = History()
    for index in range(number):
        start = OCTOBER + rng.randrange(0, 30 * 86400)
        end = start + 3600
        pod = {"namespace": "hub", "pod": f"pod-{index}", "uid": str(uuid.uuid4())}
        times = range(start - start % STEP + STEP, end, STEP)
        box = {**pod, "container": "notebook", "node": f"node-{index % 50}"}
        history.add("kube_pod_start_time", pod, [(t, start) for t in times])
        history.add("kube_pod_completion_time", pod, [(end + i * STEP, end) for i in range(6)])
        history.add(REQUESTS, {**box, "resource": "cpu", "unit": "core"}, [(t, 2) for t in times])
        memory = {**box, "resource": "memory", "unit": "byte"}
        history.add(REQUESTS, memory, [(t, 2**30) for t in times])
        cpu = [(t, t - start) for t in times]
        history.add("container_cpu_usage_seconds_total", box, cpu)
    return history


def publish_anew(folder: Path, number: int) -> None:
    """Publish a month as if nothing had been."""
    for path in folder.glob("publication*"):
        path.unlink()
    shutil.rmtree(folder / "queue", ignore_errors=True)
    if publish(folder) != number:
        raise RuntimeError("not all records were published")


def ask(server: RunningPrometheus, number: int) -> None:
    """Have the five queries answered, and decode the answers."""
    answers = [server.ask(query, MONTH.end) for query in QUERIES]
    if {len(answer) for answer in answers} != {number}:
        raise RuntimeError(f"the queries found {[len(answer) for answer in answers]} pods")


def best(run: Callable[[], None]) -> float:
    """Return the seconds of the best of three runs."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


def speed(folder: Path, ours: int, theirs: int) -> None:
    """Measure both ways to a month's records."""
    (folder / "hub").mkdir()
    fill(folder / "hub", ours)
    own = best(lambda: publish_anew(folder / "hub", ours)) / ours
    with RunningPrometheus(folder / "speed", history=pods(theirs)) as server:
        other = best(lambda: ask(server, theirs)) / theirs
    print(f"# {ours} records: {own * 1e6:.1f} us each; {theirs} pods: {other * 1e6:.1f} us each")
    print(f"bench accounting.apel_per_record_ratio {other / own:.1f} goal >= 10", flush=True)


def lives(rng: random.Random, grid: int) -> list[PodLife]:
    """Return pods as hubs have them; they begin and end on multiples of `grid` seconds."""
    found = []
    for user in range(15):
        moment = NOVEMBER - 3 * 86400 + rng.randrange(0, 86400) // 60 * 60
        for _ in range(5):  # one after the other under one name, some across the month's end
            start = moment + rng.randrange(60, 7200) // grid * grid
            end = start + rng.randrange(600, 36000) // grid * grid
            boxes = {f"c{i}": Container(rng.choice([0.5, 1, 2, 8])) for i in range(1 + user % 3)}
            found.append(PodLife(f"jupyter-{user}", start, end, boxes, rng.random() < 0.3))
            moment = end + 3600
    return found


def share(queue: Path, truth: Decimal) -> Decimal:
    """Return the share of the true core-seconds that the published records hold."""
    last: dict[str, Record] = {}
    found = [record for text in messages_in(queue) for record in read(text)]
    for record in sorted(found, key=lambda one: row_key(one)[1:]):
        last[record["VMUUID"]] = record
    return sum((one["CpuCount"] * one["WallDuration"] for one in last.values()), Decimal(0)) / truth


def by_ledger(folder: Path, some: list[PodLife]) -> None:
    """Publish the same lives as workloads, all of them cancelled, as hubs end servers."""
    cores = [sum(box.cores for box in one.containers.values()) for one in some]
    records = [
        usage(uid=one.uid, started=one.start, ended=one.end, cores=number, state="cancelled")
        for one, number in zip(some, cores, strict=True)
    ]
    ledger(folder, records)
    publish(folder, [MONTH, MONTH.next()])


def by_probe(folder: Path, some: list[PodLife]) -> None:
    """Have a Prometheus see the lives, and the probe read it."""
    history = History()
    for one in some:
        add(history, one)
    with RunningPrometheus(folder / "server", history=history) as server:
        settings = {"prometheus": {"url": server.url}, "site": "KUBE", "vo": "vo"}
        output = {"name": "out", "folder": folder / "queue"}
        config = ProbeConfig.model_validate({**settings, "outputs": [output]})
        window = Window(MONTH.start, MONTH.next().end)
        with State(folder / "state") as state:
            list(publish_window(config, window, state, again=False))


def truth(folder: Path) -> None:
    """Measure what of the true core-seconds is in the records."""
    shares = {}
    for name, grid in (("scraped", 60), ("anywhere", 1)):
        some = lives(random.Random(9), grid)
        true = sum((Decimal(one.core_seconds) for one in some), Decimal(0))
        for way in (by_ledger, by_probe):
            place = folder / name / way.__name__
            place.mkdir(parents=True)
            way(place, some)
            shares[name, way.__name__] = share(place / "queue", true)
    print(f"# pods that end between two scrapes, by probe: {shares['anywhere', 'by_probe']:.4f}")
    del shares["anywhere", "by_probe"]
    print(f"bench accounting.replay_share {min(shares.values()):.3f} goal >= 1", flush=True)


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few records")
    size = QUICK if parser.parse_args().quick else FULL
    exit_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="farlab-apel-") as folder:
        speed(Path(folder), *size)
        truth(Path(folder) / "truth")


if __name__ == "__main__":
    main()
