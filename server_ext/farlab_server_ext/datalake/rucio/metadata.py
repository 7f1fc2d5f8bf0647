"""What a Rucio says of a DID: its own columns, and the keys that users have given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

from ..lake import Entry, LakeError
from .auth import moment_of
from .client import RucioClient
from .did import Did, entry_of

# fmt: off
OWN = frozenset({
    "scope", "name", "account", "did_type", "is_open", "monotonic", "hidden", "obsolete",
    "complete", "is_new", "availability", "suppressed", "bytes", "length", "md5", "adler32",
    "expired_at", "purge_replicas", "deleted_at", "events", "guid", "project", "datatype",
    "run_number", "stream_name", "prod_step", "version", "campaign", "task_id", "panda_id",
    "lumiblocknr", "provenance", "phys_group", "transient", "accessed_at", "closed_at",
    "eol_at", "is_archive", "constituent", "access_cnt", "created_at", "updated_at",
})
# fmt: on
"""Rucio's own columns; every other key is a user's."""

KEYS_MAX = 100
DIDS_MAX = 500
"""DIDs of one call."""
DAYS_MAX = 36_500
VALUE_MAX = 4_000


async def columns(
    client: RucioClient, dids: Sequence[Did], plugin: str = "ALL"
) -> list[dict[str, Any]]:
    """Return all keys of each DID that exists, in one call; or those of one of Rucio's plugins."""
    asked = {"dids": [did.json for did in dids], "inherit": False, "plugin": plugin}
    async with aclosing(client.rows("/dids/bulkmeta", body=asked)) as rows:
        return [row async for row in rows]


async def described(client: RucioClient, did: Did) -> tuple[Entry, dict[str, Any]]:
    """Return a DID's entry and all its keys that have a value, users' own first."""
    found = await columns(client, [did])
    if not found:
        words = f"There is no {did}."
        raise LakeError("not-found", words, "Reload the listing; it may have been removed.")
    row = found[0]
    entry = entry_of(row)
    state = None if entry.kind == "file" else ("open" if row.get("is_open") else "closed")
    entry = Entry(
        entry.name, entry.path, entry.kind, entry.size,
        modified=moment_of(row.get("updated_at")), checksum=entry.checksum, state=state,
        more=entry.more,
    )  # fmt: skip
    keys = sorted(row, key=lambda key: (key in OWN, key))
    return entry, {key: row[key] for key in keys if row[key] is not None}


async def write(client: RucioClient, did: Did, changes: Mapping[str, Any]) -> None:
    """Set keys of a DID; None removes one."""
    check(changes)
    path = f"/dids/{did.address}/meta"
    new = {key: value for key, value in changes.items() if value is not None}
    if new:
        await client.send("POST", path, {"meta": new})
    for key, value in changes.items():
        if value is None:
            await client.delete(path, key=key)


async def write_many(client: RucioClient, changes: Mapping[Did, Mapping[str, Any]]) -> None:
    """Set keys of several DIDs: of all of them, or of none. None removes one, afterwards."""
    for keys in changes.values():
        check(keys)
    wanted = [
        {**did.json, "meta": {key: value for key, value in keys.items() if value is not None}}
        for did, keys in changes.items()
    ]
    wanted = [one for one in wanted if one["meta"]]
    for start in range(0, len(wanted), DIDS_MAX):
        body = {"dids": wanted[start : start + DIDS_MAX]}
        await client.send("POST", "/dids/bulkdidsmeta", body)
    for did, keys in changes.items():
        for key, value in keys.items():
            if value is None:
                await client.delete(f"/dids/{did.address}/meta", key=key)


def storable(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys as Rucio takes them: lists and the like become JSON texts."""
    plain = (str, int, float, bool, type(None))
    return {
        key: value if isinstance(value, plain) else json.dumps(value) for key, value in keys.items()
    }


async def keep(client: RucioClient, did: Did, days: int | None) -> None:
    """Let a DID end so many days from now; None: never."""
    seconds = None if days is None else seconds_of(days)
    await client.send("POST", f"/dids/{did.address}/meta", {"meta": {"lifetime": seconds}})


def seconds_of(days: int) -> int:
    """Return a time in seconds; raise LakeError for one that makes no sense."""
    if not 1 <= days <= DAYS_MAX:
        words = f"Nothing can be kept for {days} days."
        raise LakeError("wrong-input", words, f"Give a number from 1 to {DAYS_MAX}.")
    return days * 86_400


def check(changes: Mapping[str, Any]) -> None:
    """Raise LakeError for keys and values that could not be read or searched again."""
    if len(changes) > KEYS_MAX:
        words = f"These are more than {KEYS_MAX} keys."
        raise LakeError("wrong-input", words, "Write them in several calls.")
    for key, value in changes.items():
        plain = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
        if not plain or len(key) > 255:
            words = f'"{key[:60]}" is no key of metadata.'
            raise LakeError("wrong-input", words, "Use letters, digits, _ and - in it.")
        if not isinstance(value, (str, int, float, bool, type(None))) or _length(value) > VALUE_MAX:
            words = f'The value of "{key[:60]}" is no short text and no number.'
            raise LakeError("wrong-input", words, f"Give at most {VALUE_MAX} characters.")


def _length(value: object) -> int:
    return len(value) if isinstance(value, str) else 0
