"""How a server ended, or why it never started: what the user reads about it afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .progress import tail
from .service import Workload

ENDED = frozenset({"finished", "failed", "cancelled"})

# Reasons of a workload's end in the words of a person, and what to do; the keys are the plugin's.
AGAIN = "Start it again, or choose another site."
WORDS: Mapping[str, tuple[str, str]] = {
    "Completed": ("It ended by itself.", "Start it again when you need it."),
    "OOMKilled": ("It ran out of memory.", "Choose a size with more memory."),
    "DeadlineExceeded": (
        "Its walltime was over.",
        "Start it again; choose a partition with a longer walltime if there is one.",
    ),
    "NodeFailure": ("The node it ran on failed.", AGAIN),
    "Preempted": ("A more urgent job took its place.", AGAIN),
    "Cancelled": ("The job was cancelled at the site.", AGAIN),
    "Rejected": ("The site refused the job.", "Change the choice and start again."),
    "Unreachable": ("The site could not be reached.", "Try again later, or choose another site."),
    "timeout": (
        "It did not start in time, and the job was cancelled.",
        "Try a smaller choice or another site.",
    ),
    "lost": ("The hub's Farlab service does not know this server any more.", AGAIN),
}


@dataclass(frozen=True)
class Ending:
    """The end of one server, as kept with JupyterHub's own state of it."""

    reason: str
    message: str
    site: str = ""  # the site's title
    when: float = 0.0  # seconds since the epoch
    log_tail: str = ""
    job_id: str = ""
    exit_code: int | None = None
    started: bool = True  # False: JupyterLab never answered
    advice: str = ""  # what to do, where whoever refused has said it

    @property
    def headline(self) -> str:
        """Return one line: what happened, where."""
        at = f" at {self.site}" if self.site else ""
        if not self.started:
            return f"Your server{at} did not start"
        return f"Your server{at} has ended"

    @property
    def expected(self) -> bool:
        """Whether it ended in a way that nobody need worry about."""
        return self.started and self.reason in ("Completed", "DeadlineExceeded")

    @property
    def when_text(self) -> str:
        """Return when, in UTC; the browser turns it into the reader's own time."""
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.when))

    @property
    def in_words(self) -> str:
        """Return why, in plain words; empty when the message has to do."""
        return WORDS.get(self.reason, ("", ""))[0]

    @property
    def fix(self) -> str:
        """Return what to do."""
        return self.advice or WORDS.get(self.reason, ("", AGAIN))[1]

    @property
    def sentence(self) -> str:
        """Return the whole story as one line of text."""
        parts = (f"{self.headline}.", self.in_words, self.message, self.fix)
        return " ".join(part for part in parts if part)

    def saved(self) -> dict[str, Any]:
        """Return it for the hub's database."""
        return asdict(self)

    @classmethod
    def restored(cls, state: object) -> Ending | None:
        """Return what `saved()` gave; None for anything else, such as another version's state."""
        known = {field.name for field in fields(cls)}
        if not isinstance(state, Mapping) or not state or set(state) - known:
            return None
        try:
            return cls(**state)
        except TypeError:
            return None


def ending_of(workload: Workload, site: str, *, started: bool) -> Ending:
    """Return how a workload ended, from what the hub service knows of it."""
    code = workload.get("exit_code")
    return Ending(
        reason=str(workload.get("reason") or ""),
        message=str(workload.get("message") or ""),
        site=site,
        when=float(workload.get("updated") or time.time()),
        log_tail=tail(str(workload.get("log_tail") or ""))[-4000:],
        job_id=str(workload.get("job_id") or ""),
        exit_code=code if isinstance(code, int) else None,
        started=started,
    )
