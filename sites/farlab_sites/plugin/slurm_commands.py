"""Run Slurm's commands: as an account, within a time limit, counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from farlab_sites.plugin import accounts
from farlab_sites.plugin.accounts import Account, AccountError, CommandTimeout, Done
from farlab_sites.plugin.driver import BatchSystemDown
from farlab_sites.plugin.slurm_settings import SlurmSettings
from farlab_sites.plugin.slurm_words import is_down

AT_ONCE = 4  # commands that change something; the queue is asked by one at a time

NOTHING: Mapping[str, str] = MappingProxyType({})


class SlurmCommands:
    """Slurm's command line; every call ends within the time limit or says that Slurm is down."""

    def __init__(self, settings: SlurmSettings) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        """How often each command was run since the start."""
        self._changes = asyncio.Semaphore(AT_ONCE)
        self._down_since = 0.0
        # Times without a zone are what Slurm prints: ask for them in UTC.
        self._env = {"TZ": "UTC", "SLURM_TIME_FORMAT": "standard"}
        if settings.conf is not None:
            self._env["SLURM_CONF"] = str(settings.conf)

    async def query(
        self, *argv: str, account: Account | None = None, env: Mapping[str, str] = NOTHING
    ) -> str:
        """Run a command that only asks, and return its output; `env` is for it alone.

        Raises:
            BatchSystemDown: it failed or did not end in time.

        """
        try:
            done = await self._run(account, argv, env=env)
        except AccountError as error:
            raise BatchSystemDown(str(error)) from None
        if done.code:
            raise BatchSystemDown(self._said(argv[0], done.err))
        return done.out.decode(errors="replace")

    async def change(self, account: Account | None, *argv: str, stdin: str = "") -> Done:
        """Run a command that changes something; a few at once, and none while Slurm is down.

        Raises:
            BatchSystemDown: Slurm did not answer, or did not answer another call just now.
            AccountError: the plugin can't act as the account; nothing was changed.

        """
        asked = time.monotonic()
        async with self._changes:
            if self._down_since > asked:
                raise BatchSystemDown("Slurm does not answer; Farlab tries again")
            done = await self._run(account, argv, stdin)
        if done.code and is_down(done.err):
            self._down_since = time.monotonic()
            raise BatchSystemDown(self._said(argv[0], done.err))
        return done

    async def _run(
        self,
        account: Account | None,
        argv: Sequence[str],
        stdin: str = "",
        env: Mapping[str, str] = NOTHING,
    ) -> Done:
        program = str(self.settings.bin / argv[0])
        self.counts[argv[0]] += 1
        try:
            return await accounts.run(
                account,
                [program, *argv[1:]],
                stdin=stdin.encode(),
                env={**self._env, **env},
                limit=self.settings.time_limit,
            )
        except CommandTimeout as error:
            self._down_since = time.monotonic()
            raise BatchSystemDown(f"Slurm does not answer: {error}") from None

    def _said(self, program: str, words: str) -> str:
        lines = [line.strip() for line in words.splitlines() if line.strip()]
        return f"Slurm does not answer: {lines[-1] if lines else f'{program} failed'}"
