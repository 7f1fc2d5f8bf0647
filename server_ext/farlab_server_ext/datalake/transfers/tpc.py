"""HTTP third-party copy: one door fetches a file from another place, and this process only listens.

The destination pulls (`COPY` with `Source`), or the source pushes where the destination can't. A
copy whose answer was cut is unknown: the destination is looked at until it tells what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ..lake import Lake, LakeError
from ..logins import Login
from ..storage.names import folder_of
from ..storage.webdav import WebdavLake
from .markers import Markers
from .model import File, FileState

SILENCE = 60.0  # seconds; doors give a sign of life every 5
SETTLED = 15.0  # seconds without growth: three signs of life
LINK_TIME = 24 * 3600  # seconds that a signed link to an object works
BEGUN = "begun"
"""The handle of a file whose copy was started: what lies at its destination is our own."""
AUTHORISATION = ("401", "403")

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file."""

    state: FileState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Size and checksum, each None where nobody tells."""

    size: int | None
    checksum: str | None

    def same_as(self, other: Facts) -> bool:
        """Say whether both can be of one file."""
        if self.size is None or self.size != other.size:
            return False
        return not self.differs_in_checksum(other)

    def differs_in_checksum(self, other: Facts) -> bool:
        """Say whether both have a checksum of one kind, with different digits."""
        mine, others = (self.checksum or "").split(":"), (other.checksum or "").split(":")
        return len(mine) == len(others) == 2 and mine[0] == others[0] and mine[1] != others[1]


class ThirdPartyCopy:
    """Copies files from one lake to a WebDAV door."""

    def __init__(self, source: Lake, destination: Lake, settled: float = SETTLED) -> None:
        if not isinstance(destination, WebdavLake):
            words = f"{destination.title} can't fetch files by itself."
            raise LakeError("unsupported", words, "Choose a WebDAV door as the destination.")
        self._source = source
        self._destination = destination
        self._settled = settled
        self._logins: tuple[Login, Login] = (Login(), Login())

    async def look(self, path: str) -> Facts:
        """Return what the source tells of a file."""
        if isinstance(self._source, WebdavLake):
            return Facts(*await self._source.size_and_digest(path))
        entry = (await self._source.details(path)).entry
        return Facts(entry.size, entry.checksum)

    async def run(self, file: File, *, overwrite: bool, progress: Progress) -> Outcome:
        """Copy a file, and return what has become of it; raise nothing but cancellation.

        `progress` is told 0 before the door is asked: from then on, what lies there is our own.
        """
        try:
            return await self._run(file, overwrite or file.handle == BEGUN, progress)
        except LakeError as error:
            state: FileState = "expired" if error.code == "expired" else "failed"
            return Outcome(state, f"{error.message} {error.fix}")

    async def discard(self, file: File) -> None:
        """Remove what a stopped copy has left, if it is not the whole file."""
        wanted = Facts(file.size, file.checksum)
        with suppress(LakeError):
            there = await self._there(file.destination)
            if there is not None and not there.same_as(wanted):
                await self._destination.discard(file.destination)

    async def _run(self, file: File, overwrite: bool, progress: Progress) -> Outcome:
        wanted = await self.look(file.source)
        if file.handle == BEGUN:
            there = await self._settle(file.destination, wanted)
        else:
            there = await self._there(file.destination)
        if there is not None:
            if there.same_as(wanted):
                return Outcome("done", "It was there already.")
            if not overwrite:
                words = f"{file.destination} is there already, and is another file."
                return Outcome("failed", f"{words} Start it with overwriting, or remove that.")
            # A door may hold it for a copy that nobody waits for, and XRootD may go on telling its
            # checksum. FTS removes it first, too.
            await self._destination.discard(file.destination)
        await self._destination.make_folders(folder_of(file.destination))
        progress(0)
        markers = await self._copy(file, overwrite, progress)
        return await self._judge(file, wanted, markers)

    async def _copy(self, file: File, overwrite: bool, progress: Progress) -> Markers:
        """Let the destination pull, or else the source push."""
        try:
            return await self._pull(file, overwrite, progress)
        except LakeError as error:
            able = error.code in ("unsupported", "wrong-input")
            if not able or not isinstance(self._source, WebdavLake):
                raise
            return await self._push(self._source, file, overwrite, progress)

    async def _pull(self, file: File, overwrite: bool, progress: Progress) -> Markers:
        url, login = await self._source_url(file.source)
        self._logins = login, await self._destination.endpoint.logins.login()
        headers = {"Source": url, **_headers(login, overwrite)}
        target = self._destination.url(file.destination)
        return await _listen(self._destination, target, headers, progress)

    async def _push(
        self, source: WebdavLake, file: File, overwrite: bool, progress: Progress
    ) -> Markers:
        login = await self._destination.endpoint.logins.login()
        self._logins = await source.endpoint.logins.login(), login
        destination = self._destination.url(file.destination)
        headers = {"Destination": destination, **_headers(login, overwrite)}
        return await _listen(source, source.url(file.source), headers, progress)

    async def _source_url(self, path: str) -> tuple[str, Login]:
        if isinstance(self._source, WebdavLake):
            return self._source.url(path), await self._source.endpoint.logins.login()
        return (await self._source.link(path, LINK_TIME)).url, Login()

    async def _judge(self, file: File, wanted: Facts, markers: Markers) -> Outcome:
        """Look at the destination, whatever the last line says: it may lie, or be missing."""
        if markers.verdict is None:
            there = await self._settle(file.destination, wanted)
        else:
            there = await self._there(file.destination)
        if there is not None and there.same_as(wanted) and markers.verdict is not False:
            return Outcome("done")
        if there is not None:
            with suppress(LakeError):  # the next start removes it
                await self._destination.discard(file.destination)
        if markers.verdict is None:
            words = markers.words or f"{self._destination.title} stopped without a last word."
            return Outcome("failed", f"{words} Try it again.")
        if markers.verdict:
            return Outcome("failed", "What has arrived is another file than the source's.")
        return self._failure(markers.words)

    def _failure(self, words: str) -> Outcome:
        ended = any(login.ended for login in self._logins)
        if ended and any(code in words for code in AUTHORISATION):
            return Outcome("expired", "Its token has ended. Start it again with a fresh one.")
        return Outcome("failed", f'The door says: "{words}"')

    async def _settle(self, path: str, wanted: Facts) -> Facts | None:
        """Return what is at a destination when it is complete, or grows no more."""
        there = await self._there(path)
        while there is not None and not there.same_as(wanted):
            await asyncio.sleep(self._settled)
            before, there = there, await self._there(path)
            if there is not None and there.size == before.size:
                break
        return there

    async def _there(self, path: str) -> Facts | None:
        try:
            return Facts(*await self._destination.size_and_digest(path))
        except LakeError as error:
            if error.code == "not-found":
                return None
            raise


def _headers(login: Login, overwrite: bool) -> dict[str, str]:
    """Return what both ways need; the other side's login goes through the door that is active."""
    headers = {"Overwrite": "T" if overwrite else "F", "Credential": "none"}
    if login.header:
        headers["TransferHeaderAuthorization"] = login.header
    return headers


async def _listen(
    door: WebdavLake, url: str, headers: dict[str, str], progress: Progress
) -> Markers:
    """Start a copy, and read what the door says until it ends or the connection is cut."""
    markers = Markers()
    try:
        async with door.endpoint.request("COPY", url, headers=headers, silence=SILENCE) as answer:
            if answer.status in (200, 204):
                markers.verdict = True  # a door that copies before it answers (dCache, StoRM)
            async for part in answer.content.iter_any():
                markers.feed(part)
                progress(markers.bytes_done)
            markers.end()
    except LakeError as error:
        if error.code != "unreachable":
            raise
        markers.words = error.message  # what has become of the copy is unknown
    return markers
