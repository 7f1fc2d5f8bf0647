"""What `kubectl logs` asks for, as interLink's /getLogs asks it. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from farlab_sites.kubelet.api import Json
from farlab_sites.kubelet.pods import Pod

NO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time, which stands for "not given"."""


class BadQuery(Exception):  # noqa: N818 - an answer, not a defect
    """A parameter makes no sense; the message names it."""


@dataclass(frozen=True)
class LogQuery:
    """What is wanted of a container's output; None where nothing was said."""

    follow: bool
    previous: bool
    timestamps: bool
    tail: int | None
    limit: int | None
    since_seconds: int | None
    since_time: str | None

    @property
    def nothing(self) -> bool:
        """Whether no output at all is wanted."""
        return self.limit == 0 or (self.tail == 0 and not self.follow)


def parse_query(query: Mapping[str, str]) -> LogQuery:
    """Return the parameters of a request for logs.

    Raises:
        BadQuery: one of them makes no sense, or two exclude each other.

    """
    wanted = LogQuery(
        follow=_flag(query, "follow"),
        previous=_flag(query, "previous"),
        timestamps=_flag(query, "timestamps"),
        tail=_number(query, "tailLines"),
        limit=_number(query, "limitBytes"),
        since_seconds=_number(query, "sinceSeconds"),
        since_time=_time(query, "sinceTime"),
    )
    if wanted.since_seconds is not None and wanted.since_time is not None:
        raise BadQuery("ask for sinceSeconds or sinceTime, not for both")
    return wanted


def request(pod: Pod, container: str, wanted: LogQuery, now: datetime) -> Json:
    """Return the body of /getLogs.

    interLink takes no limit in bytes together with one in lines, and no time together with a
    number of seconds; the limit in bytes is kept by `limited`.
    """
    since = wanted.since_time or NO_TIME
    if wanted.tail == 0 and wanted.since_seconds is None:
        # 0 stands for every line there: nothing of the past is what is new from now on.
        since = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "Namespace": pod.namespace,
        "PodUID": pod.uid,
        "PodName": pod.name,
        "ContainerName": container,
        "Opts": {
            "Tail": wanted.tail or 0,
            "Bytes": 0,
            "Timestamps": wanted.timestamps,
            "Follow": wanted.follow,
            "Previous": wanted.previous,
            "SinceSeconds": wanted.since_seconds or 0,
            "SinceTime": since,
        },
    }


async def limited(chunks: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    """Yield at most so many bytes."""
    left = limit
    async for chunk in chunks:
        if left is not None:
            chunk = chunk[:left]  # noqa: PLW2901 - the rest is not wanted
            left -= len(chunk)
        yield chunk
        if left == 0:
            return


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("true", "1")


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None or text == "":
        return None
    if not text.isdecimal() or len(text) > 15:
        raise BadQuery(f"{name}: not a whole number of 0 or more")
    return int(text)


def _time(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadQuery(f"{name}: not a time such as 2026-01-31T12:00:00Z") from None
    return text if moment.tzinfo else f"{text}Z"
