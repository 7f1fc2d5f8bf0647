"""What one verb of one address takes and gives: said once, for the handler and the description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

JSON = "application/json"
EVENTS = "text/event-stream"
TEXT = "text/plain"

LONGEST_POLL = 60.0  # seconds
MOST_LINES = 10_000
MOST_LISTED = 1000

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])


class Query(BaseModel):
    """The fields of a query string; what is not known is not read."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class Answer:
    """What is answered with one status."""

    words: str
    shape: Any = None
    media: str = JSON


@dataclass(frozen=True)
class Operation:
    """One verb of one address. `refusals` are the statuses of errors besides the common ones."""

    summary: str
    answers: Mapping[int, tuple[Answer, ...]]
    query: type[Query] = Query
    body: TypeAdapter[Any] | None = None
    refusals: tuple[int, ...] = ()
    details: str = ""


def operation(
    summary: str,
    *answers: Answer,
    status: int = HTTPStatus.OK,
    more: Mapping[int, Answer] | None = None,
    query: type[Query] = Query,
    body: Any = None,
    refusals: tuple[int, ...] = (),
) -> Callable[[Method], Method]:
    """Say what a handler's method does; the method's own docstring holds the details."""

    def mark(method: Method) -> Method:
        said = Operation(
            summary=summary,
            answers={status: answers, **{s: (a,) for s, a in (more or {}).items()}},
            query=query,
            body=TypeAdapter(body) if body is not None else None,
            refusals=refusals,
            details=" ".join((method.__doc__ or "").split()),
        )
        method.operation = said  # type: ignore[attr-defined]
        return method

    return mark


class SitesQuery(Query):
    """Whose sites: only those who may act for others name somebody."""

    user: str | None = Field(
        default=None, min_length=1, max_length=255, description="Default: the caller."
    )
    group: list[str] = Field(
        default=[], max_length=500, description="With `user`: the groups of that user."
    )


class ListQuery(Query):
    """Which workloads."""

    owner: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="Default: the caller's own; `*`: everyone's (for administrators).",
    )
    state: Literal["live", "all"] = Field(
        default="live", description="`all`: those that have ended, too."
    )
    limit: int = Field(default=MOST_LISTED, ge=1, le=MOST_LISTED, description="At most the newest.")


class PollQuery(Query):
    """How long to wait for which news."""

    after: int = Field(default=0, ge=0, le=2**31, description="Answer with the events after this.")
    timeout: float = Field(
        default=0.0, ge=0, le=LONGEST_POLL, description="Seconds to wait for one."
    )


class EventsQuery(Query):
    """Where to go on."""

    after: int = Field(
        default=0, ge=0, le=2**31, description="The last event that is known; see Last-Event-ID."
    )


class LogQuery(Query):
    """How much of a log."""

    tail: int = Field(default=100, ge=0, le=MOST_LINES, description="Lines; 0: all of them.")
    follow: bool = Field(default=False, description="Go on until the job has ended.")
