"""The hub service itself: its parts put together, started and stopped. No HTTP server in here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from farlab_relay.relay import Relay, StreamRefusedError
from farlab_relay.streams import End
from farlab_sites.carriers import Carrier
from farlab_sites.catalogue import Site

from .agents import Agents
from .auth import Gatekeeper
from .cleaning import Cleaner
from .database import sqlite_url
from .errands import Errands
from .errors import HubServiceError, NotFoundError, NotReadyError, SiteTroubleError
from .facts import SiteFacts
from .identity.access import Access, Seen
from .identity.alise_keys import AliseKeys
from .identity.audit import Audit
from .identity.login import HubLogins, HubPeople
from .identity.mapping import Mapping as AccountMapping
from .identity.tokens import TokenKeeper
from .identity.view import Identity
from .identity.words import sentence
from .journal import Journal
from .kernels import Kernels
from .ledger.budgets import Standing
from .ledger.desk import Desk
from .ledger.recorder import Recorder
from .ledger.views import site_budget_of
from .links import Links, SiteLink
from .metrics import Metrics
from .models import Workload
from .states import State
from .store import Store
from .submitting import Submitter
from .tunnels import Tunnels
from .vault import Vault
from .views import LinkageView, SiteView, datalake_view, profile_views
from .watching import TICK, Watcher
from .workloads import LOOPBACK, Workloads

log = logging.getLogger(__name__)


class HubService:
    """Everything that the API talks to, in one event loop with the relay.

    `upstreams` are what jobs may call, by name; `relay_url` is what agents dial (empty: the relay's
    address on this host); `database` is another one than SQLite in the state folder; `ports_host`
    is how the hub's proxy reaches this host; `logins` is the hub, where users log in at one.
    """

    def __init__(
        self,
        catalogue: Path,
        state_dir: Path,
        gatekeeper: Gatekeeper,
        *,
        carrier_for: Callable[[Site], Carrier],
        upstreams: Mapping[str, tuple[str, int]],
        relay_url: str = "",
        database: str = "",
        ports_host: str = LOOPBACK,
        logins: HubLogins | None = None,
        tick: float = TICK,
    ) -> None:
        self.gatekeeper = gatekeeper
        self._links = Links(catalogue, carrier_for)
        self.mapping = AccountMapping(Audit(state_dir / "accounts.audit.jsonl"))
        self.people = HubPeople(self._links.catalogue, logins)
        self.tokens = TokenKeeper(self._links.catalogue, logins)
        self._access = Access(self.people, self.mapping)
        self.identity = Identity(
            self._links.catalogue, self._access, self.mapping, logins, self.tokens
        )
        self.alise_keys = AliseKeys(self._links.catalogue, self.mapping.alise, logins)
        self._facts = SiteFacts(self._links)
        vaults = Vault(state_dir / "submissions"), Vault(state_dir / "keys")
        self._store = Store(database or sqlite_url(state_dir), *vaults)
        self.journal = Journal(self._store, self._ended)
        self._agents = Agents(self.journal, self._exited)
        self.relay = Relay(
            verify=self._agents.verify, on_event=self._agents.on_event, upstreams=upstreams
        )
        self._tunnels = Tunnels(self.relay, self._store)
        self._drops = Errands("closing")
        self._submitter = Submitter(self._links, self.journal)
        self.recorder = Recorder(self._store, self._links)
        self.usage = Desk(self._store, self._links, self.recorder, state_dir)
        self.metrics = Metrics(self.recorder.ledger)
        self.journal.on_ready = self.metrics.ready
        self._cleaner = Cleaner(self._links, self.journal, self._submitter, self.recorder)
        self.workloads = Workloads(
            links=self._links,
            access=self._access,
            journal=self.journal,
            relay=self.relay,
            agents=self._agents,
            submitter=self._submitter,
            cleaner=self._cleaner,
            recorder=self.recorder,
            ports_host=ports_host,
        )
        self.kernels = Kernels(self._links, self.workloads)
        self._relay_url = relay_url
        self._tick = tick
        self._watchers: dict[str, Watcher] = {}
        self._loops: list[asyncio.Task[None]] = []

    async def start(self, relay_host: str, relay_port: int) -> int:
        """Come back with every workload where it was; return the relay's port.

        Raises `CatalogueError`, and OSError when the relay's address is taken.
        """
        await self._links.catalogue()
        await self._store.open()
        await self.recorder.resume()
        # The known ports first: no new listener may take one of them.
        await self.workloads.resume()
        port = await self.relay.listen(relay_host, relay_port)
        self.kernels.relay_url = self._relay_url or f"ws://{relay_host}:{port}"
        self._loops.append(asyncio.create_task(self._agents.run()))
        for link in self._links.by_name.values():
            self._watch(link)
        self._links.on_new = self._watch
        self._links.on_change = self._tunnels.follow
        await self._submitter.resume()
        await self._cleaner.resume()
        return port

    async def close(self) -> None:
        """Stop; the jobs at the sites go on."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._tunnels.close()
        for watcher in self._watchers.values():
            await watcher.close()
        await self._submitter.close()
        await self._cleaner.close()
        await self._drops.close()
        await self._facts.close()
        await self._links.close()
        await self.mapping.close()
        await self.relay.close()
        await self._store.close()

    def _watch(self, link: SiteLink) -> None:
        watcher = Watcher(link, self.journal, self._agents, self.recorder, tick=self._tick)
        self._watchers[link.site.name] = watcher
        self._loops.append(asyncio.create_task(watcher.run()))
        self._tunnels.follow(link)

    async def _ended(self, workload: Workload) -> None:
        """Let go of an ended workload's streams, and have its job taken away."""
        self._agents.forget(workload.uid)
        self.metrics.ended(workload)
        # Closing takes as long as a node that was cut off does not answer: nobody waits for it.
        self._drops.start(workload.uid, lambda: self.relay.drop(workload.uid))
        self._cleaner.start(workload)

    def _exited(self, workload: Workload) -> None:
        watcher = self._watchers.get(workload.site)
        if watcher is not None:
            watcher.kick()

    def check_port(self, workload: Workload, port: int) -> None:
        """Raise `NotFoundError` (ended, no such port) or `NotReadyError` when none can connect."""
        if workload.ended:
            msg = f"the workload has ended: {workload.reason or workload.state}"
            raise NotFoundError(msg, "Start a new one.", code="ended")
        if port not in workload.listeners:
            known = ", ".join(map(str, workload.listeners))
            msg = f"the workload has no port {port} (it has: {known})"
            raise NotFoundError(msg, code="no-such-port")
        if workload.state not in (State.STARTING, State.READY):
            msg = f"the workload is not running yet ({workload.state}: {workload.reason})"
            raise NotReadyError(msg, "Wait until it is ready.")

    async def connect(self, workload: Workload, port: int) -> End:
        """Return a connection to a workload's port, to be joined with the caller's own.

        Raises `NotReadyError` when its agent is away, `SiteTroubleError` when its payload refuses.
        """
        try:
            return await self.relay.open_stream(workload.uid, port)
        except StreamRefusedError as error:
            if self.relay.is_connected(workload.uid):
                raise SiteTroubleError(str(error), "Try again.", code="no-stream") from error
            msg = "the connection to the workload's node is lost for now"
            raise NotReadyError(msg, "Try again in a moment.", code="no-agent") from error

    async def sites(self, user: str, groups: Collection[str]) -> list[SiteView]:
        """Return the sites that a user in these groups may choose, each with its state now."""
        seen = await self._access.seen(user, groups)
        sites = (await self._links.catalogue()).open_to(groups, seen.person.entitlements)
        budgets = await self._budgets(sites, seen)
        return await asyncio.gather(*(self._site(site, seen, budgets) for site in sites))

    async def entitlements(self, user: str, groups: Collection[str]) -> tuple[str, ...]:
        """Return a user's entitlements; none while they can't be asked for."""
        return (await self._access.seen(user, groups)).person.entitlements

    async def _budgets(self, sites: Sequence[Site], seen: Seen) -> dict[str, list[Standing]]:
        try:
            return await self.usage.budgets_at(sites, seen.person)
        except HubServiceError as error:  # sites are told all the same
            log.warning("budgets are not told now: %s", error.message)
            return {}

    async def _site(
        self, site: Site, seen: Seen, budgets: Mapping[str, Sequence[Standing]]
    ) -> SiteView:
        facts, who = await asyncio.gather(self._facts.look(site.name), self.identity.at(site, seen))
        link = self._links.by_name.get(site.name)
        trouble = link.explanation if link is not None else ""
        if not trouble and (why := self._facts.trouble(site.name)):
            trouble = f"{site.title} takes nothing now: {why}"
        if not trouble and facts is None and self._facts.late(site.name):
            trouble = f"{site.title} does not answer"
        reason = trouble or sentence(who.reason, who.fix)
        return SiteView(
            name=site.name,
            title=site.title,
            kind=site.kind,
            description=site.description,
            kernels=True,
            open=not reason,
            reason=reason,
            account=who.account,
            linkage=LinkageView.model_validate(who),
            budgets=[site_budget_of(one) for one in budgets.get(site.name, ())],
            facts=facts.answer if facts else {},
            age_s=facts.age if facts else None,
            profiles=profile_views(site),
            datalake=datalake_view(site),
        )
