"""The Kubernetes API as JSON: kubernetes_asyncio signs in, and nothing is turned into its models.

Thousands of pods as generated model objects would cost a kubelet most of its memory and time.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

log = logging.getLogger(__name__)

Json = dict[str, Any]
CALLS = 32  # requests at once; more would only wait in the API server's own queue
TIME_LIMIT = 30.0  # seconds for one call
WATCH = 240  # seconds after which the API server ends a watch
SILENCE = 150.0  # seconds without even a bookmark, after which a watch is taken for dead
LONGEST_WORDS = 2000
PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


class ApiError(Exception):
    """The API server refused; `status` is HTTP's, `reason` Kubernetes' own word."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"the API server answered {status} {reason}: {message}")
        self.status = status
        self.reason = reason


class ApiAway(ApiError):  # noqa: N818 - it names a state of the world
    """The API server did not answer, or not now: try again."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "Away", message)


class Api:
    """One signed-in connection; `open` before the first call."""

    def __init__(self, kubeconfig: Path | None) -> None:
        self._kubeconfig = kubeconfig
        self._client: ApiClient | None = None
        self._slots = asyncio.Semaphore(CALLS)
        self._signing_in = asyncio.Lock()
        self.calls = 0

    async def open(self) -> None:
        """Read who we are.

        Raises:
            ApiError: there is no usable kubeconfig, and no service account either.

        """
        settings = Configuration()
        try:
            if self._kubeconfig is not None:
                await config.load_kube_config(
                    str(self._kubeconfig), client_configuration=settings, persist_config=False
                )
            else:
                config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError, ValueError) as error:
            where = self._kubeconfig or "the pod's service account"
            raise ApiError(0, "SignIn", f"{where} can't be used: {error}") from None
        old, self._client = self._client, ApiClient(configuration=settings)
        if old is not None:
            await old.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def get(self, path: str, **query: Any) -> Json:
        """Return an object or a list."""
        return await self.call("GET", path, query=query)

    async def find(self, path: str) -> Json | None:
        """Return an object, None where there is none."""
        try:
            return await self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def patch(self, path: str, body: Json, kind: str = "merge") -> Json:
        """Change an object and return it as it is then."""
        return await self.call("PATCH", path, body=body, content=PATCHES[kind])

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> Json:
        """Make one call and return its answer.

        Raises:
            ApiError: it was refused.
            ApiAway: there was no answer, or one that says to come back later.

        """
        async with self._slots:
            used = self._client
            try:
                return await self._once(method, path, body, query, content)
            except ApiError as error:
                if error.status != 401:
                    raise
            await self._sign_in_again(used)
            return await self._once(method, path, body, query, content)

    async def _once(
        self, method: str, path: str, body: Any, query: Mapping[str, Any] | None, content: str
    ) -> Json:
        self.calls += 1
        response = await self._send(
            method, path, body=body, query=query, content=content, limit=TIME_LIMIT
        )
        try:
            async with response:
                return await _answer(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiAway(_words(error)) from None

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Any,
        query: Mapping[str, Any] | None,
        content: str,
        limit: Any,
    ) -> aiohttp.ClientResponse:
        client = self._client
        if client is None:
            raise ApiAway("not signed in yet")
        headers = {"Accept": "application/json", "Content-Type": content}
        try:
            await client.update_params_for_auth(headers, [], ["BearerToken"])
            response: aiohttp.ClientResponse = await client.rest_client.request(
                method,
                f"{client.configuration.host}{path}",
                query_params=dict(query) if query else None,
                headers=headers,
                body=body,
                _preload_content=False,
                _request_timeout=limit,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:
            # A RuntimeError: the session was closed by a new sign-in a moment ago.
            raise ApiAway(_words(error)) from None
        return response

    async def _sign_in_again(self, used: ApiClient | None) -> None:
        """Read the token or certificate anew, unless another call has: the old one has expired."""
        async with self._signing_in:
            if self._client is not used:
                return
            try:
                await self.open()
            except ApiError as error:
                raise ApiAway(str(error)) from None

    async def watch(self, path: str, **query: Any) -> AsyncIterator[Json]:
        """Yield the events of a watch until the API server ends it.

        Raises:
            ApiError: status 410: the version it should start from is too old.
            ApiAway: the connection broke.

        """
        asked = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": WATCH}
        limit = aiohttp.ClientTimeout(total=None, sock_connect=TIME_LIMIT, sock_read=SILENCE)
        self.calls += 1
        used = self._client
        response = await self._send(
            "GET", path, body=None, query=asked, content="application/json", limit=limit
        )
        try:
            async with response:
                if response.status == 401:
                    await self._sign_in_again(used)
                    raise ApiAway("the token had expired")
                if response.status != 200:
                    await _answer(response)
                async for line in response.content:
                    yield _event(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiAway(_words(error)) from None


def _event(line: bytes) -> Json:
    """Return an event of a watch; raise ApiError for one that ends it."""
    try:
        event = json.loads(line)
        kind, item = event["type"], event["object"]
    except (ValueError, TypeError, KeyError):
        raise ApiAway("a watch ended in the middle of an event") from None
    if kind == "ERROR":
        raise ApiError(int(item.get("code", 0)), item.get("reason", ""), item.get("message", ""))
    return {"type": kind, "object": item}


async def _answer(response: aiohttp.ClientResponse) -> Json:
    """Return the JSON of an answer; raise ApiError for a refusal."""
    text = await response.read()
    try:
        content = json.loads(text)
    except ValueError:
        content = {}
    if not isinstance(content, dict):
        content = {}
    if response.status < 300:
        return content
    words = str(content.get("message") or text[:LONGEST_WORDS].decode(errors="replace"))
    if response.status in (429, 500, 502, 503, 504):
        raise ApiAway(f"it answered {response.status}: {words}")
    raise ApiError(response.status, str(content.get("reason", "")), words)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
