"""How pods are and what their jobs used: the batch system's word joined with the pod runner's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from farlab_sites.plugin import accounts, used
from farlab_sites.plugin.accounts import Account
from farlab_sites.plugin.driver import BatchSystemDown, Driver, Job, JobState
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.podspec import identity
from farlab_sites.plugin.statuses import (
    REPORT_LIMIT,
    answer,
    not_submitted,
    parse_report,
    worth_reading,
)
from farlab_sites.plugin.store import Record, Store

log = logging.getLogger(__name__)

Json = dict[str, Any]
READERS = 16  # files that are read at once


class Answers:
    """Makes the answers to /status, and keeps the last one of each pod."""

    def __init__(
        self,
        driver: Driver,
        store: Store,
        *,
        job: Callable[[Record], Job],
        account: Callable[[Record], Account | None],
    ) -> None:
        self._driver = driver
        self._store = store
        self._job = job
        self._account = account
        self._readers = asyncio.Semaphore(READERS)
        self._samples = used.Samples()
        self._endings = used.Endings(driver)

    async def status(self, manifests: Sequence[object]) -> list[Json]:
        """Return the states of those pods that are known, with one question to the batch system.

        A pod that was deleted lately is known to those who ask what it used.

        Raises:
            Refusal: 503, the batch system does not answer.

        """
        found = [self._find(manifest) for manifest in manifests]
        records = [record for record in found if record is not None]
        asked = [record for record in records if record.answer is None and record.job_id]
        try:
            jobs = [self._job(record) for record in asked]
            states = await self._driver.states(jobs) if asked else {}
        except BatchSystemDown as error:
            raise Refusal(503, str(error)) from None
        told = await asyncio.gather(*(self._answer(r, states.get(r.uid)) for r in records))
        return await self._completed(records, told)

    def _find(self, manifest: object) -> Record | None:
        uid = identity(manifest)
        record = self._store.get(uid)
        return record or (self._store.gone(uid) if used.wanted(manifest) else None)

    async def _answer(self, record: Record, state: JobState | None) -> Json:
        if record.answer is not None:
            return record.answer
        if state is None:
            return answer(record, not_submitted(record), {})
        made = await self._made(record, state)
        now = self._store.get(record.uid)
        if state.phase == "Terminated" and now is not None and now.stage == "submitted":
            self._store.update(record.uid, "ended", answer=made)
        return made

    async def _made(self, record: Record, state: JobState) -> Json:
        """Return a new answer of a pod with a job."""
        ended, report = state.phase == "Terminated", {}
        due = state.phase == "Running" and self._samples.due(record.uid)
        if due or worth_reading(record, state):
            report = parse_report(await self._report(record))
            self._samples.keep(record.uid, report)
        made = answer(record, state, report if worth_reading(record, state) else {})
        measured = self._samples.of(record.uid)
        usage = used.first_usage(record, self._job(record), state, made, measured)
        made["usage"] = usage.to_json()
        if ended:
            self._samples.forget(record.uid)
        elif measured:
            made["live"] = {key: measured[key] for key in measured if key != "peak_memory"}
        return made

    async def _report(self, record: Record) -> bytes | None:
        path = Path(record.folder) / "status.json"
        try:
            async with self._readers:
                return await accounts.read_file(self._account(record), path, most=REPORT_LIMIT)
        except accounts.AccountError as error:
            log.warning("pod %s: %s", record.uid, error)
            return None

    async def _completed(self, records: Sequence[Record], told: Sequence[Json]) -> list[Json]:
        """Return the answers with what is known by now of the usage of jobs that have ended."""
        known = {record.uid: (record, one) for record, one in zip(records, told, strict=True)}
        pending = []
        for uid, (record, one) in known.items():
            usage = used.read(one) if self._has_ended(uid) else None
            if usage is not None and not usage.final:
                pending.append((self._job(record), usage))
        settled = await self._endings.settled(pending)
        for uid, usage in settled.items():
            record, one = known[uid]
            known[uid] = (record, {**one, "usage": usage.to_json()})
            self._keep(record, known[uid][1])
        return [known[record.uid][1] for record in records]

    def _has_ended(self, uid: str) -> bool:
        record = self._store.get(uid)
        return record is None or record.answer is not None

    def _keep(self, record: Record, told: Json) -> None:
        now = self._store.get(record.uid)
        if now is not None:
            self._store.update(record.uid, now.stage, answer=told)
        else:
            self._store.bury(replace(record, answer=told))

    async def last(self, record: Record, state: JobState | None) -> None:
        """Keep the answer of a pod that is about to be removed, for those who ask afterwards."""
        if record.answer is None and state is not None:
            made = await self._made(record, state)
            record = self._store.update(record.uid, record.stage, answer=made)
        if record.answer is not None and "usage" in record.answer:
            self._store.bury(record)
