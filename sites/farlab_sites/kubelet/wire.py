"""One HTTP connection to a plugin or an interLink API server: token, TLS, time limits, words."""

from __future__ import annotations

import html
import json
import random
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from farlab_sites.carriers import ANSWER_LIMIT, WORDS_LIMIT, CarrierRejected, CarrierUnreachable
from farlab_sites.kubelet.config import Endpoint, Tls

TIME_LIMIT = 60.0  # seconds for creating and deleting; questions have half of it
_TRY_AGAIN = frozenset({401, 408, 425, 429, 502, 503, 504})


class TlsError(Exception):
    """A certificate, key or authority can't be used; the message says which."""


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return how to speak https: whom to trust, and our own certificate.

    Raises:
        TlsError: a file can't be used.

    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(str(file) for file in (tls.ca_file, tls.cert_file, tls.key_file) if file)
        raise TlsError(f"tls: {names}: {error}: give PEM files that can be read") from None
    return context


class Wire:
    """Sends calls to one endpoint; every failure is a CarrierError with words for people."""

    def __init__(self, endpoint: Endpoint, *, time_limit: float = TIME_LIMIT) -> None:
        parts = urlsplit(endpoint.url)
        self._socket = parts.path if parts.scheme == "unix" else None
        self._base = "http://plugin" if self._socket else endpoint.url.rstrip("/")
        self._tls = tls_context(endpoint.tls) if parts.scheme == "https" else None
        self._where = endpoint.url
        self._token_file = endpoint.token_file
        self._time_limit = time_limit
        self._session: aiohttp.ClientSession | None = None

    async def call(self, method: str, path: str, verb: str, body: Any = None) -> str:
        """Return the answer's text.

        Raises:
            CarrierRejected: refused for good, in the words of the other end.
            CarrierUnreachable: not answered, or not in a way that means anything.

        """
        limit = self._time_limit / (2 if method == "GET" else 1)
        timeout = aiohttp.ClientTimeout(total=limit)
        async with self._request(method, path, verb, body, timeout) as response:
            text = await self._text(response)
        if response.status != 200:
            raise self._refusal(method, response.status, text)
        return text

    async def json(self, method: str, path: str, verb: str, body: Any = None) -> Any:
        """Return the answer as JSON; the same errors."""
        text = await self.call(method, path, verb, body)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise CarrierUnreachable(f"{self._where} answered what is not JSON") from None

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, verb: str, body: Any
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give the answer piece by piece, with no limit on how long it takes."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._time_limit / 2)
        async with self._request(method, path, verb, body, limits) as response:
            if response.status != 200:
                raise self._refusal("POST", response.status, await self._text(response))
            yield response.content.iter_any()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, verb: str, body: Any, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        data = None if body is None else json.dumps(body).encode()
        try:
            async with self._open().request(
                method,
                self._base + path,
                data=data,
                headers=self._headers(verb),
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                yield response
        except TimeoutError:
            limit = f"{timeout.total or timeout.sock_connect:g} s"
            raise CarrierUnreachable(f"{self._where} did not answer in {limit}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            words = getattr(getattr(error, "os_error", error), "strerror", None) or str(error)
            reason = words or type(error).__name__
            raise CarrierUnreachable(f"{self._where} can't be reached: {reason}") from None

    def _open(self) -> aiohttp.ClientSession:
        """Return the session; it is made here because it belongs to the running loop."""
        if self._session is None:
            connector: aiohttp.BaseConnector
            if self._socket:
                connector = aiohttp.UnixConnector(self._socket)
            else:
                connector = aiohttp.TCPConnector(ssl=self._tls or True)
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=jar)
        return self._session

    def _headers(self, verb: str) -> dict[str, str]:
        """Return the tracing header of interLink, and the token as it is in its file now."""
        headers = {
            "Content-Type": "application/json",
            "InterLink-Http-Session": f"{verb}#{random.randrange(100_000)}",  # noqa: S311
        }
        if self._token_file is not None:
            headers["Authorization"] = f"Bearer {_token(self._token_file)}"
        return headers

    async def _text(self, response: aiohttp.ClientResponse) -> str:
        """Return an answer's text, but never more than the limit of it."""
        body = bytearray()
        async for chunk in response.content.iter_chunked(2**16):
            body += chunk
            if len(body) > ANSWER_LIMIT:
                limit = f"{ANSWER_LIMIT // 2**20} MiB"
                raise CarrierUnreachable(f"{self._where} answered more than {limit}")
        return body.decode(errors="replace")

    def _refusal(self, method: str, status: int, text: str) -> CarrierRejected | CarrierUnreachable:
        words = html.unescape(text).strip()[:WORDS_LIMIT] or f"no reason given (status {status})"
        if status == 401:
            # An expired token is the operator's to renew: no pod fails for it.
            return CarrierUnreachable(f"{self._where} refused the token of token_file: renew it")
        if status in _TRY_AGAIN or (method == "GET" and status >= 500):
            return CarrierUnreachable(f"{self._where} answered {status}: {words}")
        return CarrierRejected(words)


def _token(file: Path) -> str:
    """Return the bearer token, read each time so that a new one counts at once."""
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", None) or "not text"
        raise CarrierUnreachable(f"the token file {file} can't be read: {words}") from None
    if not re.fullmatch(r"[!-~]+", token):
        raise CarrierUnreachable(f"the token file {file} must hold one word: the token")
    return token
