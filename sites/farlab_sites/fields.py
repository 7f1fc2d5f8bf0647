"""The kinds of value in a catalogue: each one's check, its words when wrong, its JSON Schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)

from farlab_sites.units import (
    WALLTIME_MAX,
    format_memory,
    format_walltime,
    parse_memory,
    parse_walltime,
    wrong,
)


def _printable(text: str) -> str:
    """Refuse control characters: titles go into a form, annotations and environment variables."""
    if not text.isprintable():
        raise wrong("holds a line break or a control character", "write it on one line")
    return text


_LABEL = r"[a-z0-9](-?[a-z0-9])*"
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_ACCOUNT = r"[a-z_][a-z0-9_.-]*"
_NODE = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"


def _shape(pattern: str, length: int) -> WithJsonSchema:
    """Return what the JSON Schema says of a text with a pattern."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "maxLength": length})


def _pattern(pattern: str, fix: str) -> AfterValidator:
    """Return a validator for a text that must match a pattern as a whole."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise wrong("has characters that are not allowed, or is empty", fix)
        return text

    return AfterValidator(check)


def _schemed(schemes: tuple[str, ...], example: str) -> AfterValidator:
    """Return a validator for a URL: its scheme is one of these, and it holds no secret."""
    fix = f'write it as "{example}"'

    def check(url: str) -> str:
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - reading it checks it
        except ValueError as error:
            raise wrong(f"is not a URL: {error}", fix) from None
        where = parts.path if parts.scheme == "unix" else parts.hostname
        if parts.scheme not in schemes or not where or re.search(r"[^!-~]", url):
            raise wrong("is not a URL of the kind " + " or ".join(schemes), fix)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise wrong("holds a user, a query or a fragment", f"{fix}; secrets go into files")
        return url

    return AfterValidator(check)


def _beside_catalogue(value: object, info: ValidationInfo) -> object:
    """Return a path made absolute: one that is relative starts at the catalogue's folder."""
    folder = (info.context or {}).get("folder", Path())
    return folder / value if isinstance(value, str) and value else value


Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_printable),
]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(_printable)
]
Label = Annotated[
    str,
    Field(max_length=40),
    _pattern(
        _LABEL, "use lower-case letters, digits and single hyphens between them, such as vega-gpu"
    ),
    _shape(_LABEL, 40),
]
Word = Annotated[
    str,
    Field(max_length=64),
    _pattern(_WORD, "use letters, digits, and _ . - inside"),
    _shape(_WORD, 64),
]
Account = Annotated[
    str,
    Field(max_length=32),
    _pattern(
        f"(?!root$){_ACCOUNT}",
        "give the local account's name as `id -un` prints it there; root is not allowed",
    ),
    _shape(_ACCOUNT, 32),
]
Node = Annotated[
    str,
    Field(max_length=253),
    _pattern(_NODE, "give the name as `kubectl get nodes` does"),
    _shape(_NODE, 253),
]
Group = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_printable)]
FilePath = Annotated[Path, BeforeValidator(_beside_catalogue, json_schema_input_type=str)]
Memory = Annotated[
    int,
    BeforeValidator(parse_memory),
    PlainSerializer(format_memory),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?([kMGTP]|[KMGTP]i)?$"}),
]
Walltime = Annotated[
    int,
    BeforeValidator(parse_walltime),
    PlainSerializer(format_walltime),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^(\d+|(\d+-)?\d+:[0-5]\d:[0-5]\d)$"},
                {"type": "integer", "minimum": 1, "maximum": WALLTIME_MAX // 60},
            ]
        }
    ),
]
Count = Annotated[int, Field(strict=True, ge=0, le=10_000)]
ImageName = Annotated[str, Field(min_length=1)]
PluginUrl = Annotated[str, _schemed(("http", "https", "unix"), "http://127.0.0.1:4000")]
RelayUrl = Annotated[str, _schemed(("ws", "wss"), "ws://edge.site.example:4001")]
LakeUrl = Annotated[str, _schemed(("https", "http"), "https://rucio.example.org")]
HomePath = Annotated[
    str,
    StringConstraints(max_length=1024),
    _pattern(r"(~/|/)[^\0-\x1f\x7f]*", "write the whole path, from / or ~/ on"),
    _shape("(~/|/).*", 1024),
]
AbsolutePath = Annotated[
    str,
    StringConstraints(max_length=1024),
    _pattern(r"/[^\0-\x1f\x7f]*", "write the whole path, from / on"),
    _shape("/.*", 1024),
]
