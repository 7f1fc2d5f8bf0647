"""Where this server runs, read from the environment that its job was started with.

The catalogue's site part of the pod sets `FARLAB_SITE*` and `FARLAB_PROFILE`, the spawner
`FARLAB_WORKLOAD`, and the plugin's pod runner `FARLAB_NODE`, `FARLAB_JOB_ID` and
`FARLAB_DEADLINE` on the node itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["cloud", "hpc", "htc", "quantum"]

LATEST_DEADLINE = 253_402_300_799
"""The last second of the year 9999 as epoch seconds: beyond it no browser shows a date."""


@dataclass(frozen=True)
class Place:
    """Where a server runs; None for each fact that the environment does not tell."""

    site: str | None
    site_title: str | None
    kind: Kind | None
    profile: str | None
    node: str | None
    job_id: str | None
    workload: str | None
    deadline: int | None
    """When the site ends the job, in epoch seconds."""


def read_place(environ: Mapping[str, str]) -> Place:
    """Read the place from an environment; a value that makes no sense counts as unknown."""
    return Place(
        site=_text(environ, "FARLAB_SITE"),
        site_title=_text(environ, "FARLAB_SITE_TITLE"),
        kind=_kind(environ),
        profile=_text(environ, "FARLAB_PROFILE"),
        node=_text(environ, "FARLAB_NODE"),
        job_id=_text(environ, "FARLAB_JOB_ID"),
        workload=_text(environ, "FARLAB_WORKLOAD"),
        deadline=_deadline(environ),
    )


def _text(environ: Mapping[str, str], name: str) -> str | None:
    """Return a variable's text without outer blanks; None when it is unset or blank."""
    return environ.get(name, "").strip() or None


def _kind(environ: Mapping[str, str]) -> Kind | None:
    """Return the site's kind, if it is one of the four."""
    text = _text(environ, "FARLAB_SITE_KIND")
    return next((kind for kind in get_args(Kind) if kind == text), None)


def _deadline(environ: Mapping[str, str]) -> int | None:
    """Return the deadline in epoch seconds, if it is a moment in time."""
    text = _text(environ, "FARLAB_DEADLINE") or ""
    # isdecimal() alone would let other scripts' digits through, and int() underscores.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LATEST_DEADLINE))):
        return None
    deadline = int(text)
    return deadline if 0 < deadline <= LATEST_DEADLINE else None
