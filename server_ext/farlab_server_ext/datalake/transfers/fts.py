"""FTS3's REST API: jobs of files, many of them asked for in one call.

Tokens go with each file and are left alone there (`unmanaged_tokens`): where refresh tokens are
forbidden, as in ILDG, a transfer fails when its token ends, and is started again with a fresh one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..endpoint import Endpoint
from ..lake import Lake, LakeError
from ..logins import Login
from ..storage.webdav import WebdavLake
from .model import File, FileState
from .tpc import AUTHORISATION, Outcome

FIELDS = "file_state,dest_surl,source_surl,reason,start_time,finish_time,file_metadata,transferred"
MANY = 50
"""Jobs asked for in one call: their names are in its address."""
STATES: dict[str, FileState] = {
    "SUBMITTED": "waiting",
    "READY": "waiting",
    "STAGING": "waiting",
    "TOKEN_PREP": "waiting",
    "ON_HOLD": "waiting",
    "ACTIVE": "active",
    "STARTED": "active",
    "FINISHED": "done",
    "FAILED": "failed",
    "CANCELED": "cancelled",
    "NOT_USED": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Progressed:
    """What FTS tells of a file."""

    outcome: Outcome
    bytes_done: int


class Fts:
    """One FTS3 with one user's login."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def submit(
        self, source: Lake, destination: Lake, files: Sequence[File], *, overwrite: bool
    ) -> str:
        """Submit files between two doors as one job, and return its name."""
        if not isinstance(source, WebdavLake) or not isinstance(destination, WebdavLake):
            words = "FTS carries files between WebDAV doors."
            raise LakeError("unsupported", words, "Choose another way for this transfer.")
        tokens = [await one.endpoint.logins.login() for one in (source, destination)]
        described = [_described(source, destination, file, tokens) for file in files]
        params = {"overwrite": overwrite, "verify_checksum": "both", "retry": 0}
        body = {"files": described, "params": params | {"unmanaged_tokens": True}}
        answer = await self.endpoint.json("POST", f"{self.endpoint.url}/jobs", body)
        if not isinstance(answer, dict) or not isinstance(answer.get("job_id"), str):
            raise self.endpoint.rubbish("no job")
        return str(answer["job_id"])

    async def poll(self, jobs: Sequence[str]) -> dict[str, dict[str, Progressed]]:
        """Return for each job that FTS knows what became of its files, by destination."""
        found: dict[str, dict[str, Progressed]] = {}
        for start in range(0, len(jobs), MANY):
            names = ",".join(jobs[start : start + MANY])
            url = f"{self.endpoint.url}/jobs/{names}?files={FIELDS}"
            try:
                answer = await self.endpoint.json("GET", url)
            except LakeError as error:
                if error.code == "not-found":
                    continue
                raise
            listed = answer if isinstance(answer, list) else [answer]
            known = [one for one in listed if isinstance(one, dict) and "files" in one]
            found |= {str(job.get("job_id")): _progress(job) for job in known}
        return found

    async def cancel(self, jobs: Sequence[str]) -> None:
        """Stop jobs."""
        url = f"{self.endpoint.url}/jobs/{','.join(jobs)}"
        async with self.endpoint.request("DELETE", url):
            return


def ended_token(progressed: Progressed, ends: float | None) -> Progressed:
    """Return it as expired where a door refused after the token's end."""
    outcome = progressed.outcome
    refused = any(code in outcome.reason for code in AUTHORISATION)
    if outcome.state == "failed" and refused and Login("", ends).ended:
        words = "Its token has ended. Start it again with a fresh one."
        return Progressed(Outcome("expired", words), progressed.bytes_done)
    return progressed


def _described(
    source: WebdavLake, destination: WebdavLake, file: File, tokens: Sequence[Login]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "sources": [source.url(file.source)],
        "destinations": [destination.url(file.destination)],
        "filesize": file.size,
    }
    if file.checksum:
        kind, _, digits = file.checksum.partition(":")
        described["checksum"] = f"{kind.upper()}:{digits}"
    if all(one.header.startswith("Bearer ") for one in tokens):
        values = [one.header.removeprefix("Bearer ") for one in tokens]
        described["source_tokens"], described["destination_tokens"] = [values[0]], [values[1]]
    return described


def _progress(job: Mapping[str, Any]) -> dict[str, Progressed]:
    found = {}
    for file in job["files"]:
        state = STATES.get(str(file.get("file_state")), "waiting")
        carried = file.get("transferred")
        outcome = Outcome(state, str(file.get("reason") or ""))
        done = carried if isinstance(carried, int) else 0
        found[str(file.get("dest_surl"))] = Progressed(outcome, done)
    return found
