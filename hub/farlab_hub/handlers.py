"""What all handlers of the HTTP API share: they only translate, and errors become answers here."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, TypeVar, get_origin

from pydantic import TypeAdapter, ValidationError
from tornado.web import HTTPError, RequestHandler

from .auth import Action, Caller, may, may_enter
from .errors import BadRequestError, HubServiceError
from .models import Workload
from .operations import Operation, Query
from .requests import KINDS
from .service import HubService

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_BYTES = 4 * 2**20  # of a request's body
# What clients are told in the course of things, such as that a workload has ended or is not ready.
_ORDINARY = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE)
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


class ApiHandler(RequestHandler):
    """What all handlers share: who calls, JSON both ways, errors, a caller who went away."""

    SUPPORTED_METHODS = ("GET", "POST", "DELETE")
    enough: frozenset[str] = frozenset()
    """Scopes that open this address alone."""
    caller: Caller
    query: Any  # what the operation says, validated

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
        may_enter(self.caller, self.enough)
        said = self.operation(self.request.method or "")
        if said is not None:
            self.query = _read_query(said.query, self.request.query_arguments)

    @classmethod
    def operation(cls, verb: str) -> Operation | None:
        """Return what a verb does here; None when it does nothing."""
        return getattr(getattr(cls, verb.lower(), None), "operation", None)

    @classmethod
    def operations(cls) -> dict[str, Operation]:
        """Return the verbs that do something here."""
        said = {verb: cls.operation(verb) for verb in cls.SUPPORTED_METHODS}
        return {verb: operation for verb, operation in said.items() if operation is not None}

    def read_body(self) -> Any:
        """Return the body as the operation says; `BadRequestError` when it is not like that."""
        body, said = self.request.body, self.operation(self.request.method or "")
        if len(body) > MOST_BYTES:
            msg = f"the body holds {len(body)} bytes; at most {MOST_BYTES} are taken"
            raise BadRequestError(msg, code="too-large")
        try:
            return ((said and said.body) or _ANYTHING).validate_json(body)
        except ValidationError as error:
            raise _refusal(error, "body") from None

    async def workload(self, uid: str, action: Action) -> Workload:
        """Return a workload if the caller may do this with it."""
        known = await self.service.workloads.read(uid.lower())
        may(self.caller, action, known.owner)
        return known

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
        self.finish(_ANYTHING.dump_json(content))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error; an answer that has begun is cut off, so that it is not whole."""
        if not self._headers_written:
            super().send_error(status_code, **kwargs)
            return
        connection: Any = self.request.connection
        connection.close()

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
            if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                self.set_header("Allow", ", ".join(self.operations()))
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
            level = logging.INFO if value.status in _ORDINARY else logging.WARNING
            log.log(level, "%s: %s %s", where, value.code, value.message)
        elif not isinstance(value, asyncio.CancelledError):
            super().log_exception(typ, value, tb)


def _read_query(shape: type[Query], arguments: dict[str, list[bytes]]) -> Query:
    """Return the query string as its shape says; of a field that is given twice, the last."""
    fields = {}
    for name, values in arguments.items():
        known = shape.model_fields.get(name)
        if known is not None:
            texts = [value.decode(errors="replace") for value in values]
            fields[name] = texts if get_origin(known.annotation) is list else texts[-1]
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error, "query") from None


def _refusal(error: ValidationError, what: str) -> BadRequestError:
    first = error.errors(include_url=False, include_input=False)[0]
    context = first.get("ctx") or {}
    where = [*first["loc"], *str(context.get("discriminator", "")).strip("'").split()]
    # Where a body may be of several kinds, pydantic names the kind first.
    where = where[1:] if where[0:1] and where[0] in KINDS else where
    field = ".".join(map(str, where)) or what
    said = str(context.get("message") or first["msg"]).removeprefix("Value error, ")
    fix = str(context.get("fix") or f"Correct the field {field}.")
    return BadRequestError(f"{field}: {said}", fix)
