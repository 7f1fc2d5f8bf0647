"""What Prometheus scrapes: workloads, hours and waits of all users together, the ledger's lag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Connection, func, select

from .ledger import writing
from .ledger.ledger import Ledger, live_until
from .ledger.overview import lag
from .ledger.queries import Whose, live
from .ledger.tables import GroupDayRow, RejectRow, table_of
from .models import Workload, now
from .states import LIVE
from .tables import WorkloadRow

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
START_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 3 * 3600, 12 * 3600, 86400)

# Name, help, the sum that it is made of, and how many of that there are in one.
_TOTALS = (
    ("farlab_core_seconds", "Core time that was allocated.", "core_ms", 1000),
    ("farlab_gpu_seconds", "GPU time that was allocated.", "gpu_ms", 1000),
    ("farlab_idle_gpu_seconds", "GPU time of ended jobs that used no CPU.", "idle_gpu_ms", 1000),
    ("farlab_cpu_seconds", "CPU time that ended jobs really used.", "cpu_ms", 1000),
    ("farlab_wait_seconds", "Time that ended workloads had waited.", "wait_ms", 1000),
    ("farlab_energy_joules", "Energy of ended workloads, measured.", "measured_mwh", 1 / 3.6),
    ("farlab_estimated_energy_joules", "The same, estimated.", "estimated_mwh", 1 / 3.6),
    ("farlab_workloads_ended", "Workloads that have ended.", "workloads", 1),
    ("farlab_workloads_failed", "Workloads that have failed.", "failed", 1),
)


@dataclass(frozen=True)
class Figures:
    """What is read from the database for one scrape."""

    states: dict[tuple[str, str], int]
    totals: dict[str, dict[str, float]]  # sums by site
    unfinished: int
    lag_s: float
    rejects: dict[str, int]


class Metrics:
    """Makes the text of a scrape."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._since = now()
        self._ready: set[str] = set()
        self._told: dict[tuple[str, str], float] = {}
        self._registry = CollectorRegistry()
        self._starts = Histogram(
            "farlab_start_seconds",
            "From the request of a workload until it was ready.",
            ["site", "kind"],
            buckets=START_BUCKETS,
            registry=self._registry,
        )

    def ready(self, workload: Workload) -> None:
        """Note that a workload is ready; that one was before this service began is not news."""
        if workload.uid in self._ready or workload.created < self._since:
            return
        self._ready.add(workload.uid)
        took = max(0.0, now() - workload.created)
        self._starts.labels(workload.site, workload.kind).observe(took)

    def ended(self, workload: Workload) -> None:
        """Forget a workload that will not be ready again."""
        self._ready.discard(workload.uid)

    async def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        figures = await self._ledger.read(_figures)
        self._never_less(figures.totals)
        registry = CollectorRegistry()
        registry.register(_Scrape(figures))
        return generate_latest(self._registry) + generate_latest(registry)

    def _never_less(self, totals: dict[str, dict[str, float]]) -> None:
        """Keep sums at what was told, where a job has ended earlier than it was thought to.

        Prometheus takes a counter that goes back for one that began anew, and adds all of it.
        """
        for site, sums in totals.items():
            for measure, value in sums.items():
                highest = max(value, self._told.get((site, measure), 0.0))
                sums[measure] = self._told[site, measure] = highest


class _Scrape:
    """A collector of what was read already."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        figures = self._figures
        alive = GaugeMetricFamily("farlab_workloads", "Live workloads.", labels=["site", "state"])
        for (site, state), count in figures.states.items():
            alive.add_metric([site, state], count)
        yield alive
        for name, words, measure, parts in _TOTALS:
            family = CounterMetricFamily(name, words, labels=["site"])
            for site, sums in figures.totals.items():
                family.add_metric([site], sums[measure] / parts)
            yield family
        yield GaugeMetricFamily(
            "farlab_ledger_unfinished",
            "Ended workloads whose usage is not complete yet.",
            value=figures.unfinished,
        )
        yield GaugeMetricFamily(
            "farlab_ledger_lag_seconds",
            "How long the oldest of them has ended.",
            value=figures.lag_s,
        )
        rejects = GaugeMetricFamily(
            "farlab_ledger_rejects", "Answers of sites that were refused lately.", labels=["site"]
        )
        for site, count in figures.rejects.items():
            rejects.add_metric([site], count)
        yield rejects


def _figures(connection: Connection) -> Figures:
    time = now()
    unfinished, lag_s = lag(connection, time)
    return Figures(
        states=dict(_states(connection)),
        totals=_totals(connection, time),
        unfinished=unfinished,
        lag_s=lag_s,
        rejects=dict(_rejects(connection)),
    )


def _rejects(connection: Connection) -> Iterable[tuple[str, int]]:
    table = table_of(RejectRow).c
    query = select(table.site, func.count()).group_by(table.site)
    return ((site, count) for site, count in connection.execute(query))


def _states(connection: Connection) -> Iterable[tuple[tuple[str, str], int]]:
    query = select(WorkloadRow.site, WorkloadRow.state, func.count())
    query = query.where(WorkloadRow.state.in_([*LIVE]))
    for site, state, count in connection.execute(
        query.group_by(WorkloadRow.site, WorkloadRow.state)
    ):
        yield (site, state), count


def _totals(connection: Connection, time: float) -> dict[str, dict[str, float]]:
    """Return the sums of each site, of all times, with what its live workloads have used."""
    table = table_of(GroupDayRow).c
    sums = [func.sum(table[name]).label(name) for name in writing.MEASURES]
    found: dict[str, dict[str, float]] = {}
    for row in connection.execute(select(table.site, *sums).group_by(table.site)):
        found[row.site] = {name: float(row._mapping[name] or 0) for name in writing.MEASURES}
    for record in live(connection, Whose()):
        held = found.setdefault(record.site, dict.fromkeys(writing.MEASURES, 0.0))
        if record.started is not None:
            ran = max(0.0, live_until(record, time) - record.started) * 1000
            held["core_ms"] += record.cores * ran
            held["gpu_ms"] += record.gpus * ran
    return found
