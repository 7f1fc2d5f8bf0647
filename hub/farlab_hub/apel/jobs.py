"""Individual job records v0.4: one for each workload that ended, in the month of its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from farlab_sites.publishing import Target

from .formats import JOB
from .items import Item, Refusal, item_of
from .message import Value
from .months import Month
from .naming import WITHHELD, Place, fqan
from .source import Usage

KIB = 1024


def job_items(
    records: Iterable[Usage], month: Month, places: Mapping[str, Place], target: Target
) -> Iterator[Item | Refusal]:
    """Yield the records of the jobs that ended in a month."""
    for record in records:
        place = places.get(record.site)
        if place and record.final and _ended_in(record, month):
            yield _item(record, place, target)


def _ended_in(record: Usage, month: Month) -> bool:
    ended = record.ended
    return record.started is not None and ended is not None and month.start <= ended < month.end


def _item(record: Usage, place: Place, target: Target) -> Item | Refusal:
    if not place.level:
        fix = f'add "benchmark:" to the accounting of the site "{place.service}"'
        return Refusal(record.uid, "ServiceLevel", "", "is missing", fix)
    if record.cores != int(record.cores):
        fix = 'parts of cores need "records: cloud"'
        return Refusal(record.uid, "Processors", f"{record.cores:g}", "is not a whole number", fix)
    return item_of(JOB, record.uid, _fields(record, place, target))


def _fields(record: Usage, place: Place, target: Target) -> dict[str, Value | None]:
    hidden = target.names == WITHHELD
    peak = record.peak_memory
    return {
        "Site": place.name,
        "SubmitHost": place.service,
        "MachineName": place.service,
        "Queue": record.profile,
        "LocalJobId": record.job_id or record.uid,
        "LocalUserId": WITHHELD if hidden else record.account or record.owner,
        "GlobalUserName": WITHHELD if hidden else record.issuer_subject or record.owner,
        "FQAN": fqan(record.vo or target.vo or ""),
        "WallDuration": round(wall_of(record)),
        "CpuDuration": cpu_seconds(record, wall_of(record)),
        "Processors": int(record.cores),
        "StartTime": round(record.started or 0),
        "EndTime": round(record.ended or 0),
        "InfrastructureDescription": f"Farlab-{record.kind}" if record.kind else "Farlab",
        "InfrastructureType": "grid",
        "MemoryReal": peak // KIB if peak else None,
        "ServiceLevel": place.level,
    }


def cpu_seconds(record: Usage, wall: float) -> int:
    """Return a job's CPU time; where nobody measured it, that of all its cores.

    Job records must have one, and APEL's own reader of Slurm takes the allocated one, too.
    """
    if record.cpu_s is None:
        return round(record.cores * wall)
    whole = wall_of(record)
    return round(record.cpu_s * wall / whole) if whole else round(record.cpu_s)


def wall_of(record: Usage) -> float:
    """Return how long a job ran, up to now where it goes on."""
    until = record.ended if record.ended is not None else record.heartbeat
    return max(0.0, until - (record.started if record.started is not None else until))
