"""Summaries v0.4: what each user and VO used in one month, and sync v0.1: how many jobs that was.

Hours fall into the month in which they were used; a job that ran in two months counts in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from farlab_sites.publishing import Target

from .formats import SUMMARY, SYNC
from .gpu import seconds_in
from .items import Item, Refusal, item_of
from .jobs import cpu_seconds
from .message import Value
from .months import Month
from .naming import WITHHELD, Place, fqan, vo_parts
from .source import Usage

Group = tuple[str, str, str, int]
"""Site, global user name, FQAN and cores."""


@dataclass
class _Sum:
    jobs: int = 0
    wall: int = 0
    cpu: int = 0
    earliest: int = 2**62
    latest: int = 0

    def add(self, record: Usage, month: Month) -> None:
        """Add the part of a job that is in a month."""
        wall = seconds_in(record, month)
        end = record.ended if record.ended is not None else record.heartbeat
        last = min(round(end), month.end - 1)
        self.jobs += 1
        self.wall += wall
        self.cpu += cpu_seconds(record, wall)
        self.earliest, self.latest = min(self.earliest, last), max(self.latest, last)


def summary_items(
    records: Iterable[Usage], month: Month, places: Mapping[str, Place], target: Target
) -> Iterator[Item | Refusal]:
    """Yield the summaries of a month, and after them one sync record for each site."""
    sums: dict[Group, _Sum] = {}
    jobs: dict[str, int] = {}
    for record in records:
        if record.site not in places or seconds_in(record, month) <= 0:
            continue
        if (refusal := _refusal(record, places[record.site], target)) is not None:
            yield refusal
            continue
        sums.setdefault(_group(record, target), _Sum()).add(record, month)
        jobs[record.site] = jobs.get(record.site, 0) + 1
    for group in sorted(sums):
        yield _summary(group, sums[group], month, places[group[0]])
    for site in sorted(jobs):
        yield _sync(places[site], jobs[site], month)


def _refusal(record: Usage, place: Place, target: Target) -> Refusal | None:
    if not (record.vo or target.vo):
        return Refusal(record.uid, "VO", "", "is missing", 'add "vo:" to the target')
    if record.cores != int(record.cores) or record.cores < 1:
        fix = 'parts of cores need "records: cloud"'
        return Refusal(record.uid, "Processors", f"{record.cores:g}", "is not a whole number", fix)
    if not place.level:
        fix = f'add "benchmark:" to the accounting of the site "{place.service}"'
        return Refusal(record.uid, "ServiceLevel", "", "is missing", fix)
    return None


def _group(record: Usage, target: Target) -> Group:
    hidden = target.names == WITHHELD
    name = WITHHELD if hidden else record.issuer_subject or record.owner
    return record.site, name, fqan(record.vo or target.vo or ""), int(record.cores)


def _summary(group: Group, total: _Sum, month: Month, place: Place) -> Item | Refusal:
    _, name, full, cores = group
    vo, vo_group, role = vo_parts(full)
    fields: dict[str, Value | None] = {
        "Site": place.name,
        "Month": month.number,
        "Year": month.year,
        "GlobalUserName": name,
        "VO": vo,
        "VOGroup": vo_group,
        "VORole": role,
        "SubmitHost": place.service,
        "InfrastructureType": "grid",
        "ServiceLevel": place.level,
        "NodeCount": 1,
        "Processors": cores,
        "EarliestEndTime": total.earliest,
        "LatestEndTime": total.latest,
        "WallDuration": total.wall,
        "CpuDuration": total.cpu,
        "NumberOfJobs": total.jobs,
    }
    return item_of(SUMMARY, "|".join(map(str, group)), fields)


def _sync(place: Place, jobs: int, month: Month) -> Item | Refusal:
    fields: dict[str, Value | None] = {
        "Site": place.name,
        "SubmitHost": place.service,
        "NumberOfJobs": jobs,
        "Month": month.number,
        "Year": month.year,
    }
    return item_of(SYNC, f"sync|{place.service}", fields)
