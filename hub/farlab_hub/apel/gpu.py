"""GPU usage records (draft 4): what each workload's GPUs were there for in one month.

They are no part of APEL yet. Unlike cloud records they are per month, not cumulative.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from farlab_sites.publishing import Target

from .formats import GPU
from .items import Item, Refusal, item_of
from .message import plain
from .months import Month
from .naming import WITHHELD, Place, fqan
from .source import Usage


def gpu_items(
    records: Iterable[Usage], month: Month, places: Mapping[str, Place], target: Target
) -> Iterator[Item | Refusal]:
    """Yield the GPU records of a month."""
    for record in records:
        place = places.get(record.site)
        if not place or not record.gpus or (there := seconds_in(record, month)) <= 0:
            continue
        fields = _fields(record, month, place, target, there)
        made = item_of(GPU, f"gpu:{record.uid}", {key: str(value) for key, value in fields.items()})
        yield Item(GPU, made.key, json.dumps(fields)) if isinstance(made, Item) else made


def seconds_in(record: Usage, month: Month) -> int:
    """Return for how long a workload ran in a month."""
    if record.started is None:
        return 0
    until = record.ended if record.ended is not None else record.heartbeat
    # The parts add up to the whole: each month's end is rounded once.
    cut = min(until, float(month.end)) - record.started
    before = max(month.start - record.started, 0.0)
    return round(cut) - round(before) if cut > 0 else 0


def _fields(
    record: Usage, month: Month, place: Place, target: Target, there: int
) -> dict[str, str | int | float]:
    count = round(record.gpus, 3)
    hidden = target.names == WITHHELD
    fields: dict[str, str | int | float] = {
        "MeasurementMonth": month.number,
        "MeasurementYear": month.year,
        "AssociatedRecordType": "cloud",
        "AssociatedRecord": record.uid,
        "GlobalUserName": WITHHELD if hidden else plain(record.issuer_subject or record.owner),
        "FQAN": fqan(record.vo or target.vo or ""),
        "SiteName": place.name,
        "Count": int(count) if count == int(count) else count,
        "ActiveDuration": there,
        "AvailableDuration": there,
        "Type": "GPU",
    }
    return fields | ({"Model": plain(record.gpu_type)} if record.gpu_type else {})
