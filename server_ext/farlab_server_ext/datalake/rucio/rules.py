"""Rules: have data brought to a site, watch it, know why it is stuck, keep it longer, let it go."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..lake import LakeError
from .auth import moment_of
from .client import RucioClient
from .did import Did

DAY = 86_400
DAYS_MAX = 3_650


@dataclass(frozen=True)
class Rule:
    """A wish for copies, and how far it has come."""

    id: str
    did: str
    rse: str
    """An RSE, or an expression for several."""
    account: str
    state: str
    """Rucio's word in lower case: ok, replicating, stuck, suspended, waiting_approval, inject."""
    ok: int
    replicating: int
    stuck: int
    """Files of each kind."""
    created: float | None
    ends: float | None
    """Epoch seconds; None: it stays."""
    error: str | None
    """What Rucio says of the last failure."""
    comment: str | None


class Rules:
    """The rules of one Rucio."""

    def __init__(self, client: RucioClient) -> None:
        self._client = client

    async def of(self, did: Did) -> list[Rule]:
        """Return the rules for a DID."""
        return await self._listed(did.json)

    async def mine(self) -> list[Rule]:
        """Return the rules of the user's account."""
        return await self._listed({"account": await self._client.account()})

    async def one(self, rule: str) -> Rule:
        """Return a rule."""
        return self._rule(await self._client.get(_address(rule)))

    async def add(self, did: Did, rse: str, days: int | None, comment: str = "") -> str:
        """Ask for a copy at an RSE for so many days, or for good; return the rule's id."""
        wanted = {
            "dids": [did.json],
            "copies": 1,
            "rse_expression": rse,
            "account": await self._client.account(),
            "lifetime": None if days is None else _seconds(days),
            "grouping": "DATASET",
            "comment": comment[:250] or None,
        }
        ids = await self._client.send("POST", "/rules/", wanted)
        if not (isinstance(ids, list) and ids):
            raise self._client.nonsense()
        return str(ids[0])

    async def extend(self, rule: str, days: int) -> Rule:
        """Let a rule end so many days from now."""
        options = {"options": {"lifetime": _seconds(days)}}
        await self._client.send("PUT", _address(rule), options)
        return await self.one(rule)

    async def remove(self, rule: str) -> None:
        """End a rule: the files at its RSE are deleted in time, unless another rule keeps them."""
        await self._client.send("DELETE", _address(rule), {})

    async def retry(self, rule: str) -> None:
        """Have a stuck rule tried again at once."""
        await self._client.send("PUT", _address(rule), {"options": {"state": "STUCK"}})

    async def why(self, rule: str) -> list[dict[str, Any]]:
        """Return what Rucio knows of each file that is not there yet: `did`, `rse`, `reason`."""
        told = await self._client.get(_address(rule) + "/analysis")
        if not isinstance(told, dict):
            raise self._client.nonsense()
        error = str(told.get("rule_error") or "")
        files = [one for one in told.get("transfers") or () if isinstance(one, dict)]
        if not files and error:
            return [{"did": None, "rse": None, "reason": error}]
        return [_reason(one, error) for one in files]

    async def _listed(self, query: Mapping[str, str]) -> list[Rule]:
        async with aclosing(self._client.rows("/rules/", query)) as rows:
            found = [self._rule(row) async for row in rows]
        return sorted(found, key=lambda rule: (rule.created or 0.0, rule.id), reverse=True)

    def _rule(self, row: Any) -> Rule:
        try:
            return Rule(
                id=str(row["id"]),
                did=str(Did(row["scope"], row["name"])),
                rse=str(row["rse_expression"]),
                account=str(row["account"]),
                state=str(row["state"]).lower(),
                ok=int(row["locks_ok_cnt"]),
                replicating=int(row["locks_replicating_cnt"]),
                stuck=int(row["locks_stuck_cnt"]),
                created=moment_of(row.get("created_at")),
                ends=moment_of(row.get("expires_at")),
                error=str(row["error"]) if row.get("error") else None,
                comment=str(row["comments"]) if row.get("comments") else None,
            )
        except (KeyError, TypeError, ValueError):
            raise self._client.nonsense() from None


def _reason(told: Mapping[str, Any], error: str) -> dict[str, Any]:
    """Return one file's reason; `error` is the rule's own, for a file that was never tried."""
    attempts, last = told.get("attempts") or 0, told.get("last_error")
    if attempts:
        source = f", the last one from {told['last_source']}" if told.get("last_source") else ""
        words = f"{attempts} transfers were tried{source}; it ended with {last}."
    else:
        words = f"No transfer was tried. {error}".strip()
    return {
        "did": f"{told.get('scope')}:{told.get('name')}",
        "rse": told.get("rse"),
        "reason": words,
    }


def _seconds(days: int) -> int:
    if not 1 <= days <= DAYS_MAX:
        words = f"A rule can't last {days} days."
        raise LakeError("wrong-input", words, f"Give a number from 1 to {DAYS_MAX}.")
    return days * DAY


def _address(rule: str) -> str:
    if not (rule.isascii() and rule.isalnum() and len(rule) <= 64):
        raise LakeError("wrong-input", "This is no rule's id.", "Reload the list of rules.")
    return f"/rules/{quote(rule)}"
