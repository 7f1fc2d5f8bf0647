"""Live facts of the sites: asked of each plugin when someone looks, kept for a few seconds."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from farlab_sites.carriers import CarrierError

from .links import Links, SiteLink
from .models import now

log = logging.getLogger(__name__)

FRESH = 10.0  # seconds that an answer is used without asking again
PATIENCE = 1.5  # seconds that a reader waits for an answer, less than the form waits for us
STALE = 120.0  # seconds after which an old answer says nothing any more


@dataclass(frozen=True)
class Facts:
    """What a site last said about itself; `time` in seconds since the epoch."""

    answer: dict[str, Any]
    time: float

    @property
    def age(self) -> float:
        """Seconds since the site said it."""
        return max(0.0, now() - self.time)


class SiteFacts:
    """The facts of every site."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._facts: dict[str, Facts] = {}
        self._asked: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._troubles: dict[str, str] = {}

    async def look(self, name: str) -> Facts | None:
        """Return a site's facts, at most a few seconds old if it answers in time; else older."""
        link = self._links.by_name.get(name)
        if link is None:
            return None
        loop = asyncio.get_running_loop()
        if loop.time() - self._asked.get(name, -FRESH) >= FRESH and name not in self._asking:
            self._ask(name, link)
        if name in self._asking:
            # The question goes on for the next reader when this one has waited enough.
            await asyncio.wait([self._asking[name]], timeout=PATIENCE)
        found = self._facts.get(name)
        return found if found is not None and found.age < STALE else None

    def late(self, name: str) -> bool:
        """Say whether a site has not answered in time."""
        return name in self._asking

    def trouble(self, name: str) -> str:
        """Return what a site had instead of facts, when it was asked last; empty if none.

        In Kubernetes all pods can be seen while the site's node is away.
        """
        return self._troubles.get(name, "")

    async def close(self) -> None:
        """Stop asking."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask(self, name: str, link: SiteLink) -> None:
        task = asyncio.create_task(self._ping(name, link), name=f"facts of {name}")
        self._asking[name] = task
        task.add_done_callback(lambda _: self._asking.pop(name, None))

    async def _ping(self, name: str, link: SiteLink) -> None:
        try:
            answer = await link.carrier.ping()
        except CarrierError as error:
            link.failed(error)
            self._troubles[name] = str(error)
        except Exception:
            log.exception("asking %s for facts", name)
        else:
            link.answered()
            self._facts[name] = Facts(answer, now())
            self._troubles.pop(name, None)
        self._asked[name] = asyncio.get_running_loop().time()
