"""What a user reads about a workload: sentences from exit codes, logs and states."""

from __future__ import annotations

import re

from .models import Workload, clock

TAIL_LINES = 40
TAIL_CHARACTERS = 8000

EXIT_CODES = {
    77: "The hub refused the job's agent: its secret is wrong, or another agent came first.",
    126: "The image's command cannot be executed. Choose another image.",
    127: (
        "A command was not found: the image has no farlab-agent or no {program}. "
        "Choose another image, or install farlab[{extra}] in this one."
    ),
    134: "The {thing} aborted (SIGABRT).",
    137: "The {thing} was killed (SIGKILL): most often it used more memory than it asked for.",
    139: "The {thing} crashed (SIGSEGV).",
    143: "The {thing} was told to stop (SIGTERM).",
}

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


# What a kind of workload runs, and the part of farlab that an image needs for it.
_KINDS = {
    "server": ("server", "jupyterhub-singleuser", "lab"),
    "kernel": ("kernel", "python", "job"),
}


def exit_words(kind: str, code: int | None) -> str:
    """Say in words what an exit code of a kind of workload means."""
    if code is None:
        return "The job ended."
    thing, program, extra = _KINDS[kind]
    if code == 0:
        return f"The {thing} ended by itself."
    said = EXIT_CODES.get(code, f"The {{thing}} ended with exit code {code}.")
    return said.format(thing=thing, program=program, extra=extra)


def tail_of(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, without escape sequences and of a bounded length."""
    clean = _ESCAPES.sub("", text.replace("\r\n", "\n")).strip().splitlines()[-lines:]
    return "\n".join(line[:500] for line in clean)[-TAIL_CHARACTERS:]


def last_line(tail: str) -> str:
    """Return the last line of a log's tail."""
    return tail.rpartition("\n")[2].strip()


def lost_words(since: float) -> str:
    """Say that a workload's agent is gone for now."""
    return f"The connection to the node was lost at {clock(since)}; reconnecting"


def running_reason(workload: Workload, node: str, lost: str) -> str:
    """Say what a job that runs is doing; `lost` is the word about a lost connection, if any."""
    if lost:
        return lost
    if workload.state == "ready":
        return ""
    place = f" on {node}" if node else ""
    return f"The {workload.kind} is starting{place}" if workload.agent else f"The job runs{place}"
