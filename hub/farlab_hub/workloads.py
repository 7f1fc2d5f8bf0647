"""What callers ask of workloads: announce one, read it, wait for it, read its log, cancel it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from weakref import WeakValueDictionary

from farlab_relay.relay import Relay
from farlab_sites.carriers import CarrierError, CarrierUnreachable

from .accounts import Accounts
from .agents import Agents
from .cleaning import Cleaner
from .errors import CannotCheckError, ConflictError, ForbiddenError, NotFoundError, SiteTroubleError
from .journal import Journal
from .links import Links
from .models import Change, Workload, WorkloadRequest, now, reference
from .states import State
from .submitting import Submitter
from .words import tail_of

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
CANCEL_PATIENCE = 30.0  # seconds that a cancel waits for the job's end


class Workloads:
    """Every workload of this hub."""

    def __init__(
        self,
        *,
        links: Links,
        accounts: Accounts,
        journal: Journal,
        relay: Relay,
        agents: Agents,
        submitter: Submitter,
        cleaner: Cleaner,
    ) -> None:
        self._links = links
        self._accounts = accounts
        self._journal = journal
        self._relay = relay
        self._agents = agents
        self._submitter = submitter
        self._cleaner = cleaner
        self._announcing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def announce(self, request: WorkloadRequest) -> Workload:
        """Take a new workload; the same one may be announced again, and is started once."""
        async with self._announcing.setdefault(request.uid, asyncio.Lock()):
            known = await self._journal.store.get(request.uid)
            if known is not None:
                return _same(known, request)
            link = await self._links.get(request.site)
            if not link.site.open_to(request.groups):
                msg = f"{request.owner} is in no group that may use {link.site.title}"
                raise ForbiddenError(msg, "Ask to join one of the site's groups.")
            account = self._accounts.account(link.site, request.owner, request.groups)
            workload = await self._take(request, account)
        self._submitter.start(workload)
        return workload

    async def _take(self, request: WorkloadRequest, account: str | None) -> Workload:
        try:
            listeners = {
                port: await self._relay.open_port(request.uid, port, host=LOOPBACK)
                for port in request.ports
            }
            submission = _submission(request, account)
            workload = _new(request, account, listeners, submission["pod"])
            return await self._journal.store.add(workload, submission)
        except BaseException:
            await self._relay.drop(request.uid)
            raise

    async def resume(self) -> None:
        """Open again, on the same ports, what leads to the workloads that live."""
        for workload in await self._journal.store.find():
            listeners = {
                port: await self._reopen(workload.uid, port, listen)
                for port, listen in workload.listeners.items()
            }
            if listeners != workload.listeners:
                address = _address(listeners)
                log.warning("workload %s moves to %s", workload.uid, address)
                await self._journal.store.move(workload.uid, listeners, address)
            if workload.agent:
                self._agents.expect(workload)
            if workload.site not in self._links.by_name:
                reason = f"The site {workload.site} is not in the catalogue any more"
                await self._journal.change(workload.uid, Change(reason=reason))

    async def _reopen(self, uid: str, port: int, listen: int) -> int:
        try:
            return await self._relay.open_port(uid, port, host=LOOPBACK, listen=listen)
        except OSError as error:
            log.warning("port %d is taken: %s", listen, error)
            return await self._relay.open_port(uid, port, host=LOOPBACK)

    async def live(self) -> list[Workload]:
        """Return all workloads that have not ended, without their events."""
        return await self._journal.store.find()

    async def read(self, uid: str, *, after: int = 0, timeout: float = 0.0) -> Workload:
        """Return a workload with its events after `after`, if need be within `timeout` seconds."""
        if timeout <= 0:
            return _found(uid, await self._journal.store.get(uid, after))
        new = await self._journal.wait(uid, lambda w: w.seq > after, timeout, after=after)
        return _found(uid, new)

    async def log(self, uid: str, tail: int) -> str:
        """Return the last `tail` lines of a workload's log (0: all of it)."""
        workload = _found(uid, await self._journal.store.get(uid))
        link = self._links.by_name.get(workload.site)
        if workload.cleaned or link is None or not workload.submitted:
            return tail_of(workload.log_tail, tail)
        try:
            pod = dict(workload.pod)
            return await link.carrier.logs(pod, container=workload.containers[0], tail=tail)
        except CarrierError as error:
            if workload.ended:
                return tail_of(workload.log_tail, tail)
            msg = f"{link.site.title} does not give the log: {error}"
            fix = "Try again in a minute."
            kind = CannotCheckError if isinstance(error, CarrierUnreachable) else SiteTroubleError
            raise kind(msg, fix, code="no-log") from error

    async def cancel(self, uid: str) -> Workload:
        """End a workload; return it when its job is gone, or after half a minute as it is."""
        workload = _found(uid, await self._journal.store.get(uid))
        if not workload.ended:
            message = "Its job is being taken away"
            if workload.site not in self._links.by_name:
                message = f"{workload.site} is not in the catalogue any more: end its job there"
            cancelled = Change(state=State.CANCELLED, reason="Cancelled", message=message)
            await self._journal.change(uid, cancelled)
        elif not workload.cleaned:
            self._cleaner.start(workload)
        gone = await self._journal.wait(uid, lambda w: w.cleaned, CANCEL_PATIENCE)
        return _found(uid, gone)


def _found(uid: str, workload: Workload | None) -> Workload:
    if workload is None:
        msg = f"there is no workload {uid}"
        raise NotFoundError(msg, "It was never announced to this hub.")
    return workload


def _same(known: Workload, request: WorkloadRequest) -> Workload:
    said = (request.owner, request.site, request.secret_sha256)
    if said != (known.owner, known.site, known.secret_sha256):
        msg = f"workload {request.uid} is there already, with another owner, site or secret"
        raise ConflictError(msg, "Use a new uid.")
    return known


def _address(listeners: dict[int, int]) -> str:
    return f"http://{LOOPBACK}:{next(iter(listeners.values()))}"


def _new(
    request: WorkloadRequest, account: str | None, listeners: dict[int, int], pod: dict[str, Any]
) -> Workload:
    created = now()
    return Workload(
        uid=request.uid,
        owner=request.owner,
        server_name=request.server_name,
        kind=request.kind,
        site=request.site,
        profile=request.profile,
        account=account,
        state=State.REQUESTED,
        reason="",
        message="",
        job_id="",
        node="",
        address=_address(listeners),
        listeners=listeners,
        secret_sha256=request.secret_sha256,
        pod=reference(pod),
        created=created,
        updated=created,
        walltime=_seconds(pod["spec"].get("activeDeadlineSeconds")),
    )


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _submission(request: WorkloadRequest, account: str | None) -> dict[str, Any]:
    pod = request.pod.model_dump(mode="json", exclude_unset=True)
    pod["metadata"]["uid"] = request.uid
    # Only this service says whose account runs the job.
    annotations = {**(request.pod.metadata.annotations or {})}
    annotations.pop("farlab/account", None)
    if account is not None:
        annotations["farlab/account"] = account
    pod["metadata"]["annotations"] = annotations
    secrets = [secret.model_dump(mode="json") for secret in request.secrets]
    configmaps = [configmap.model_dump(mode="json") for configmap in request.configmaps]
    return {"pod": pod, "secrets": secrets, "configmaps": configmaps}
