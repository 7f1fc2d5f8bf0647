"""The hub service's API, as the spawner uses it: every call has a time limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

Workload = dict[str, Any]

FORM_FACTS_S = 2.0  # a form without live facts is still a form
CALL_S = 20.0
CANCEL_S = 45.0  # the service itself waits up to 30 s for the job's end
SNAPSHOT_AGE_S = 1.0


class ServiceError(Exception):
    """The hub service said no. `code` is for programs; `str()` is what to tell the user."""

    def __init__(self, status: int, code: str, message: str, fix: str = "") -> None:
        super().__init__(f"{message} {fix}".strip())
        self.status = status
        self.code = code
        self.message = message
        self.fix = fix


class ServiceUnreachableError(ServiceError):
    """The hub service did not answer in time, or answered nonsense: trying again may help."""

    def __init__(self, why: str) -> None:
        super().__init__(
            503,
            "service-unreachable",
            f"The hub's Farlab service does not answer ({why}).",
            "Try again in a minute; if it stays away, tell the hub's operator.",
        )


class HubService:
    """A client of the hub service at `url`, which ends with the service's prefix."""

    def __init__(self, url: str, token_file: str) -> None:
        self.url = url.rstrip("/") + "/api/"
        self._token_file = Path(token_file)
        self._live: dict[str, Workload] = {}
        self._live_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def sites(self, user: str, groups: list[str]) -> list[dict[str, Any]]:
        """Return each site that `groups` may choose, with its state and live facts."""
        query = [("user", user), *(("group", group) for group in groups)]
        answer = await self._call("GET", "sites", query=query, limit=FORM_FACTS_S)
        return _as_list(answer)

    async def create(self, workload: Mapping[str, Any]) -> Workload:
        """Announce a workload; repeating it with the same uid returns the same workload."""
        return _as_dict(await self._call("POST", "workloads", body=workload))

    async def workload(
        self, uid: str, *, after: int | None = None, wait: float = 0.0
    ) -> Workload | None:
        """Return a workload, once it has an event newer than `after` or `wait` seconds have passed.

        None: the service knows no such workload.
        """
        query = [] if after is None else [("after", str(after)), ("timeout", str(int(wait)))]
        try:
            answer = await self._call(
                "GET", f"workloads/{quote(uid)}", query=query, limit=CALL_S + wait
            )
        except ServiceError as error:
            if error.status == 404 and not isinstance(error, ServiceUnreachableError):
                return None
            raise
        return _as_dict(answer)

    async def cancel(self, uid: str, limit: float = CANCEL_S) -> Workload | None:
        """End a workload; the answer comes when its end is confirmed or after half a minute."""
        try:
            return _as_dict(
                await self._call("DELETE", f"workloads/{quote(uid)}", limit=limit) or {}
            )
        except ServiceError as error:
            if error.status == 404 and not isinstance(error, ServiceUnreachableError):
                return None
            raise

    async def live(self) -> dict[str, Workload]:
        """Return every workload that has not ended, by uid: one request for a second's polls."""
        if time.monotonic() - self._live_at > SNAPSHOT_AGE_S:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_live())
            await asyncio.shield(self._asking)
        return self._live

    async def _ask_live(self) -> None:
        asked = time.monotonic()
        answer = _as_list(await self._call("GET", "workloads", query=[("state", "live")]))
        self._live = {str(workload.get("uid")): workload for workload in answer}
        self._live_at = asked

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Mapping[str, Any] | None = None,
        limit: float = CALL_S,
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._token()}"}
        timeout = aiohttp.ClientTimeout(total=limit)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.request(
                    method, self.url + path, params=query, json=body, allow_redirects=False
                ) as answer,
            ):
                return await _read(answer)
        except TimeoutError:
            raise ServiceUnreachableError(f"no answer in {limit:.0f} seconds") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceUnreachableError(type(error).__name__) from error

    def _token(self) -> str:
        try:
            return self._token_file.read_text().strip()
        except OSError as error:
            raise ServiceUnreachableError(f"its token file: {error.strerror}") from error


@lru_cache
def hub_service(url: str, token_file: str) -> HubService:
    """Return the process's one client of that service, so that all spawners share its snapshot."""
    return HubService(url, token_file)


async def _read(answer: aiohttp.ClientResponse) -> Any:
    """Return the JSON of an answer; raise what the service said otherwise."""
    if answer.status == 204:
        return None
    try:
        content = await answer.json(content_type=None)
    except ValueError:
        raise ServiceUnreachableError(f"HTTP {answer.status} without JSON") from None
    if answer.status < 300:
        return content
    if not isinstance(content, dict) or not content.get("message") or "code" not in content:
        raise ServiceUnreachableError(f"HTTP {answer.status}")
    raise ServiceError(
        answer.status, str(content["code"]), str(content["message"]), str(content.get("fix") or "")
    )


def _as_dict(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ServiceUnreachableError("not the answer expected")
    return answer


def _as_list(answer: Any) -> list[dict[str, Any]]:
    if not isinstance(answer, list) or not all(isinstance(entry, dict) for entry in answer):
        raise ServiceUnreachableError("not the answer expected")
    return answer
