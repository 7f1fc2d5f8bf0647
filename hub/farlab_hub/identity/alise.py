"""ALISE's API, as the hub service asks it: whose account is linked to which login.

An answer counts as "not linked" only when ALISE says exactly that, for a login that it knows.
Everything else, an error inside of a 200 included, is "cannot be checked".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import aiohttp
from farlab_sites.identity import Alise
from yarl import URL

from ..errors import CannotCheckError, ForbiddenError
from .linkage import ExternalIdentity, Linkage
from .person import Person

log = logging.getLogger(__name__)

TIME_LIMIT = 5.0  # seconds for one question
MOST_BYTES = 2**20
LONGEST_KEY = 500
# What ALISE cuts its own texts and addresses at: a subject with one of them can't be asked for.
PARTING = frozenset(":/")
LATER = "Try again in a moment; nothing of yours is lost."
OPERATOR = "Tell the hub's operator."


class AliseClient:
    """Asks the services that the catalogue names. Keys stay in here: no error, no log has one."""

    def __init__(self, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = aiohttp.ClientTimeout(total=time_limit)
        self._sessions: dict[tuple[str, int], aiohttp.ClientSession] = {}

    async def linkage(self, alise: Alise, person: Person) -> Linkage | None:
        """Return a person's account at ALISE's site, None when there certainly is none linked.

        Raises `CannotCheckError` for every kind of doubt.
        """
        if not person.issuer or not person.subject:
            raise _unknown("the hub's login does not say who you are", OPERATOR)
        if not PARTING.isdisjoint(person.subject):
            raise _unknown("ALISE cannot look up a subject with a colon or a slash", OPERATOR)
        # The issuer as a digest: ALISE decodes slashes before it looks at an address.
        issuer = hashlib.sha1(person.issuer.encode(), usedforsecurity=False).hexdigest()
        path = f"target/{alise.site}/mapping/issuer/{issuer}/user/{quote_plus(person.subject)}"
        status, told = await self._ask(alise, path, {"apikey": _key(alise)})
        if status == 200:
            return _linkage(alise, person, told)
        if status == 401 and (kind := _kind(told)):
            if kind == "not-mapped":
                await self._must_know(alise, person.issuer)
                return None
            raise _unknown(f"ALISE refuses the hub's key for {alise.site}", OPERATOR)
        raise _unknown(f"ALISE answers with status {status}")

    async def new_key(self, alise: Alise, token: str) -> str:
        """Return a new key for ALISE's site, which the owner of this access token may have.

        Raises `ForbiddenError` (no-alise-admin), `CannotCheckError`.
        """
        status, told = await self._ask(alise, f"target/{alise.site}/get_apikey", {}, token)
        key = told.get("apikey") if isinstance(told, dict) else None
        if status == 200 and isinstance(key, str) and 0 < len(key) <= LONGEST_KEY:
            return key
        if status in (401, 403):
            msg = f"ALISE gives you no key for {alise.site}"
            fix = "Ask ALISE's operator for the group whose members may have keys."
            raise ForbiddenError(msg, fix, code="no-alise-admin")
        raise _unknown(f"ALISE gives no key (status {status})")

    async def close(self) -> None:
        """Let go of the connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def _must_know(self, alise: Alise, issuer: str) -> None:
        """Raise unless ALISE knows the login: of others it says "not linked", whoever asks."""
        status, told = await self._ask(alise, "alise/supported_issuers", {})
        try:
            known = {one["iss"] for one in told["supported_issuers"]["external"]}
            inside = {one["name"] for one in told["supported_issuers"]["internal"]}
        except (KeyError, TypeError) as error:
            raise _unknown(f"ALISE does not say what it supports (status {status})") from error
        if issuer not in known:
            raise _unknown(f"ALISE does not know the hub's login {issuer}", OPERATOR)
        if alise.site not in inside:
            raise _unknown(f"ALISE has no site {alise.site}", OPERATOR)

    async def _ask(
        self, alise: Alise, path: str, query: dict[str, str], token: str = ""
    ) -> tuple[int, Any]:
        url = f"{str(alise.url).rstrip('/')}/api/v1/{path}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            session = self._session(alise)
            async with session.get(
                URL(url, encoded=True).update_query(query), headers=headers, allow_redirects=False
            ) as answer:
                return answer.status, _content(await _read(answer))
        except TimeoutError as error:
            raise _unknown("ALISE does not answer in time") from error
        except aiohttp.ClientSSLError as error:
            raise _unknown("ALISE's certificate is not to be trusted", OPERATOR) from error
        except (aiohttp.ClientError, OSError) as error:
            # Not the error's own words: they may hold the address, and the key in it.
            log.warning("ALISE at %s: %s", alise.url, type(error).__name__)
            raise _unknown("ALISE cannot be reached") from error

    def _session(self, alise: Alise) -> aiohttp.ClientSession:
        """Return the connections to services that trust the same certificates."""
        ca = str(alise.ca or "")
        changed = alise.ca.stat().st_mtime_ns if alise.ca else 0
        session = self._sessions.get((ca, changed))
        if session is None or session.closed:
            trusted = ssl.create_default_context(cafile=ca) if ca else True
            connector = aiohttp.TCPConnector(ssl=trusted)
            jar = aiohttp.DummyCookieJar()
            session = aiohttp.ClientSession(
                timeout=self._time_limit, connector=connector, cookie_jar=jar
            )
            self._sessions[ca, changed] = session
        return session


def keep_key(file: Path, key: str) -> None:
    """Put a key where the catalogue says that it lies, for this account's eyes only."""
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # has mode 0600
    try:
        with os.fdopen(handle, "w") as out:
            out.write(f"{key}\n")
        Path(draft).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        raise


def _key(alise: Alise) -> str:
    try:
        key = alise.key_file.read_text().strip()
    except (OSError, ValueError) as error:
        why = f"the hub's key for ALISE ({alise.key_file.name}) cannot be read"
        raise _unknown(why, OPERATOR) from error
    if not key or len(key) > LONGEST_KEY or not key.isascii():
        raise _unknown(f"the hub has no key for ALISE in {alise.key_file.name}", OPERATOR)
    return key


def _linkage(alise: Alise, person: Person, told: Any) -> Linkage:
    """Return what ALISE says, if it is about this person and whole."""
    if not isinstance(told, dict) or "error" in told:
        raise _unknown("ALISE answers with an error")
    inside, outside = told.get("internal"), told.get("external")
    if not isinstance(inside, dict) or not isinstance(outside, list):
        raise _unknown("ALISE's answer is not understood")
    external = tuple(_identity(one) for one in outside if isinstance(one, dict))
    if (person.issuer, person.subject) not in {(one.issuer, one.subject) for one in external}:
        raise _unknown("ALISE answers about somebody else")
    account = inside.get("username")
    if not isinstance(account, str) or not account:
        raise _unknown("ALISE does not say which account it is", OPERATOR)
    return Linkage(
        account,
        "alise",
        f"linked at {alise.site}",
        last_seen=_time(inside.get("last_seen")),
        external=external,
    )


def _identity(told: dict[str, Any]) -> ExternalIdentity:
    issuer, subject, name = (
        str(told.get(key) or "")[:500] for key in ("iss", "sub", "display_name")
    )
    return ExternalIdentity(issuer, subject, name, _time(told.get("last_seen")))


def _time(told: Any) -> float | None:
    is_number = isinstance(told, (int, float)) and not isinstance(told, bool)
    return float(told) if is_number and 0 < told < 2**40 else None


def _kind(told: Any) -> str:
    """Return the type of a refusal as ALISE writes it; empty for anything else."""
    try:
        kind = told["detail"][0]["type"]
    except (KeyError, IndexError, TypeError):
        return ""
    return kind if kind in ("not-mapped", "invalid") else ""


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Return an answer's body, cut where it is longer than any that ALISE gives."""
    body = b""
    async for chunk in answer.content.iter_chunked(2**16):
        body += chunk
        if len(body) > MOST_BYTES:
            raise _unknown("ALISE's answer is not understood")
    return body


def _content(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _unknown(why: str, fix: str = LATER) -> CannotCheckError:
    return CannotCheckError(f"your account cannot be checked now: {why}", fix)
