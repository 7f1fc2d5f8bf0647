"""The carrier `direct`: calls a site's plugin as interLink's API server would."""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
from pydantic import TypeAdapter, ValidationError

from farlab_sites.carriers.base import (
    WORDS_LIMIT,
    CarrierError,
    CarrierRejected,
    CarrierUnreachable,
    words_of,
)
from farlab_sites.interlink import Created, Json, Status, create_body, logs_body, status_body
from farlab_sites.podstatus import PodStatus, pod_status

Answer = TypeVar("Answer")
_CREATED: TypeAdapter[Created] = TypeAdapter(Created)
_STATUSES: TypeAdapter[list[Status] | None] = TypeAdapter(list[Status] | None)

ANSWER_LIMIT = 16 * 2**20
"""Bytes: the largest answer that is read."""
_TRY_AGAIN = frozenset({408, 425, 429, 502, 503, 504})


class DirectCarrier:
    """Calls a plugin over HTTP or a Unix socket, as an interLink API server would."""

    def __init__(self, url: str, token_file: Path | None = None, *, time_limit: float = 60) -> None:
        """Take where the plugin listens; `time_limit` in seconds is for create and delete.

        The other calls have half of it. Nothing is opened before the first call.
        """
        parts = urlsplit(url)
        self._socket = parts.path if parts.scheme == "unix" else None
        self._base = "http://plugin" if self._socket else url.rstrip("/")
        self._where = url
        self._token_file = token_file
        self._time_limit = time_limit
        self._session: aiohttp.ClientSession | None = None

    async def create(
        self, pod: Json, secrets: Sequence[Json] = (), configmaps: Sequence[Json] = ()
    ) -> str:
        """Submit the pod and return its job id."""
        body = create_body(pod, secrets, configmaps)
        answer = self._parsed(await self._call("POST", "/create", "CreatePod", body), _CREATED)
        if answer.uid != pod["metadata"]["uid"]:
            raise CarrierRejected(f"{self._where} answered for another pod ({answer.uid[:60]})")
        return answer.job_id

    async def status(self, pods: Sequence[Json]) -> dict[str, PodStatus]:
        """Return the state of all these pods, with one request."""
        asked = {pod["metadata"]["uid"] for pod in pods}
        text = await self._call("GET", "/status", "GetStatus", status_body(pods))
        known = self._parsed(text, _STATUSES) or []
        return {status.uid: pod_status(status) for status in known if status.uid in asked}

    async def delete(self, pod: Json) -> None:
        """Cancel the pod's job; `status` goes on to say for a day what it used."""
        await self._call("POST", "/delete", "DeletePod", status_body([pod])[0])

    async def logs(self, pod: Json, *, container: str, tail: int = 0) -> str:
        """Return a container's output."""
        body = logs_body(pod, container, tail)
        return await self._call("GET", "/getLogs", "GetLogs", body)

    async def follow(self, pod: Json, *, container: str, tail: int = 0) -> AsyncIterator[bytes]:
        """Yield a container's output as it comes."""
        body = logs_body(pod, container, tail, follow=True)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._time_limit / 2)
        async with self._request("GET", "/getLogs", "GetLogs", body, limits) as response:
            if response.status != 200:
                raise self._refusal("GET", response.status, await self._text(response))
            async for chunk in response.content.iter_any():
                yield chunk

    async def ping(self) -> Json:
        """Ask for the state of no pod: the plugin answers with its facts."""
        text = await self._call("GET", "/status", "Ping", [])
        try:
            answer = json.loads(text)
        except ValueError:
            return {}  # interLink takes any answer with 200 for a sign of life
        return answer if isinstance(answer, dict) else {}

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _call(self, method: str, path: str, verb: str, body: Any) -> str:
        """Return the answer's text; raise CarrierError for anything but 200."""
        limit = self._time_limit if method == "POST" else self._time_limit / 2
        timeout = aiohttp.ClientTimeout(total=limit)
        async with self._request(method, path, verb, body, timeout) as response:
            text = await self._text(response)
        if response.status != 200:
            raise self._refusal(method, response.status, text)
        return text

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, verb: str, body: Any, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; raise CarrierUnreachable for whatever goes wrong on the way."""
        headers = self._headers(verb)
        try:
            async with self._open().request(
                method,
                self._base + path,
                json=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                yield response
        except TimeoutError:
            limit = f"{timeout.total or timeout.sock_connect:g} s"
            raise CarrierUnreachable(f"{self._where} did not answer in {limit}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CarrierUnreachable(f"{self._where} can't be reached: {words_of(error)}") from None

    def _open(self) -> aiohttp.ClientSession:
        """Return the session; it is made here because it belongs to the running loop."""
        if self._session is None:
            connector = aiohttp.UnixConnector(self._socket) if self._socket else None
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=jar)
        return self._session

    def _headers(self, verb: str) -> dict[str, str]:
        """Return the tracing header of interLink, and the token as it is in its file now."""
        headers = {"InterLink-Http-Session": f"{verb}#{random.randrange(100_000)}"}  # noqa: S311
        if self._token_file:
            headers["Authorization"] = f"Bearer {self._token(self._token_file)}"
        return headers

    def _token(self, file: Path) -> str:
        """Return the bearer token: read each time, so that a new one counts at once."""
        try:
            token = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            words = getattr(error, "strerror", None) or "not text"
            raise CarrierUnreachable(f"the token file {file} can't be read: {words}") from None
        if not re.fullmatch(r"[!-~]+", token):
            raise CarrierUnreachable(f"the token file {file} must hold one word: the token")
        return token

    async def _text(self, response: aiohttp.ClientResponse) -> str:
        """Return an answer's text, but never more than the limit of it."""
        body = bytearray()
        async for chunk in response.content.iter_chunked(2**16):
            body += chunk
            if len(body) > ANSWER_LIMIT:
                limit = f"{ANSWER_LIMIT // 2**20} MiB"
                raise CarrierUnreachable(f"{self._where} answered more than {limit}")
        return body.decode(errors="replace")

    def _refusal(self, method: str, status: int, text: str) -> CarrierError:
        """Return the error for a status other than 200, with the plugin's own words."""
        words = html.unescape(text).strip()[:WORDS_LIMIT] or "no reason given"
        if status == 401:
            fix = "compare the catalogue's token_file with the plugin's"
            return CarrierRejected(f"{self._where} refused the hub's token; {fix}")
        if status in _TRY_AGAIN or (method == "GET" and status >= 500):
            return CarrierUnreachable(f"{self._where} answered {status}: {words}")
        return CarrierRejected(words)

    def _parsed(self, text: str, kind: TypeAdapter[Answer]) -> Answer:
        """Return an answer as what it should be."""
        try:
            return kind.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the answer"
            problem = f"{self._where} answered what is not interLink's protocol"
            raise CarrierUnreachable(f"{problem}: {place}: {first['msg']}") from None
