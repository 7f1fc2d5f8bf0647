"""The HTTP API: handlers only translate, and errors become answers in one place."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import ValidationError
from tornado.web import HTTPError, RequestHandler

from .auth import Caller, may_act
from .errors import BadRequestError, HubServiceError, NotFoundError
from .models import WorkloadRequest
from .service import HubService

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_BYTES = 4 * 2**20  # of a request's body
LONGEST_POLL = 60.0  # seconds
UID = r"([0-9a-fA-F-]{36})"


class ApiHandler(RequestHandler):
    """What all handlers share: who calls, JSON both ways, errors, a caller who went away."""

    SUPPORTED_METHODS = ("GET", "POST", "DELETE")
    caller: Caller

    def initialize(self, service: HubService) -> None:
        """Take the service that does the work."""
        self.service = service
        self._work: asyncio.Task[Any] | None = None

    def set_default_headers(self) -> None:
        """Answer in JSON that nobody keeps."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    async def prepare(self) -> None:
        """Authenticate and authorise every verb of every handler, whatever it does."""
        authorization = self.request.headers.get("Authorization", "")
        self.caller = await self.service.gatekeeper.identify(authorization)
        may_act(self.caller)

    def check_xsrf_cookie(self) -> None:
        """Need none: only a token in a header counts, which a foreign page cannot send."""

    def on_connection_close(self) -> None:
        """Stop working for a caller who went away."""
        if self._work is not None:
            self._work.cancel()

    async def while_connected(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` does; it is cancelled when the caller goes away."""
        task = asyncio.create_task(work)
        self._work = task
        return await task

    def answer(self, content: Any, status: int = HTTPStatus.OK) -> None:
        """Send JSON."""
        self.set_status(status)
        self.finish(json.dumps(content))

    def number(self, name: str, default: float, most: float) -> float:
        """Return a number of the query string, from 0 to `most`."""
        text = self.get_query_argument(name, "")
        try:
            value = float(text or default)
        except ValueError:
            value = -1.0
        if not 0 <= value <= most:
            msg = f"{name} must be a number from 0 to {most:g}, not {text[:40]!r}"
            raise BadRequestError(msg)
        return value

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Turn every exception into {"code", "message", "fix"}."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, HubServiceError):
            self.set_status(error.status)
            body = {"code": error.code, "message": error.message, "fix": error.fix}
        elif isinstance(error, HTTPError):
            phrase = error.log_message or HTTPStatus(status_code).phrase
            code = HTTPStatus(status_code).phrase.lower().replace(" ", "-")
            body = {"code": code, "message": phrase, "fix": ""}
        else:
            fix = "Tell the hub's operator; the log of the Farlab service says more."
            body = {
                "code": "internal",
                "message": "Something broke in the hub service.",
                "fix": fix,
            }
        self.finish(json.dumps(body))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what is our fault with its traceback, and a refusal as one line."""
        if isinstance(value, HubServiceError):
            where = f"{self.request.method} {self.request.path}"
            log.warning("%s: %s %s", where, value.code, value.message)
        elif not isinstance(value, asyncio.CancelledError):
            super().log_exception(typ, value, tb)


class SitesHandler(ApiHandler):
    """GET /api/sites?user=NAME&group=G...: what a user may choose, and how it is there now."""

    async def get(self) -> None:
        """Answer [{name, title, kind, description, open, reason, account, facts, age_s}]."""
        user = self.get_query_argument("user", "")
        if not user:
            msg = "the query needs user=NAME"
            raise BadRequestError(msg)
        groups = self.get_query_arguments("group")
        self.answer(await self.while_connected(self.service.sites(user, groups)))


class WorkloadsHandler(ApiHandler):
    """All workloads: GET lists the live ones, POST announces one."""

    async def get(self) -> None:
        """Answer the live workloads, without their events."""
        if self.get_query_argument("state", "live") != "live":
            msg = "state must be live"
            raise BadRequestError(msg)
        live = await self.service.workloads.live()
        self.answer([workload.public() for workload in live])

    async def post(self) -> None:
        """Take a workload (`models.WorkloadRequest`); the same uid is the same workload."""
        request = _parse(self.request.body)
        may_act(self.caller, request.owner)
        # Not cancelled when the caller goes away: it would be half announced.
        workload = await self.service.workloads.announce(request)
        self.answer(workload.public(), HTTPStatus.CREATED)


class WorkloadHandler(ApiHandler):
    """One workload: GET reads it or waits for news, DELETE cancels it."""

    async def get(self, uid: str) -> None:
        """Answer the workload with its events after `after`, within `timeout` seconds."""
        after = int(self.number("after", 0, 2**31))
        timeout = self.number("timeout", 0, LONGEST_POLL)
        reading = self.service.workloads.read(uid.lower(), after=after, timeout=timeout)
        workload = await self.while_connected(reading)
        may_act(self.caller, workload.owner)
        self.answer(workload.public())

    async def delete(self, uid: str) -> None:
        """Cancel it: 200 when its job is gone, 202 when the site has still to confirm that."""
        known = await self.service.workloads.read(uid.lower())
        may_act(self.caller, known.owner)
        workload = await self.while_connected(self.service.workloads.cancel(uid.lower()))
        self.answer(workload.public(), HTTPStatus.OK if workload.cleaned else HTTPStatus.ACCEPTED)


class LogsHandler(ApiHandler):
    """GET /api/workloads/UID/logs?tail=N: what the job has written."""

    async def get(self, uid: str) -> None:
        """Answer {"uid", "log"}: the last `tail` lines of the main container."""
        known = await self.service.workloads.read(uid.lower())
        may_act(self.caller, known.owner)
        tail = int(self.number("tail", 100, 10_000))
        log_text = await self.while_connected(self.service.workloads.log(uid.lower(), tail))
        self.answer({"uid": known.uid, "log": log_text})


class UnknownHandler(ApiHandler):
    """Everything else: no such address, said after the token was checked."""

    async def get(self) -> None:
        """Say that there is nothing here."""
        msg = f"there is nothing at {self.request.path}"
        raise NotFoundError(msg)

    post = delete = get


def _parse(body: bytes) -> WorkloadRequest:
    if len(body) > MOST_BYTES:
        msg = f"the body holds {len(body)} bytes; at most {MOST_BYTES} are taken"
        raise BadRequestError(msg, code="too-large")
    try:
        return WorkloadRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "body"
        msg = f"{field}: {first['msg']}"
        raise BadRequestError(msg, f"Correct the field {field}.") from None


# One table: a test walks it and calls every verb of every handler without a token.
ROUTES: tuple[tuple[str, type[ApiHandler]], ...] = (
    (r"api/sites", SitesHandler),
    (r"api/workloads", WorkloadsHandler),
    (rf"api/workloads/{UID}", WorkloadHandler),
    (rf"api/workloads/{UID}/logs", LogsHandler),
    (r".*", UnknownHandler),
)


def routes(service: HubService, prefix: str) -> list[tuple[str, type[ApiHandler], dict[str, Any]]]:
    """Return the tornado rules of the API under a prefix such as /services/farlab/."""
    start = prefix.rstrip("/") + "/"
    return [(start + path, handler, {"service": service}) for path, handler in ROUTES]
