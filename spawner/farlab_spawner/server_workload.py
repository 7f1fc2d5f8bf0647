"""The life of one server as the hub service tells it: start, poll, stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from logging import Logger
from typing import Any, NoReturn

from .endings import ENDED, Ending, ending_of
from .errors import SpawnRefused
from .pages import failure_html
from .progress import Feed, Step, newest, steps, tail
from .service import CALL_S, CANCEL_S, HubService, ServiceError, ServiceUnreachableError, Workload

LONG_POLL_S = 20.0
LOG_POLL_S = 3.0  # while JupyterLab starts, its log is what the user watches
RETRY_S = 1.0
UNSENT_CANCEL_S = 3.0
PATIENCE_S = 60.0  # how long an unreachable hub service (restarted, say) is waited for


Make = Callable[[Workload], Awaitable[str]]


class ServerWorkload:
    """One server, known to the hub service as a workload.

    `uid` is empty when there is none. Everything that must outlive the hub is in `saved()`.
    """

    def __init__(self, service: HubService, log: Logger) -> None:
        self.service = service
        self.log = log
        self.uid = ""
        self.site = ""  # its title
        self.address = ""
        self.ready = False
        self.ending: Ending | None = None
        self.feed = Feed()
        self._creating: asyncio.Task[Workload] | None = None
        self._stopping = False

    def saved(self) -> dict[str, Any]:
        """Return what the hub's database keeps of it."""
        state: dict[str, Any] = {}
        if self.uid:
            state |= {"uid": self.uid, "site": self.site, "ready": self.ready}
        if self.ending:
            state["ending"] = self.ending.saved()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a server after a hub restart."""
        self.uid = str(state.get("uid") or "")
        self.site = str(state.get("site") or "")
        self.ready = bool(state.get("ready"))
        self.ending = Ending.restored(state.get("ending"))

    def forget(self) -> None:
        """Let go of a server that has ended; how it ended stays known until the next start."""
        self.uid = self.address = ""
        self.ready = False

    def prepare(self, uid: str, site: str) -> None:
        """Begin a new server: nothing of an earlier one is left."""
        self.forget()
        self.uid, self.site = uid, site
        self.ending = None
        self.feed = Feed()
        self._stopping = False

    async def clear_out(self, owner: str, server_name: str) -> None:
        """Cancel what is left of earlier lives of this server, which a lost database forgot."""
        try:
            live = await self.service.live()
        except ServiceError:
            return  # the start itself will say so
        mine = ("server", owner, server_name)
        for uid, workload in live.items():
            if tuple(map(workload.get, ("kind", "owner", "server_name"))) == mine:
                self.log.warning("Cancelling %s, which is left of %s/%s", uid, owner, server_name)
                _keep(asyncio.create_task(self._cancel_until_done(uid)))

    async def start(
        self,
        request: dict[str, Any],
        limit: float,
        announced: Callable[[str], None],
        make: Make | None = None,
    ) -> str:
        """Create the workload and wait until JupyterLab answers; return the server's address.

        `announced` is called with the address as soon as it is known; `make` makes the pod where
        the hub service does not, and returns the pod's own address. Gives up after `limit`
        seconds. When it is cancelled, `stop` is what removes the workload.
        """
        return await self._within(limit, self._begin(request, announced, make))

    async def resume(self, limit: float) -> str:
        """Wait, like `start`, for a server that an earlier process of the hub has asked for."""
        return await self._within(limit, self._follow())

    async def _within(self, limit: float, address: Coroutine[Any, Any, str]) -> str:
        """Return what `address` does; turn what goes wrong into how the server ended."""
        try:
            async with asyncio.timeout(limit):
                return await address
        except TimeoutError:
            self._cancel_soon()
            self._give_up(limit)
        except ServiceError as error:
            if not self._was_refused:
                self._cancel_soon()
            self._refuse(error)
        finally:
            self.feed.close()

    async def _begin(
        self, request: dict[str, Any], announced: Callable[[str], None], make: Make | None
    ) -> str:
        self.feed.add(Step("requested", f"Handing your request to {self.site}"))
        self._creating = asyncio.create_task(self._create(request))
        self._creating.add_done_callback(_retrieve)
        workload = await asyncio.shield(self._creating)
        announced(str(workload.get("address") or ""))
        if make is None:
            return await self._until_ready(workload)
        self.address = await self._make(workload, make)
        self.ready = True
        return self.address

    async def _make(self, workload: Workload, make: Make) -> str:
        """Have the pod made and follow it meanwhile; return the relay's address, or its own."""
        making = asyncio.ensure_future(make(workload))
        following = asyncio.ensure_future(self._until_ready(workload))
        both = (following, making) if workload.get("address") else (making, following)
        wanted, other = both
        try:
            while not wanted.done():
                going_on = [task for task in both if not task.done()]
                await asyncio.wait(going_on, return_when=asyncio.FIRST_COMPLETED)
                if other.done():
                    other.result()  # raises what kept the server from starting
            return wanted.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _follow(self) -> str:
        self.feed.add(Step("requested", "Finding your server again", "The hub was restarted."))
        return await self._until_ready(await self._ask(None))

    async def poll(self) -> int | None:
        """Return None while the server runs, or may run; its exit code when it has ended."""
        if not self.uid:
            return 0
        if self.ending:
            return _exit_code(self.ending)
        try:
            workload = (await self.service.live()).get(self.uid)
            if workload is None:
                workload = await self.service.workload(self.uid)
        except ServiceError as error:
            self.log.warning("Taking server %s as running: %s", self.uid, error)
            return None
        if workload is None:
            return self._not_known()
        if workload.get("state") in ENDED:
            self.ending = ending_of(workload, self.site, started=self.ready)
            return _exit_code(self.ending)
        self.address = str(workload.get("address") or self.address)
        return None

    async def stop(self) -> None:
        """Cancel the workload. Its end need not be confirmed yet: the hub service sees to it."""
        self._stopping = True
        if self._creating and not self._creating.done():
            # A request on its way can't be called back: cancelling before it arrives does nothing.
            await asyncio.wait([self._creating], timeout=CALL_S)
        uid = self.uid
        # What never reached its site ends without it; that nobody confirms it does not matter.
        limit = CANCEL_S if self._reached_site else UNSENT_CANCEL_S
        if uid and not await self._cancel(uid, limit):
            _keep(asyncio.create_task(self._cancel_until_done(uid)))

    def _not_known(self) -> int | None:
        """Say what it means that the hub service has no such workload."""
        if self._creating and not self._creating.done():
            return None
        self.ending = Ending("lost", "", self.site, time.time(), started=self.ready)
        return 1

    async def _create(self, request: dict[str, Any]) -> Workload:
        """Announce the workload, again and again while the hub service is away for a moment."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await self.service.create(request)
            except ServiceUnreachableError as error:
                if self._stopping or time.monotonic() > until:
                    raise
                self.feed.add(
                    Step("requested", "Waiting for the hub's Farlab service", error.message)
                )
            await asyncio.sleep(RETRY_S)

    async def _until_ready(self, workload: Workload) -> str:
        """Follow the workload's events until JupyterLab answers or can't any more."""
        seen = 0
        while True:
            self._show(workload, seen)
            seen = max(seen, newest(workload))
            state = workload.get("state")
            if state in ENDED:
                self.ending = ending_of(workload, self.site, started=False)
                self._raise_ending()
            if state == "ready":
                self.ready = True
                return self.address
            wait = LOG_POLL_S if state == "starting" else LONG_POLL_S
            workload = await self._ask(seen, wait)

    async def _ask(self, after: int | None, wait: float = 0) -> Workload:
        """Return the workload once it has news; wait for a hub service that is away."""
        while True:
            try:
                workload = await self.service.workload(self.uid, after=after, wait=wait)
            except ServiceUnreachableError as error:
                stage = self.feed.steps[-1].stage if self.feed.steps else "requested"
                self.feed.add(Step(stage, "Waiting for the hub's Farlab service", error.message))
                await asyncio.sleep(RETRY_S)
                continue
            if workload is None:
                raise ServiceError(404, "lost", "The hub's Farlab service lost this server.")
            self.address = str(workload.get("address") or self.address)
            return workload

    def _show(self, workload: Workload, seen: int) -> None:
        """Add what is new to the feed: events, or else a log that has grown."""
        news = steps(workload, seen, self.site)
        for step in news:
            self.feed.add(step)
        log = tail(str(workload.get("log_tail") or ""))
        if not news and self.feed.steps and log != self.feed.steps[-1].log_tail:
            last = self.feed.steps[-1]
            self.feed.add(Step(last.stage, last.text, last.detail, last.job_id, last.node, log))

    def _give_up(self, limit: float) -> NoReturn:
        last = self.feed.steps[-1]
        why = f"{limit / 60:.0f} minutes have passed. Last seen: {last.text}"
        message = f"{why}: {last.detail}" if last.detail else f"{why}."
        self.ending = Ending(
            "timeout", message, self.site, time.time(), last.log_tail, last.job_id, started=False
        )
        self._raise_ending()

    def _refuse(self, error: ServiceError) -> NoReturn:
        self.ending = Ending(
            error.code,
            error.message,
            self.site,
            time.time(),
            started=False,
            advice=error.fix,
        )
        self._raise_ending(error.status)

    def _raise_ending(self, status: int = 500) -> NoReturn:
        if self.ending is None:
            raise AssertionError
        raise SpawnRefused(
            self.ending.sentence,
            reason=self.ending.reason,
            html=failure_html(self.ending),
            status=status,
        )

    @property
    def _reached_site(self) -> bool:
        """Whether the site may have a job of it; after a restart that is not known."""
        steps = self.feed.steps
        return self.ready or not steps or any(step.stage != "requested" for step in steps)

    async def _cancel(self, uid: str, limit: float = CANCEL_S) -> bool:
        """Ask once for the workload's end; say whether the hub service has taken it in."""
        try:
            await self.service.cancel(uid, limit)
        except ServiceError as error:
            self.log.warning("Cannot cancel server %s yet: %s", uid, error)
            return False
        return True

    @property
    def _was_refused(self) -> bool:
        """Whether the hub service itself did not take the workload, so that there is none."""
        if not self._creating or not self._creating.done() or self._creating.cancelled():
            return False
        error = self._creating.exception()
        return error is not None and not isinstance(error, ServiceUnreachableError)

    def _cancel_soon(self) -> None:
        """Cancel a workload whose start has failed: JupyterHub stops only what it finds alive."""
        _keep(asyncio.create_task(self._cancel_until_done(self.uid)))

    async def _cancel_until_done(self, uid: str) -> None:
        """Go on asking: the user need not wait for a hub service that is away."""
        while True:
            if await self._cancel(uid):
                return
            await asyncio.sleep(RETRY_S * 5)


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    """Hold on to a background task: the event loop itself keeps only weak references."""
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _retrieve(task: asyncio.Task[Workload]) -> None:
    """Read a task's error: a start that was cancelled does not, and asyncio would complain."""
    if not task.cancelled():
        task.exception()


def _exit_code(ending: Ending) -> int:
    """Return what JupyterHub takes for an exit code."""
    return ending.exit_code if ending.exit_code is not None else 1
