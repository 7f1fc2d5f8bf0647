"""Tab completion of `%offload` and `%%offload`: sites, profiles, names, options.

What the service said is remembered for a while, and asked for again behind the scenes: no key press
waits for a slow service longer than a moment.
"""

from __future__ import annotations

import concurrent.futures
import shlex
import time
from collections.abc import Callable
from typing import Any

from farlab_kernels.loops import shared_loop
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import ServiceError

ACTIONS = ("attach", "logs", "sites", "status", "stop", "use")
_OPTIONS = (
    "--data", "--detach", "--get", "--gpus", "--image", "--name", "--partition", "--profile",
    "--put", "--size", "--walltime", "--workers", "-i", "-o",
)  # fmt: skip
_PATIENCE = 1.5  # seconds
_FRESH = 30.0  # seconds


class Known:
    """What `fetch` returned last."""

    def __init__(self, fetch: Callable[[Client], Any]) -> None:
        self._fetch = fetch
        self._value: Any = []
        self._at = float("-inf")
        self._asking: concurrent.futures.Future[Any] | None = None

    def get(self) -> Any:
        """Return it, fetched anew if it is old and that takes but a moment."""
        if time.monotonic() - self._at > _FRESH:
            if self._asking is None:
                self._asking = shared_loop().start(self._ask())
            concurrent.futures.wait([self._asking], timeout=_PATIENCE)
            if self._asking.done():
                self._asking = None
        return self._value

    async def _ask(self) -> None:
        try:
            async with Client() as client:
                self._value = await self._fetch(client)
            self._at = time.monotonic()
        except ServiceError:
            self._value = []


class Completer:
    """Completes a line that begins with one of the magics."""

    def __init__(self) -> None:
        self._sites = Known(lambda client: client.sites())
        self._workloads = Known(lambda client: client.list())

    def __call__(self, _: Any, event: Any) -> list[str]:
        """Return what may stand at the cursor; IPython calls it."""
        return self.complete(event.line[: len(event.text_until_cursor)], event.symbol)

    def complete(self, line: str, symbol: str) -> list[str]:
        """Return what may stand in place of `symbol`, the last word of `line`."""
        words = _words(line)
        before = words[:-1] if symbol and words else words
        return [word for word in self._candidates(before) if word.startswith(symbol)]

    def _candidates(self, words: list[str]) -> list[str]:
        if not words or not words[0].lstrip("%"):
            return []
        last, cell = words[-1], words[0].startswith("%%")
        if last in ("-p", "--profile", "--size", "--partition", "--image"):
            return self._choices(last.lstrip("-"), words)
        if last in ("-n", "--name", "attach", "logs", "stop"):
            return sorted(workload.name for workload in self._workloads.get() if workload.name)
        if len(words) == 1:
            return self._names() + list(_OPTIONS) if cell else list(ACTIONS)
        if words[-1] == "use":
            return self._names()
        return list(_OPTIONS)

    def _names(self) -> list[str]:
        return sorted(
            str(site["name"])
            for site in self._sites.get()
            if site.get("open", True) and site.get("kernels", True)
        )

    def _choices(self, what: str, words: list[str]) -> list[str]:
        """Return the names of profiles, or of a profile's sizes, partitions or images."""
        sites = self._sites.get()
        named = [site for site in sites if site["name"] in words] or sites
        profiles = [profile for site in named for profile in site.get("profiles") or ()]
        if what in ("p", "profile"):
            return sorted({str(profile["name"]) for profile in profiles})
        asked = [profile for profile in profiles if profile["name"] in words] or profiles
        found = {str(one.get("key") or one.get("title"))
                 for profile in asked for one in profile.get(f"{what}s") or ()}  # fmt: skip
        return sorted(shlex.quote(name) for name in found)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # an open quote
        return line.split()


def register(ipython: Any) -> None:
    """Let IPython ask here."""
    completer = Completer()
    for magic in ("%offload", "%%offload"):
        ipython.set_hook("complete_command", completer, str_key=magic)
