"""The API's description for programs (OpenAPI 3.1), made of the table of routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter

from .handlers import ApiHandler
from .operations import EVENTS, JSON, Answer, Operation, Query
from .views import ErrorView

VERSION = "1.0"
REF = "#/components/schemas/{model}"

# Refusals that every operation may answer with.
_COMMON = (400, 401, 403, 503)

_PARTS = {
    "uid": (r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "string", "A workload's uid."),
    "site": (r"[a-z0-9-]{1,40}", "string", "A site's name in the catalogue."),
    "port": (r"[1-9][0-9]{0,4}", "integer", "A port of the workload; a kernel's is 9000."),
}


@dataclass(frozen=True)
class Route:
    """An address below .../api/ and what answers there."""

    path: str
    handler: type[ApiHandler]

    @property
    def pattern(self) -> str:
        """The path as a regular expression."""
        plain = self.path.replace(".", r"\.")
        return re.sub(r"\{(\w+)\}", lambda part: f"({_PARTS[part[1]][0]})", plain)

    @property
    def parts(self) -> list[str]:
        """The names of its variable parts."""
        return re.findall(r"\{(\w+)\}", self.path)


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the OpenAPI description of these routes."""
    schemas = _Schemas()
    paths = {
        f"/{route.path}": {
            verb.lower(): _operation(route, verb, said, schemas)
            for verb, said in route.handler.operations().items()
        }
        for route in routes
    }
    about = "Kernels and other workloads at sites. Each error says what to do about it."
    return {
        "openapi": "3.1.0",
        "info": {"title": "Farlab workloads", "version": VERSION, "description": about},
        "servers": [{"url": "/services/farlab/api"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.found,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """The JSON Schemas of all models that were asked for, by name."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def of(self, shape: Any, mode: Any = "serialization") -> dict[str, Any]:
        """Return a reference to what a shape is in JSON."""
        adapter = shape if isinstance(shape, TypeAdapter) else TypeAdapter(shape)
        schema = adapter.json_schema(mode=mode, ref_template=REF)
        self.found |= schema.pop("$defs", {})
        name = str(schema.get("title"))
        if schema.get("type") != "object" or not isinstance(shape, type):
            return schema
        self.found[name] = schema
        return {"$ref": REF.format(model=name)}


def _operation(route: Route, verb: str, said: Operation, schemas: _Schemas) -> dict[str, Any]:
    refusals = sorted({*_COMMON, *said.refusals})
    words = re.sub(r"\W+", " ", re.sub(r"\{\w+\}", "", route.path)).split()
    found: dict[str, Any] = {
        "operationId": "_".join([verb.lower(), *words, *(["one"] if route.parts else [])]),
        "summary": said.summary,
        "description": said.details,
        "parameters": [*map(_part, route.parts), *_fields(said.query)],
        "responses": {
            **{
                str(int(status)): _answers(answers, schemas)
                for status, answers in said.answers.items()
            },
            **{str(status): _error(status, schemas) for status in refusals},
        },
    }
    if said.body is not None:
        content = {JSON: {"schema": schemas.of(said.body, "validation")}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _part(name: str) -> dict[str, Any]:
    _, kind, words = _PARTS[name]
    schema: dict[str, Any] = {"type": kind}
    schema |= {"format": "uuid"} if kind == "string" else {"minimum": 1, "maximum": 65535}
    return {"name": name, "in": "path", "required": True, "description": words, "schema": schema}


def _fields(query: type[Query]) -> list[dict[str, Any]]:
    """Return a query's fields as parameters; what is absent has its default."""
    fields, described = [], query.model_json_schema()
    for name, schema in described.get("properties", {}).items():
        words = schema.pop("description", "")
        plain = schema.pop("anyOf", [{}])[0] | schema
        if plain.get("default", "") is None:
            del plain["default"]
        field = {"name": name, "in": "query", "description": words, "schema": plain}
        needed = name in described.get("required", ())
        fields.append(field | ({"required": True} if needed else {}))
    return fields


def _answers(answers: Iterable[Answer], schemas: _Schemas) -> dict[str, Any]:
    listed = list(answers)
    found: dict[str, Any] = {"description": " ".join(answer.words for answer in listed)}
    content = {
        answer.media: {"schema": _media(answer, schemas)}
        for answer in listed
        if answer.shape is not None
    }
    return found | ({"content": content} if content else {})


def _media(answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    """Return the schema of an answer's body, or of each event of a stream of them."""
    shape = schemas.of(answer.shape)
    if answer.media != EVENTS:
        return shape
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": shape}
    fields = {"id": {"type": "string"}, "data": data}
    return {"type": "object", "required": ["id", "data"], "properties": fields}


def _error(status: int, schemas: _Schemas) -> dict[str, Any]:
    content = {JSON: {"schema": schemas.of(ErrorView)}}
    return {"description": HTTPStatus(status).phrase + ".", "content": content}
