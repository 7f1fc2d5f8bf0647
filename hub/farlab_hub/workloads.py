"""What callers ask of workloads: announce one, read it, wait for it, read its log, cancel it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from farlab_relay.relay import Relay
from farlab_sites.carriers import CarrierError, CarrierUnreachable
from farlab_sites.catalogue import Site

from .agents import Agents
from .cleaning import Cleaner
from .errors import CannotCheckError, ConflictError, NotFoundError, SiteTroubleError
from .identity.access import Access, Admitted
from .journal import Journal
from .ledger.recorder import Recorder
from .limits import admit
from .links import Links
from .models import SERVER, Change, Event, NewWorkload, Workload, now, reference
from .states import ENDED, LIVE, State
from .submitting import Submitter
from .words import TAIL_LINES, tail_of

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
LAST_LINES = 10.0  # seconds that a log is followed after its job's end
CANCEL_PATIENCE = 30.0  # seconds that a cancel waits for the job's end


class Workloads:
    """Every workload of this hub."""

    def __init__(
        self,
        *,
        links: Links,
        access: Access,
        journal: Journal,
        relay: Relay,
        agents: Agents,
        submitter: Submitter,
        cleaner: Cleaner,
        recorder: Recorder,
        ports_host: str = LOOPBACK,
    ) -> None:
        self._links = links
        self._access = access
        self._journal = journal
        self._relay = relay
        self._agents = agents
        self._submitter = submitter
        self._cleaner = cleaner
        self._recorder = recorder
        self._ports_host = ports_host
        # A name leads to an address that this machine may not know beforehand.
        self._listen_at = LOOPBACK if ports_host == LOOPBACK else "0.0.0.0"  # noqa: S104
        self._announcing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def announce(self, request: NewWorkload) -> Workload:
        """Take a new workload; the same one may be announced again, and is started once."""
        async with self._announcing.setdefault(request.uid, asyncio.Lock()):
            known = await self._journal.store.get(request.uid)
            if known is not None:
                return _same(known, request)
            link = await self._links.get(request.site)
            admitted = await self._access.admit(link.site, request.owner, request.groups)
            workload = await self._take(request, link.site, admitted)
        self._submitter.start(workload)
        return workload

    async def _take(self, request: NewWorkload, site: Site, admitted: Admitted) -> Workload:
        account = admitted.account
        try:
            listeners = await self._open_ports(request, site)
            submission = _submission(request, account)
            workload = replace(
                _new(request, account, listeners, submission["pod"]),
                address=_address(listeners, self._ports_host),
            )
            return await self._journal.store.add(
                workload,
                submission,
                lambda crowd: admit(site, request, crowd),
                request.key,
                await self._recorder.opening(request, submission["pod"], workload, admitted.person),
            )
        except BaseException:
            await self._relay.drop(request.uid)
            raise

    async def _open_ports(self, request: NewWorkload, site: Site) -> dict[int, int]:
        """Return the workload's ports and what leads to each on this host: 0 where nothing does.

        The hub's proxy connects to servers; all others are reached through the API alone. On
        ordinary nodes it connects to the server's pod, and there is no port of ours.
        """
        if request.kind == SERVER and site.is_ordinary:
            return {}
        if request.kind != SERVER:
            return dict.fromkeys(request.ports, 0)
        return {
            port: await self._relay.open_port(request.uid, port, host=self._listen_at)
            for port in request.ports
        }

    async def resume(self) -> None:
        """Open again, on the same ports, what leads to the workloads that live."""
        for workload in await self._journal.store.find():
            listeners = {
                port: await self._reopen(workload.uid, port, listen) if listen else 0
                for port, listen in workload.listeners.items()
            }
            address = _address(listeners, self._ports_host)
            if (listeners, address) != (workload.listeners, workload.address):
                log.warning("workload %s moves to %s", workload.uid, address)
                await self._journal.store.move(workload.uid, listeners, address)
            if workload.agent:
                self._agents.expect(workload)
            if workload.site not in self._links.by_name:
                reason = f"The site {workload.site} is not in the catalogue any more"
                await self._journal.change(workload.uid, Change(reason=reason))

    async def _reopen(self, uid: str, port: int, listen: int) -> int:
        try:
            return await self._relay.open_port(uid, port, host=self._listen_at, listen=listen)
        except OSError as error:
            log.warning("port %d is taken: %s", listen, error)
            return await self._relay.open_port(uid, port, host=self._listen_at)

    async def find(
        self, owner: str | None = None, *, ended: bool = False, newest: int | None = None
    ) -> list[Workload]:
        """Return the live workloads, with `ended` the others too, without their events.

        Oldest first; those of `owner`, or everyone's; at most the `newest` ones.
        """
        states = LIVE | ENDED if ended else LIVE
        return await self._journal.store.find(states, owner=owner, newest=newest)

    async def key(self, uid: str) -> str:
        """Return the key of a live kernel; empty for what has none any more."""
        return await self._journal.store.key(uid)

    async def read(self, uid: str, *, after: int = 0, timeout: float = 0.0) -> Workload:
        """Return a workload with its events after `after`, if need be within `timeout` seconds."""
        if timeout <= 0:
            return _found(uid, await self._journal.store.get(uid, after))
        new = await self._journal.wait(
            uid, lambda w: w.seq > after or w.cleaned, timeout, after=after
        )
        return _found(uid, new)

    async def events(self, uid: str, after: int, beat: float) -> AsyncIterator[Event | None]:
        """Yield a workload's events after `after`, until it has ended; None after `beat` seconds.

        A number that does not exist yet counts as the newest.
        """
        after = min(after, (await self.read(uid)).seq)
        while True:
            workload = await self.read(uid, after=after, timeout=beat)
            for event in workload.events:
                yield event
            if workload.ended:
                return
            after = workload.seq
            if not workload.events:
                yield None

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

    async def follow_log(
        self, uid: str, tail: int, send: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Send the last lines of a log (0: all) and what is added to it, until its job has ended.

        Raises `CarrierError` when the site stops sending it.
        """
        known = await self._journal.wait(uid, lambda w: w.submitted or w.ended, None)
        workload = _found(uid, known)
        link = self._links.by_name.get(workload.site)
        if workload.cleaned or link is None or not workload.submitted:
            await send(tail_of(workload.log_tail, tail or TAIL_LINES).encode())
            return
        loop = asyncio.get_running_loop()
        ending = asyncio.create_task(self._journal.wait(uid, lambda w: w.ended, None))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    # A site that is cut off does not say that there is no more.
                    ending.add_done_callback(lambda _: limit.reschedule(loop.time() + LAST_LINES))
                    pod, container = dict(workload.pod), workload.containers[0]
                    async for part in link.carrier.follow(pod, container=container, tail=tail):
                        await send(part)
        finally:
            ending.cancel()

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


def _same(known: Workload, request: NewWorkload) -> Workload:
    said, there = (request.owner, request.site), (known.owner, known.site)
    # A kernel's secret is made here, anew each time.
    secrets = request.secret_sha256 == known.secret_sha256 or request.kind != SERVER
    if said != there or request.kind != known.kind or not secrets:
        msg = f"workload {request.uid} is there already, with another owner, site or secret"
        raise ConflictError(msg, "Use a new uid.")
    return known


def _address(listeners: dict[int, int], host: str) -> str:
    listen = next(iter(listeners.values()), 0)
    return f"http://{host}:{listen}" if listen else ""


def _new(
    request: NewWorkload, account: str | None, listeners: dict[int, int], pod: dict[str, Any]
) -> Workload:
    created = now()
    return Workload(
        uid=request.uid,
        owner=request.owner,
        server_name=request.server_name,
        name=request.name,
        kind=request.kind,
        site=request.site,
        profile=request.profile,
        options=dict(request.options),
        account=account,
        state=State.REQUESTED,
        reason="",
        message="",
        job_id="",
        node="",
        address="",
        listeners=listeners,
        secret_sha256=request.secret_sha256,
        pod=reference(pod),
        created=created,
        updated=created,
        walltime=_seconds(pod["spec"].get("activeDeadlineSeconds")),
    )


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _submission(request: NewWorkload, account: str | None) -> dict[str, Any]:
    pod = copy.deepcopy(dict(request.pod))
    pod["metadata"]["uid"] = request.uid
    # Only this service says whose account runs the job.
    annotations = {**(pod["metadata"].get("annotations") or {})}
    annotations.pop("farlab/account", None)
    if account is not None:
        annotations["farlab/account"] = account
    pod["metadata"]["annotations"] = annotations
    return {"pod": pod, "secrets": [*request.secrets], "configmaps": [*request.configmaps]}
