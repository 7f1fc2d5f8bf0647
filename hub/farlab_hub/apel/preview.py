"""What is published of one workload: its part of the messages to each target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from farlab_sites.catalogue import Catalogue
from farlab_sites.publishing import Records, Target

from .formats import GPU
from .items import Item, Refusal
from .message import json_message, text_message
from .months import Month, months_between
from .naming import Place, places_for
from .publisher import items_for
from .source import Usage


@dataclass(frozen=True, slots=True)
class Preview:
    """One message as a target gets it, with this workload alone in it."""

    target: str
    month: str
    records: Records
    text: str
    problem: str
    """Why it is not sent; empty if it is."""


def previews(record: Usage, catalogue: Catalogue) -> list[Preview]:
    """Return what each target gets of a workload, month by month; nothing of one that never ran."""
    if record.started is None:
        return []
    until = record.ended if record.ended is not None else record.heartbeat
    months = [*months_between(Month.of(record.started), Month.of(max(until, record.started)))]
    return [
        shown
        for target in catalogue.publishing
        if record.site in (places := places_for(target, catalogue))
        for month in months
        for shown in _of_month(record, target, month, places)
    ]


def _of_month(
    record: Usage, target: Target, month: Month, places: dict[str, Place]
) -> Iterator[Preview]:
    for item in items_for(target, month, lambda _: [record], places):
        text, problem = ("", str(item)) if isinstance(item, Refusal) else (_message(item), "")
        yield Preview(target.name, str(month), target.records, text, problem)


def _message(item: Item) -> str:
    texts = [item.text]
    return json_message(texts) if item.format is GPU else text_message(item.format, texts)
