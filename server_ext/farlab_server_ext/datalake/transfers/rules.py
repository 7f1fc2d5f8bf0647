"""A user's rules at the Rucios that are open, in the list of transfers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..lake import Lake, LakeError
from ..rucio.lake import RucioLake
from ..rucio.rules import Rule

STATES = {"ok": "done", "replicating": "active", "stuck": "failed", "suspended": "failed"}
"""Rucio's words to ours; others wait, for an approval or to be looked at."""


class RuleTransfers:
    """Rules as transfers: `rule:LAKE:ID`."""

    prefix = "rule:"

    def __init__(self, opened: Callable[[], Iterable[Lake]], lake: Callable[[str], Lake]) -> None:
        self._opened = opened
        self._lake = lake

    async def listed(self) -> Sequence[dict[str, Any]]:
        """Return them; a Rucio that does not answer has none for now."""
        found = []
        for lake in self._opened():
            if isinstance(lake, RucioLake):
                try:
                    rules = await lake.rules.mine()
                except LakeError:
                    continue
                found += [_told(lake, rule) for rule in rules]
        return found

    async def cancel(self, identifier: str) -> None:
        """End a rule."""
        lake, rule = self._rule(identifier)
        await lake.rules.remove(rule)

    async def retry(self, identifier: str) -> None:
        """Have a stuck rule tried again."""
        lake, rule = self._rule(identifier)
        await lake.rules.retry(rule)

    def _rule(self, identifier: str) -> tuple[RucioLake, str]:
        _, name, rule = identifier.split(":", 2) if identifier.count(":") > 1 else ("", "", "")
        lake = self._lake(name)
        if not isinstance(lake, RucioLake):
            raise LakeError("not-found", "There is no such rule.", "Look at the list again.")
        return lake, rule


def _told(lake: RucioLake, rule: Rule) -> dict[str, Any]:
    """Return a rule in the shape of `Transfer.as_json`; Rucio tells files, not bytes."""
    state = STATES.get(rule.state, "waiting")
    return {
        "id": f"rule:{lake.name}:{rule.id}",
        "way": "rule",
        "title": rule.did,
        "source": lake.name,
        "destination": rule.rse,
        "state": state,
        "reason": rule.error or "",
        "files_total": rule.ok + rule.replicating + rule.stuck,
        "files_done": rule.ok,
        "bytes_total": None,
        "bytes_done": None,
        "rate": None,
        "created": rule.created or 0.0,
        "updated": rule.created or 0.0,
        "token_ends": None,
        "outlives_token": False,
        "started": 1,
        "actions": ["retry", "cancel"] if state == "failed" else ["cancel"],
    }
