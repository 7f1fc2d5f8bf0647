"""Questions to a Prometheus, answered one series at a time: an answer may not fit the memory."""

from __future__ import annotations

import codecs
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from .config import Prometheus

_READ = 1 << 18  # bytes at once
_LONGEST = 1 << 26  # characters of one series: beyond it something else answers
_MARK = '"result":['
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=30, sock_read=600)


class PrometheusError(Exception):
    """A question was not answered; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer."""

    labels: dict[str, str]
    samples: list[tuple[float, float]]
    """Time and value."""

    @property
    def name(self) -> str:
        """The metric's name; empty where the question has dropped it."""
        return self.labels.get("__name__", "")


class Client:
    """A connection to one server; an async context manager."""

    def __init__(self, settings: Prometheus) -> None:
        self._settings = settings
        self._url = settings.url.rstrip("/") + "/api/v1/query"

    async def __aenter__(self) -> Self:
        settings = self._settings
        try:
            context = ssl.create_default_context(cafile=settings.ca) if settings.ca else True
            token = settings.token_file.read_text().strip() if settings.token_file else ""
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise PrometheusError(f"token or ca can't be read: {words}; check the files") from None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = aiohttp.ClientSession(
            headers=headers, connector=aiohttp.TCPConnector(ssl=context), timeout=_TIMEOUT
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def ask(self, query: str, at: float) -> AsyncIterator[Series]:
        """Yield the series that a query gives at a moment; raise PrometheusError."""
        data = {"query": query, "time": f"{at:.3f}"}
        try:
            async with self._session.post(self._url, data=data, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise PrometheusError(self._refused(answer.status, await answer.text()))
                async for one in _elements(answer.content):
                    yield _series(one)
        except (aiohttp.ClientError, TimeoutError) as error:
            fix = "check its address, and that it runs"
            raise PrometheusError(f"{self._url} does not answer: {error}; {fix}") from None

    def _refused(self, status: int, text: str) -> str:
        try:
            said = str(json.loads(text)["error"])
        except (ValueError, KeyError, TypeError):
            said = text[:200]
        if status in (401, 403):
            fix = "give a token that may read it in token_file"
        elif "too many samples" in said or "timed out" in said:
            fix = "make `chunk` smaller"
        else:
            fix = "check the probe's patterns, and that this is a Prometheus"
        return f"{self._url} answered {status}: {said}; {fix}"


async def _elements(content: aiohttp.StreamReader) -> AsyncIterator[Any]:
    """Yield the elements of an answer's `result`, while it comes in."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    scan = json.JSONDecoder().raw_decode
    text, begun = "", False
    async for chunk in content.iter_chunked(_READ):
        text += decode(chunk)
        if not begun:
            place = text.find(_MARK)
            if place < 0 and len(text) < _READ:
                continue
            begun, text = True, text[place + len(_MARK) :] if place >= 0 else text
        place = 0
        while True:
            # Only commas stand between the elements.
            while text[place : place + 1] in (",", "\n", " ") and place < len(text):
                place += 1
            if text[place : place + 1] == "]":
                return
            try:
                element, place = scan(text, place)
            except ValueError:
                break  # the rest of it has not come yet
            yield element
        text = text[place:]
        if len(text) > _LONGEST:
            break
    raise PrometheusError("an answer ended in its middle, or is none of a Prometheus; try again")


def _series(element: Any) -> Series:
    try:
        pairs = element["values"] if "values" in element else [element["value"]]
        return Series(element["metric"], [(float(time), float(value)) for time, value in pairs])
    except (KeyError, TypeError, ValueError):
        msg = "an answer holds no series; check that the address is that of a Prometheus"
        raise PrometheusError(msg) from None
