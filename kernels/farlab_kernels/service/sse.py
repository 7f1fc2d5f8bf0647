"""Reads server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import NamedTuple


class ServerEvent(NamedTuple):
    """One event of a stream; `id` is the last one that the stream named."""

    kind: str
    data: str
    id: str


async def events(lines: AsyncIterable[bytes]) -> AsyncIterator[ServerEvent]:
    """Yield the events of a stream's lines; one that is cut off is dropped."""
    kind, data, id_ = "message", list[str](), ""
    async for raw in lines:
        line = raw.decode(errors="replace").rstrip("\r\n")
        if not line:
            if data:
                yield ServerEvent(kind, "\n".join(data), id_)
            kind, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            kind = value
        elif field == "id":
            id_ = value
