"""Publish months to a target: what is new or has changed, in messages, each once."""

from __future__ import annotations

import gc
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TypeVar

from farlab_sites.publishing import Target

from .cloud import cloud_items
from .formats import GPU
from .gpu import gpu_items
from .items import Item, Refusal
from .jobs import job_items
from .message import json_message, text_message
from .months import Month
from .naming import Place
from .queue import Queue
from .source import Usage
from .state import Batch, Dated, State
from .summaries import summary_items
from .way import DeliveryError, Way

PER_MESSAGE = 1000  # as SSM's own tools do
MOST_REJECTED = 10_000  # of a month are listed

T = TypeVar("T")
Items = Iterable[Item | Refusal]
Records = Callable[[Month], Iterable[Usage]]
"""Gives the usage records that touch a month."""


@dataclass
class Outcome:
    """What a publication came to."""

    records: int = 0
    messages: int = 0
    refusals: list[Refusal] = field(default_factory=list)


def way_of(target: Target) -> Way:
    """Return the way to a target."""
    if target.ams:
        from .messaging import Topic  # noqa: PLC0415 - its libraries only where it is used

        return Topic(target.ams)
    if not target.folder:
        raise ValueError("a target without any way")
    return Queue(target.folder)


class Publisher:
    """Sends to one target."""

    def __init__(self, state: State, name: str, way: Way) -> None:
        self._state = state
        self._name = name
        self._way = way

    def resume(self) -> int:
        """Deliver what was noted and not delivered, and return how many messages that was."""
        if isinstance(self._way, Queue):
            self._way.tidy(one.id for one in self._state.waiting(self._name, -1))
        return self._deliver()

    def publish(self, month: Month, items: Items, *, again: bool = False) -> Outcome:
        """Send what of a month is new or has changed; all of it with `again`.

        Raises:
            DeliveryError: the target can't be reached; what was noted goes first next time.

        """
        if again:
            self._state.forget(self._name, str(month))
        outcome = Outcome()
        wanted = self._changed(month, items, outcome)
        with _uncollected():
            for some in _batched(_messages(wanted), self._way.at_once):
                staged = self._staged(some)
                self._state.note(self._name, str(month), staged)
                outcome.records += sum(len(batch.items) for batch in staged)
                outcome.messages += self._deliver()
        self._state.reject(self._name, str(month), outcome.refusals[:MOST_REJECTED])
        return outcome

    def _staged(self, some: Iterable[tuple[str, list[Dated]]]) -> list[Batch]:
        named = {uuid.uuid4().hex: one for one in some}
        try:
            kept = self._way.stage({message: text for message, (text, _) in named.items()})
        except DeliveryError as error:
            self._state.failed(self._name, str(error))
            raise
        return [Batch(message, *kept[message], records) for message, (_, records) in named.items()]

    def _changed(self, month: Month, items: Items, outcome: Outcome) -> Iterator[Dated]:
        for chunk in _batched(_sendable(items, outcome), PER_MESSAGE):
            yield from self._state.changed(self._name, str(month), chunk)

    def _deliver(self) -> int:
        done = 0
        try:
            while messages := self._state.waiting(self._name, self._way.at_once):
                self._way.deliver(self._state, messages)
                done += len(messages)
        except DeliveryError as error:
            self._state.failed(self._name, str(error))
            raise
        if done:
            self._state.failed(self._name, "")
        return done


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no cyclic garbage: records make none, and a million of them are looked at often."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _sendable(items: Items, outcome: Outcome) -> Iterator[Item]:
    for item in items:
        if isinstance(item, Item):
            yield item
        else:
            outcome.refusals.append(item)


def _messages(items: Iterable[Dated]) -> Iterator[tuple[str, list[Dated]]]:
    """Yield messages, each with its records, which are of one format."""
    for format_, same in groupby(items, key=lambda dated: dated[0].format):
        for some in _batched(same, PER_MESSAGE):
            texts = (item.text for item, _ in some)
            yield json_message(texts) if format_ is GPU else text_message(format_, texts), some


def items_for(
    target: Target, month: Month, records: Records, places: Mapping[str, Place]
) -> Iterator[Item | Refusal]:
    """Yield the records of a month in the format that a target takes."""
    make = {"cloud": cloud_items, "jobs": job_items, "summaries": summary_items}[target.records]
    yield from make(records(month), month, places, target)
    if target.gpu:
        yield from gpu_items(records(month), month, places, target)


def _batched(things: Iterable[T], size: int) -> Iterator[list[T]]:
    waiting = iter(things)
    while some := list(islice(waiting, size)):
        yield some
