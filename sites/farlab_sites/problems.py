"""What is wrong with a file, in sentences: where, what, and the fix."""

from __future__ import annotations

import difflib
import re
import types
import typing
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from farlab_sites.yamlfile import Where

_MOST_SHOWN = 50


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file. `line` 0 means the file as a whole."""

    file: str
    line: int
    field: str
    message: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        field = f"{self.field}: " if self.field else ""
        return f"{place}: {field}{self.message}; {self.fix}"


class CatalogueError(Exception):
    """A file that can't be used. `problems` is everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        lines = [str(problem) for problem in problems[:_MOST_SHOWN]]
        if len(problems) > _MOST_SHOWN:
            lines.append(f"... and {len(problems) - _MOST_SHOWN} more problems")
        super().__init__("\n".join(lines))
        self.problems = problems


def field_name(where: Where) -> str:
    """Return the way to a value as text: sites[0].profiles[1].name."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{shorten(step)}" for step in where)
    return "".join(parts).removeprefix(".")


def shorten(text: str, limit: int = 60) -> str:
    """Return a text on one line, without control characters, and cut: for messages."""
    plain = "".join(char if char.isprintable() else "?" for char in text[: limit + 1])
    return plain if len(plain) <= limit else plain[:limit] + "..."


def did_you_mean(word: str, known: typing.Iterable[str]) -> str:
    """Return a fix for a misspelt word: the nearest known one, and all of them."""
    names = list(known)
    near = difflib.get_close_matches(shorten(word).lower(), names, n=1)
    listed = f"known: {', '.join(names)}"
    return f'did you mean "{near[0]}"? ({listed})' if near else listed


def where_of(error: ErrorDetails) -> Where:
    """Return the way to the value that an error of pydantic is about."""
    loc = error["loc"]
    if loc and loc[-1] == "[key]":  # of a mapping: pydantic names the key before it
        loc = loc[:-1]
    return (*loc, *error.get("ctx", {}).get("at", ()))


def words_of(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """Return what an error of pydantic means to the file's author, and the fix."""
    kind, ctx, loc = error["type"], error.get("ctx", {}), error["loc"]
    if kind == "farlab":
        return ctx["message"], ctx["fix"]
    if kind == "extra_forbidden":
        owner = _model_at(model, loc[:-1])
        return "is not a known key", did_you_mean(str(loc[-1]), owner.model_fields if owner else ())
    if kind == "missing":
        return "is missing", f'add "{loc[-1]}:"{_described(model, loc)}'
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", ctx["expected"])
        return f'"{_seen(error)}" is not known', did_you_mean(str(error["input"]), known)
    return _plain_words(error, model)


_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "path_type": "a path",
}
_GIVEN = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a mapping",
    type(None): "empty",
}
_LIMITS = {
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "string_too_long": "is longer than {max_length} characters",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def _plain_words(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """Return the words for a wrong type or a value out of bounds."""
    kind, given = error["type"], error["input"]
    if expected := _EXPECTED.get(kind):
        fix = _type_fix(expected, given, _described(model, error["loc"]))
        return f"must be {expected}, not {_GIVEN.get(type(given), 'this')}", fix
    message = _LIMITS.get(kind, error["msg"]).format(**error.get("ctx", {}))
    return message, "correct it" + _described(model, error["loc"])


def _type_fix(expected: str, given: object, described: str) -> str:
    if expected == "text" and isinstance(given, (bool, int, float)):
        return f'write it in quotes: "{str(given).lower()}"'
    if given is None:
        return f"give {expected}, or remove the key{described}"
    return f"give {expected}{described}"


def _seen(error: ErrorDetails) -> str:
    return shorten(str(error["input"]))


def _described(model: type[BaseModel], loc: Where) -> str:
    """Return the description of the field at the end of a path, in brackets; empty if unknown."""
    owner = _model_at(model, loc[:-1])
    field = owner.model_fields.get(str(loc[-1])) if owner and loc else None
    if not field or not field.description:
        return ""
    return f" ({field.description.replace('`', '').rstrip('.')})"


def _model_at(model: type[BaseModel], loc: Where) -> type[BaseModel] | None:
    """Return the model that a path leads to; None where it leads to no model."""
    found: Any = model
    for step in loc:
        if isinstance(step, int) or found is None:
            continue
        field = found.model_fields.get(step)
        found = _model_in(field.annotation) if field else None
    return found if isinstance(found, type) else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside an annotation such as `tuple[Site, ...] | None`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    models = (_model_in(part) for part in typing.get_args(annotation))
    return next((found for found in models if found), None)
