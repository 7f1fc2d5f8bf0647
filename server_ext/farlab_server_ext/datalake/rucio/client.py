"""Calls of one Rucio with one identity. Whole answers are small; long ones are read row by row."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import aiohttp

from ..connections import SILENCE, failures_of, open_session, trust
from ..lake import LakeError
from ..tokens import Token
from .auth import TOKEN, Authenticator
from .errors import refusal

ANSWER_MAX = 64 * 2**20
"""Bytes of an answer that is read whole: the scopes of the largest Rucio need 1 MB."""
ROW_MAX = 2**20
"""Bytes of one row."""
REFUSAL_MAX = 2**14
"""Bytes of a refusal's body."""

Pairs = Mapping[str, str] | Sequence[tuple[str, str]]


class RucioClient:
    """Makes the calls. Tokens that end are renewed, and the call made again, once."""

    def __init__(self, who: Authenticator, silence: float = SILENCE) -> None:
        self.who = who
        self.service = who.service
        self._silence = silence
        self._session: aiohttp.ClientSession | None = None
        self._account = ""

    async def get(self, path: str, **query: str) -> Any:
        """Return the JSON that a path answers with."""
        return await self._whole("GET", path, query)

    async def get_with(self, path: str, query: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Return the JSON object that a path answers with, for a query with repeated keys."""
        told = await self._whole("GET", path, query)
        if not isinstance(told, dict):
            raise self.nonsense()
        return told

    async def send(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON; return the JSON or the text of the answer."""
        return await self._whole(method, path, {}, body)

    async def delete(self, path: str, **query: str) -> None:
        """Delete what a path and its query name."""
        await self._whole("DELETE", path, query)

    async def rows(
        self, path: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the rows of a long answer; whoever stops early ends Rucio's work on it."""
        async with aclosing(self.lines(path, query, body)) as lines:
            async for line in lines:
                yield self.row(line)

    async def lines(
        self, path: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the rows of a long answer as they come, each one JSON that nobody has read yet."""
        method = "GET" if body is None else "POST"
        async with self._answer(method, path, query or {}, body) as answer:
            rest = b""
            async for part in answer.content.iter_any():
                *whole, rest = (rest + part).split(b"\n")
                for line in whole:
                    if line:
                        yield line
                if len(rest) > ROW_MAX:
                    raise self.nonsense()
            if rest.strip():
                yield rest

    def row(self, line: bytes) -> dict[str, Any]:
        """Return a line as a row; raise LakeError if it is none."""
        try:
            row = json.loads(line)
        except ValueError:
            raise self.nonsense() from None
        if not isinstance(row, dict):
            raise self.nonsense()
        return row

    async def account(self) -> str:
        """Return the name of the account that Rucio takes the user for."""
        if not self._account:
            async with self._answer("GET", "/accounts/whoami", {}, None, (200, 302, 303)) as answer:
                # It points to the account's own address.
                where = answer.headers.get("Location", "").rstrip("/")
                name = where.rsplit("/", 1)[-1]
                if not name and answer.status == 200:
                    name = str((await answer.json(content_type=None)).get("account", ""))
            if not name:
                raise self.nonsense()
            self._account = name
        return self._account

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def nonsense(self) -> LakeError:
        """Return the error for an answer that is not Rucio's language."""
        title = self.service.title
        fix = "Is the address in the catalogue a Rucio's? If it is, tell who runs it."
        return LakeError("bad-answer", f"{title} answers something that makes no sense.", fix)

    async def _whole(self, method: str, path: str, query: Pairs, body: Any = None) -> Any:
        async with self._answer(method, path, query, body) as answer:
            data = await _read(answer, ANSWER_MAX)
        if data is None:
            raise self.nonsense()
        try:
            return json.loads(data)
        except ValueError:
            if method == "GET":
                raise self.nonsense() from None
            return data.decode(errors="replace")  # Created

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        query: Pairs,
        body: Any,
        wanted: tuple[int, ...] = (200, 201),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make a call; while inside, the answer can be read, afterwards its connection is free."""
        refused: Token | None = None
        with failures_of(self.service.title, self.service.url):
            while True:
                token = await self.who.token(refused)
                async with AsyncExitStack() as stack:
                    answer = await stack.enter_async_context(
                        self._open().request(
                            method,
                            self.service.url + path,
                            params=query,
                            json=body,
                            headers={TOKEN: token.value},
                            allow_redirects=False,
                        )
                    )
                    # Whoever leaves before the end must not make us read the rest of a million.
                    stack.callback(_drop_unless_read, answer)
                    if answer.status in wanted:
                        yield answer
                        return
                    error = await self._refused(answer)
                if error.code != "expired" or refused is not None:
                    raise error
                refused = token

    async def _refused(self, answer: aiohttp.ClientResponse) -> LakeError:
        data = await _read(answer, REFUSAL_MAX)
        text = (data or b"").decode(errors="replace")
        return refusal(self.service.title, answer.status, answer.headers, text)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = trust(self.service.ca) if self.service.url.startswith("https") else None
            self._session = open_session(context, self._silence)
        return self._session


def _drop_unless_read(answer: aiohttp.ClientResponse) -> None:
    if not answer.content.at_eof():
        answer.close()


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Return an answer's body; None if it is longer than the limit."""
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > limit:
            return None
    return b"".join(parts)
