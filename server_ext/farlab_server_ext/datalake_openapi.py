"""The DataLake API's description for programs (OpenAPI 3.1), of its routes and of this table.

What a verb does is its handler's docstring; the table says which fields it takes. A test demands
that both name the same verbs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .datalake.registry import Lakes
from .datalake.tokens import FileTokens
from .datalake_handlers import STATUS, routes
from .rucio_handlers import rucio_routes
from .stac_handlers import stac_routes
from .transfer_handlers import transfer_routes
from .upload_handlers import upload_routes

PREFIX = "/farlab/datalake"
VERBS = ("get", "post", "put", "patch", "delete")
JSON = "application/json"


@dataclass(frozen=True)
class Fields:
    """What a verb takes: names with their JSON types; `!` after a name: it is needed."""

    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, str] = field(default_factory=dict)
    status: int = 200
    media: str = JSON


NONE = Fields(status=204)
PAGED = {"cursor": "string", "limit": "integer"}
SEARCHED = {"text": "string", "path": "string", "kind": "string", "metadata": "string"}
SEARCHED |= {"bbox": "string", "intersects": "string", "collections": "string", "time": "string"}
PATH = {"path!": "string"}
CHILDREN = {**PATH, "children!": "array"}
UPLOADED = {"lake!": "string", "source!": "string", "dataset": "string", "folder": "string"}
UPLOADED |= {"prefix": "string", "days": "integer", "metadata": "object", "link": "boolean"}
UPLOADED |= {"rse": "string"}
COPIED = {"source!": "string", "destination!": "string", "files!": "array", "title": "string"}
COPIED |= {"overwrite": "boolean", "renew": "boolean", "by_fts": "boolean"}
REGISTERED = {**PATH, "lake": "string", "scope": "string", "cursor": "string", "dry": "boolean"}
DESCRIBED = {**PATH, "bbox": "array", "start": "string", "end": "string", "collection": "string"}
DESCRIBED |= {"properties": "object", "to": "object"}
TYPED = {"username!": "string", "password!": "string", "account": "string"}
MADE = {**PATH, "kind!": "string", "metadata": "object", "days": "integer"}
RULED = {**PATH, "rse": "string", "days": "integer", "comment": "string"}
CONTENT = {**PATH, "offset": "integer", "length": "integer"}
CHANGED = {"path": "string", "changes": "object", "many": "object"}

TABLE: dict[str, dict[str, Fields]] = {
    "/lakes": {"get": Fields()},
    "/lakes/{lake}": {"get": Fields()},
    "/lakes/{lake}/identity": {"put": Fields(body=TYPED), "delete": NONE},
    "/lakes/{lake}/entries": {
        "get": Fields(query={"path": "string", **PAGED}),
        "post": Fields(body=MADE, status=201),
        "delete": Fields(query=PATH, status=204),
    },
    "/lakes/{lake}/search": {"get": Fields(query={**SEARCHED, **PAGED})},
    "/lakes/{lake}/details": {"get": Fields(query=PATH)},
    "/lakes/{lake}/preview": {"get": Fields(query=PATH)},
    "/lakes/{lake}/content": {"get": Fields(query=CONTENT, media="application/octet-stream")},
    "/lakes/{lake}/link": {"post": Fields(body={**PATH, "seconds": "integer"}, status=201)},
    "/lakes/{lake}/replicas": {"post": Fields(body={"paths!": "array"})},
    "/lakes/{lake}/shares": {"get": Fields(query=PATH)},
    "/lakes/{lake}/rules": {
        "get": Fields(query={"path": "string"}),
        "post": Fields(body=RULED, status=201),
    },
    "/lakes/{lake}/rules/{id}": {
        "get": Fields(),
        "patch": Fields(body={"days": "integer", "retry": "boolean"}),
        "delete": NONE,
    },
    "/lakes/{lake}/metadata": {"patch": Fields(body=CHANGED)},
    "/lakes/{lake}/lifetime": {"patch": Fields(body={**PATH, "days": "integer"})},
    "/lakes/{lake}/attachments": {
        "post": Fields(body=CHILDREN, status=201),
        "delete": Fields(body=CHILDREN, status=204),
    },
    "/lakes/{lake}/closed": {"post": Fields(body=PATH, status=201)},
    "/lakes/{lake}/where": {"get": Fields(query=PATH)},
    "/lakes/{lake}/register": {"post": Fields(body=REGISTERED, status=201)},
    "/lakes/{lake}/item": {"post": Fields(body=DESCRIBED, status=201)},
    "/lakes/{lake}/thumbnail": {"get": Fields(query=PATH, media="image/*")},
    "/uploads": {"get": Fields(), "post": Fields(body=UPLOADED, status=201)},
    "/uploads/{id}": {"post": Fields(), "delete": NONE},
    "/staged/{id}": {"delete": NONE},
    "/transfers": {"get": Fields(), "post": Fields(body=COPIED, status=201)},
    "/transfers/events": {"get": Fields(media="text/event-stream")},
    "/transfers/{id}": {
        "get": Fields(),
        "patch": Fields(body={"action!": "string"}, status=204),
        "delete": NONE,
    },
}


def handlers() -> dict[str, type[Any]]:
    """Return every handler of the API by its path, as this description writes it."""
    lakes, nothing = Lakes([], None, FileTokens(None)), None
    known: list[Any] = [*routes(lakes), *rucio_routes(lakes), *stac_routes(lakes)]
    known += upload_routes(lakes, nothing)  # type: ignore[arg-type]
    known += transfer_routes(lakes, nothing)  # type: ignore[arg-type]
    return {_path(pattern): handler for pattern, handler, _ in known}


def verbs(handler: type[Any]) -> list[str]:
    """Return the verbs that a handler answers."""
    return [verb for verb in VERBS if verb in vars(handler)]


def describe() -> dict[str, Any]:
    """Return the OpenAPI description."""
    known = handlers()
    paths = {
        path: {verb: _operation(path, verb, known[path], said) for verb, said in table.items()}
        for path, table in TABLE.items()
    }
    codes = {"type": "string", "enum": [*STATUS]}
    texts = {"message": {"type": "string"}, "fix": {"type": "string"}}
    error: dict[str, Any] = {"type": "object", "required": ["code", "message", "fix"]}
    error["properties"] = {"code": codes, **texts}
    about = "The lakes of a Jupyter server. Each error says what to do about it."
    header = {"type": "apiKey", "in": "header", "name": "Authorization"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Farlab DataLake", "version": "1.0", "description": about},
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {"Error": error},
            "securitySchemes": {"token": {**header, "description": "`token TOKEN`"}},
        },
    }


def _path(pattern: str) -> str:
    named = pattern.removeprefix(PREFIX).replace("([a-z0-9-]+)", "{lake}", 1)
    return re.sub(r"\([^)]*\)", "{id}", named)


def _operation(path: str, verb: str, handler: type[Any], said: Fields) -> dict[str, Any]:
    summary, _, details = " ".join((getattr(handler, verb).__doc__ or "").split()).partition(". ")
    words = re.sub(r"\W+", "_", path).strip("_")
    names = re.findall(r"\{(\w+)\}", path)
    found: dict[str, Any] = {
        "operationId": f"{verb}_{words}",
        "summary": summary.rstrip("."),
        "description": details,
        "parameters": [_parameter(name, "path", "string", needed=True) for name in names]
        + [
            _parameter(name.rstrip("!"), "query", kind, needed=name.endswith("!"))
            for name, kind in said.query.items()
        ],
        "responses": {
            str(said.status): _answer(said),
            "403": {"description": "The token is missing, or not this server's."},
            "default": {
                "description": "What could not be done, and why.",
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if said.body:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": _body(said.body)}}}
    return found


def _parameter(name: str, where: str, kind: str, *, needed: bool) -> dict[str, Any]:
    return {"name": name, "in": where, "required": needed, "schema": {"type": kind}}


def _body(fields: dict[str, str]) -> dict[str, Any]:
    properties = {
        name.rstrip("!"): {"type": kind if name.endswith("!") else [kind, "null"]}
        for name, kind in fields.items()
    }
    needed = [name.rstrip("!") for name in fields if name.endswith("!")]
    return {"type": "object", "required": needed, "properties": properties}


def _answer(said: Fields) -> dict[str, Any]:
    if said.status == 204:
        return {"description": "It is done."}
    schema = {} if said.media == JSON else {"type": "string"}
    return {"description": "The answer.", "content": {said.media: {"schema": schema}}}
