"""A client of the workloads API; every call has a time limit, and every error says what to do."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self

import aiohttp

from farlab_kernels.keeper.wire import Writer
from farlab_kernels.service import sse, streams
from farlab_kernels.service.errors import ServiceError, UnreachableError
from farlab_kernels.service.models import Event, Workload
from farlab_kernels.service.settings import Settings, settings

_TIMEOUT = 30.0  # seconds for an answer
_CANCEL_TIMEOUT = 60.0  # the service answers when the site has confirmed it, or after 30 s
_CREATE_PATIENCE = 20.0  # seconds in which a start is asked for again
_CREATE_PAUSE = 1.0
_SILENCE = 90.0  # seconds without a sign of life after which a stream of events is opened anew
_FIRST_DELAY = 0.2
_LONGEST_DELAY = 5.0
_MOST_WORDS = 300


class Client:
    """Talks to the service that `settings` (by default the environment) name.

    Belongs to one event loop. Methods raise ServiceError; UnreachableError where the service does
    not answer.
    """

    def __init__(self, where: Settings | None = None) -> None:
        self.settings = where or settings()
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close its connections."""
        if self._http is not None:
            await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Calls

    async def sites(self, timeout: float = _TIMEOUT) -> list[dict[str, Any]]:
        """Return the sites as this user may use them: name, title, open, reason, facts ..."""
        return _list(await self._json("GET", "sites", timeout=timeout))

    async def create(self, site: str, *, kind: str = "kernel", **wishes: Any) -> Workload:
        """Start a workload. `wishes`: profile, size, partition, gpus, image, walltime, name.

        A service that does not answer is asked again for a while; it starts no second one.
        """
        wanted = {name: value for name, value in wishes.items() if value not in (None, "")}
        body = {"uid": str(uuid.uuid4()), "kind": kind, "site": site, **wanted}
        deadline = asyncio.get_running_loop().time() + _CREATE_PATIENCE
        while True:
            try:
                return Workload.parse(_object(await self._json("POST", "workloads", body=body)))
            except UnreachableError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(_CREATE_PAUSE)

    async def ended(self) -> list[Workload]:
        """Return this user's kernels that have ended, the first to be asked for first."""
        return [one for one in await self._kernels("?state=all") if one.ended]

    async def _kernels(self, query: str = "") -> list[Workload]:
        known = map(Workload.parse, _list(await self._json("GET", f"workloads{query}")))
        return [one for one in known if one.kind == "kernel"]

    async def list(self) -> list[Workload]:
        """Return this user's kernels that have not ended; servers at sites are the hub's to end."""
        return [one for one in await self._kernels() if not one.ended]

    async def get(self, uid: str) -> Workload:
        """Return a workload; of one's own kernel with its key."""
        return Workload.parse(_object(await self._json("GET", f"workloads/{uid}")))

    async def cancel(self, uid: str) -> Workload:
        """End a workload; what the site has to do for it may take a moment longer."""
        answer = await self._json("DELETE", f"workloads/{uid}", timeout=_CANCEL_TIMEOUT)
        return Workload.parse({"uid": uid, **_object(answer)})

    async def logs(self, uid: str, tail: int = 100) -> str:
        """Return the last lines that a workload's job has written."""
        answer = _object(await self._json("GET", f"workloads/{uid}/logs?tail={tail}"))
        return str(answer.get("log", ""))

    # Streams

    async def events(self, uid: str, after: int = 0) -> AsyncIterator[Event]:
        """Yield a workload's changes behind number `after`, to the last; survives cuts."""
        delay = _FIRST_DELAY
        while True:
            try:
                async for event in self._events(uid, after):
                    if event is None:
                        return
                    after, delay = max(after, event.seq), _FIRST_DELAY
                    yield event
                    if event.ended:
                        return
            except UnreachableError:
                pass
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311
            delay = min(2 * delay, _LONGEST_DELAY)

    async def _events(self, uid: str, after: int) -> AsyncIterator[Event | None]:
        """Yield what one connection brings; None: there will never be more."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        path = f"workloads/{uid}/events?after={after}"
        async with self._open("GET", path, headers=headers, silence=_SILENCE) as answer:
            if answer.status == HTTPStatus.NO_CONTENT:
                yield None
            async for said in sse.events(_lines(answer)):
                try:
                    yield Event.parse(json.loads(said.data), int(said.id or 0))
                except (ValueError, AttributeError):
                    continue  # not an event of a workload

    async def follow_logs(self, uid: str, tail: int = 100) -> AsyncIterator[str]:
        """Yield what a workload's job has written, and goes on to write, until it ends."""
        path = f"workloads/{uid}/logs?follow=1&tail={tail}"
        async with self._open("GET", path, silence=None) as answer:
            async for line in _lines(answer):
                yield line.decode(errors="replace")

    async def open_stream(self, uid: str, port: int) -> tuple[asyncio.StreamReader, Writer]:
        """Connect to a port of a workload."""
        return await streams.open_stream(self.settings, f"workloads/{uid}/ports/{port}")

    # HTTP

    async def _json(
        self, method: str, path: str, *, body: Any = None, timeout: float = _TIMEOUT
    ) -> Any:
        async with self._open(method, path, body=body, timeout=timeout) as answer:
            return await _decode(answer)

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None,
        timeout: float | None = None, silence: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:  # fmt: skip
        """Send a request; raise what the service refuses with."""
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=_TIMEOUT, sock_read=silence)
        try:
            async with self._session().request(
                method, self.settings.url + path, json=body, timeout=limits, headers=headers,
                allow_redirects=False,
            ) as answer:  # fmt: skip
                if answer.status >= 300:
                    raise await _refusal(answer)
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, ServiceError):
                raise
            words = str(error) or "no answer in time"
            raise UnreachableError(
                f"the Farlab service at {self.settings.url} does not answer: {words[:_MOST_WORDS]}",
                "Try again in a moment.", code="unreachable",
            ) from None  # fmt: skip

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {self.settings.token}"},
                trust_env=not self.settings.local,
            )
        return self._http


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield an answer's lines, however long they are."""
    rest = b""
    async for chunk in answer.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


async def _decode(answer: aiohttp.ClientResponse) -> Any:
    try:
        return json.loads(await answer.read())
    except ValueError:
        fix = "Check the address: it is the one of the API, such as .../services/farlab/api/."
        raise ServiceError(
            f"what answers at {answer.url.origin()} is not the Farlab service", fix
        ) from None


async def _refusal(answer: aiohttp.ClientResponse) -> ServiceError:
    """Read why the service, or a proxy in front of it, refused."""
    text = (await answer.read()).decode(errors="replace")
    try:
        said = _object(json.loads(text))
    except (ValueError, ServiceError):
        said = {}
    message = str(said.get("message") or "") or _plain(answer, text)
    kind = UnreachableError if answer.status in (502, 503, 504) else ServiceError
    return kind(
        message, str(said.get("fix") or ""), code=str(said.get("code") or ""), status=answer.status
    )


def _plain(answer: aiohttp.ClientResponse, text: str) -> str:
    if 300 <= answer.status < 400:
        return "the service wants a login: the token is not accepted, or the address is a page's"
    short = " ".join(text.split())[:_MOST_WORDS] if "<" not in text else ""
    return f"the service answered HTTP {answer.status} {short or answer.reason or ''}".strip()


def _object(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise ServiceError("the service's answer is not understood", "Is it of the same version?")
    return said


def _list(said: Any) -> list[dict[str, Any]]:
    if not isinstance(said, list):
        raise ServiceError("the service's answer is not understood", "Is it of the same version?")
    return said
