"""The addresses of the API, and what is done at each; `ROUTES` is the one table of them."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from tornado.web import RequestHandler

from .auth import Action, may
from .errors import BadRequestError, NotFoundError
from .handlers import ApiHandler
from .identity_api import AliseKeyHandler, IdentityHandler, SiteIdentityHandler, TokenHandler
from .models import Workload
from .openapi import Route, describe
from .operations import (
    EVENTS,
    TEXT,
    Answer,
    EventsQuery,
    ListQuery,
    LogQuery,
    PollQuery,
    SitesQuery,
    operation,
)
from .requests import CreateRequest, KernelRequest
from .service import HubService
from .streaming import send_events, send_log
from .upgrade import accept_key, hand_over
from .usage_api import ROUTES as USAGE_ROUTES
from .views import EventView, LogView, OwnWorkloadView, SiteView, WorkloadView

EVERYONE = "*"


class SitesHandler(ApiHandler):
    """What can be chosen."""

    @operation(
        "The sites that a user may choose, and how they are now",
        Answer("The sites, in the catalogue's order.", list[SiteView]),
        query=SitesQuery,
    )
    async def get(self) -> None:
        """Name the user and its groups in the query only when acting for another."""
        query: SitesQuery = self.query
        user, groups = self.caller.name, [*self.caller.groups]
        if not (self.caller.is_user and query.user in (None, user)):
            if not query.user:
                msg = "a service has no sites of its own: the query needs user=NAME"
                raise BadRequestError(msg)
            may(self.caller, Action.READ, None)
            user, groups = query.user, query.group
        self.answer(await self.while_connected(self.service.sites(user, groups)))


class WorkloadsHandler(ApiHandler):
    """All workloads."""

    @operation(
        "The caller's workloads",
        Answer("The workloads, oldest first, without their events.", list[WorkloadView]),
        query=ListQuery,
    )
    async def get(self) -> None:
        """Ask for another owner's, or for everyone's, as an administrator."""
        query: ListQuery = self.query
        owner: str | None = query.owner or (self.caller.name if self.caller.is_user else EVERYONE)
        owner = None if owner == EVERYONE else owner
        may(self.caller, Action.READ, owner)
        found = await self.service.workloads.find(
            owner, ended=query.state == "all", newest=query.limit
        )
        self.answer([WorkloadView.model_validate(workload) for workload in found])

    @operation(
        "Start a workload",
        Answer("The workload; the same uid again is the same workload.", WorkloadView),
        status=HTTPStatus.CREATED,
        body=CreateRequest,
        refusals=(404, 409, 429, 502),
    )
    async def post(self) -> None:
        """Start a kernel, as a user; only the spawner announces servers, for any user."""
        request = self.read_body()
        # Neither is cancelled when the caller goes away: it would be half announced.
        if isinstance(request, KernelRequest):
            may(self.caller, Action.USE, self.caller.name)
            workload = await self.service.kernels.create(request, self.caller)
        else:
            may(self.caller, Action.ANNOUNCE, request.owner)
            workload = await self.service.workloads.announce(request.workload())
        self.answer(WorkloadView.model_validate(workload), HTTPStatus.CREATED)


class WorkloadHandler(ApiHandler):
    """One workload."""

    @operation(
        "A workload, or news of it",
        Answer(
            "The workload; with the key of a kernel for its owner.", OwnWorkloadView | WorkloadView
        ),
        query=PollQuery,
        refusals=(404,),
    )
    async def get(self, uid: str) -> None:
        """Wait up to `timeout` seconds until there is an event after number `after`."""
        query: PollQuery = self.query
        await self.workload(uid, Action.READ)
        reading = self.service.workloads.read(uid.lower(), after=query.after, timeout=query.timeout)
        self.answer(await self._shown(await self.while_connected(reading)))

    async def _shown(self, workload: Workload) -> WorkloadView:
        shown = WorkloadView.model_validate(workload)
        if not (self.caller.is_user and self.caller.name == workload.owner):
            return shown
        key = await self.service.workloads.key(workload.uid)
        return OwnWorkloadView(**shown.model_dump(), key=key) if key else shown

    @operation(
        "Cancel a workload",
        Answer("Its job is gone.", WorkloadView),
        more={202: Answer("The site has still to confirm it.", WorkloadView)},
        refusals=(404,),
    )
    async def delete(self, uid: str) -> None:
        """Answer when its job has ended, after half a minute at the latest."""
        await self.workload(uid, Action.CANCEL)
        workload = await self.while_connected(self.service.workloads.cancel(uid.lower()))
        status = HTTPStatus.OK if workload.cleaned else HTTPStatus.ACCEPTED
        self.answer(WorkloadView.model_validate(workload), status)


class EventsHandler(ApiHandler):
    """One workload's events, as they happen."""

    @operation(
        "Follow a workload's events",
        Answer(
            "Server-sent events until the workload has ended; each one's data is an "
            "event and its id the event's number.",
            EventView,
            EVENTS,
        ),
        more={204: Answer("It has ended, and there is nothing after that number.")},
        query=EventsQuery,
        refusals=(404,),
    )
    async def get(self, uid: str) -> None:
        """Go on after the header Last-Event-ID: a client that was cut off misses nothing."""
        query: EventsQuery = self.query
        known = await self.workload(uid, Action.READ)
        last = self.request.headers.get("Last-Event-ID", "")
        after = int(last) if last.isascii() and last.isdecimal() and len(last) < 10 else query.after
        if known.ended and after >= known.seq:
            self.set_status(HTTPStatus.NO_CONTENT)  # an EventSource then stops asking
            return
        await self.while_connected(send_events(self, self.service.workloads, known.uid, after))


class LogsHandler(ApiHandler):
    """What one workload's job has written."""

    @operation(
        "A workload's log",
        Answer("The last lines of its main container.", LogView),
        Answer("With `follow`: the lines as they come.", str, TEXT),
        query=LogQuery,
        refusals=(404, 502),
    )
    async def get(self, uid: str) -> None:
        """Go on, with `follow`, in plain text until the job has ended."""
        query: LogQuery = self.query
        known = await self.workload(uid, Action.READ)
        if query.follow:
            following = send_log(self, self.service.workloads, known.uid, query.tail)
            await self.while_connected(following)
            return
        reading = self.service.workloads.log(known.uid, query.tail)
        self.answer(LogView(uid=known.uid, log=await self.while_connected(reading)))


class PortHandler(ApiHandler):
    """A byte stream to one port of a workload."""

    @operation(
        "Connect to a port of a workload",
        Answer(
            "A WebSocket: binary frames carry the bytes both ways, the text frame `eof` "
            "says that no more follow in its direction."
        ),
        status=HTTPStatus.SWITCHING_PROTOCOLS,
        refusals=(404, 426, 502),
    )
    async def get(self, uid: str, port: str) -> None:
        """Let only the owner in. Code 1000 closes a whole stream; any other one cuts it."""
        known = await self.workload(uid, Action.USE)
        self.service.check_port(known, int(port))
        key = accept_key(self.request)
        end = await self.while_connected(self.service.connect(known, int(port)))
        await hand_over(self, key, end)


class UnknownHandler(ApiHandler):
    """Everything else: no such address, said after the token was checked."""

    async def get(self) -> None:
        """Say that there is nothing here."""
        msg = f"there is nothing at {self.request.path}"
        raise NotFoundError(msg)

    post = delete = get


class HomeHandler(RequestHandler):
    """The service's own address, which JupyterHub asks whether the service is up."""

    def initialize(self, service: HubService) -> None:
        """Need nothing of the service."""

    def get(self) -> None:
        """Say what is here; it tells nothing of anybody, so no token is asked for."""
        self.write({"service": "farlab", "api": f"{self.request.path.rstrip('/')}/api/"})


class DescriptionHandler(ApiHandler):
    """What this API is, for programs."""

    @operation("This description", Answer("OpenAPI 3.1.", dict[str, Any]))
    async def get(self) -> None:
        """Describe every address; docs/openapi.json is the same."""
        self.answer(describe(ROUTES))


# The one table: a test walks it and calls every verb of every address as everybody.
ROUTES: tuple[Route, ...] = (
    Route("sites", SitesHandler),
    Route("workloads", WorkloadsHandler),
    Route("workloads/{uid}", WorkloadHandler),
    Route("workloads/{uid}/events", EventsHandler),
    Route("workloads/{uid}/logs", LogsHandler),
    Route("workloads/{uid}/ports/{port}", PortHandler),
    Route("identity", IdentityHandler),
    Route("identity/{site}/check", SiteIdentityHandler),
    Route("identity/{site}/key", AliseKeyHandler),
    Route("token", TokenHandler),
    *USAGE_ROUTES,
    Route("openapi.json", DescriptionHandler),
)


def rules(
    service: HubService, prefix: str
) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Return the tornado rules of the API under a prefix such as /services/farlab/."""
    start = re.escape(prefix.rstrip("/"))
    known: list[tuple[str, type[RequestHandler]]] = [(f"{start}/", HomeHandler)]
    known += [(f"{start}/api/{route.pattern}", route.handler) for route in ROUTES]
    known.append((rf"{start}/.*", UnknownHandler))
    return [(pattern, handler, {"service": service}) for pattern, handler in known]
