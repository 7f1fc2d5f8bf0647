"""What may be named as an image: a reference or a path, and an operator's own pattern for it."""

from __future__ import annotations

import re
from typing import Literal

Runtime = Literal["none", "apptainer", "podman"]

IMAGE_LENGTH = 256
"""The longest image that is accepted: also the bound on what a pattern has to match."""

_REFERENCE = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?/)?"  # registry
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"  # path
    r"(?::\w[\w.-]{0,127})?(?:@sha256:[a-f0-9]{64})?",  # tag, digest
    re.ASCII,
)
_PATH = re.compile(r"(?:/[A-Za-z0-9_.+@=-]+)+/?", re.ASCII)
_KINDS = {
    "none": (_PATH,),
    "apptainer": (_REFERENCE, _PATH),
    "podman": (_REFERENCE,),
}
_EXPECTED = {
    "none": "the absolute path of an environment at the site, such as /opt/conda/envs/lab",
    "apptainer": "a reference such as registry.example.org/lab:1.0, or the path of a .sif file",
    "podman": "a reference such as registry.example.org/lab:1.0",
}


def image_problem(image: str, runtime: Runtime) -> tuple[str, str] | None:
    """Return what is wrong with an image for a site's runtime and the fix; None: nothing.

    Whitespace, control and shell characters are refused whatever the runtime.
    """
    expected = f"give {_EXPECTED[runtime]}"
    if len(image) > IMAGE_LENGTH:
        return f"is longer than {IMAGE_LENGTH} characters", expected
    if not any(kind.fullmatch(image) for kind in _KINDS[runtime]) or ".." in image.split("/"):
        return f"is not an image for the runtime {runtime}", expected
    return None


_ESCAPES = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_INNERMOST = re.compile(r"\((?:\?:)?([^()]*)\)([*+]|\{[^}]*\})?")
_MOST_REPEATS, _MOST_OPTIONALS = 4, 8


def pattern_problem(pattern: str) -> str | None:
    """Return why a pattern must not be matched against what users type; None: it may.

    Python's matcher can take ages where one repeat is inside another, or alternatives are inside
    a repeat. Such patterns are refused, and so are many repeats in a row; the rest is fast
    enough on texts as short as images.
    """
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is not a regular expression: {error}"
    plain = _ESCAPES.sub("x", pattern)
    if re.search(r"\(\?(?!:)", plain):
        return "uses (?...), which is not needed here"
    while group := _INNERMOST.search(plain):
        body, repeat = group[1], group[2]
        if repeat and re.search(r"[*+?|{]", body):
            return "repeats a group that holds a repeat or alternatives: it could take for ever"
        inner = f"x{repeat}" if repeat else body
        plain = plain[: group.start()] + inner + plain[group.end() :]
    if len(re.findall(r"[*+]|\{\d*,\d*\}", plain)) > _MOST_REPEATS:
        return f"has more than {_MOST_REPEATS} repeats: it could take for ever"
    if plain.count("?") > _MOST_OPTIONALS:
        return f"has more than {_MOST_OPTIONALS} optional parts: it could take for ever"
    return None
