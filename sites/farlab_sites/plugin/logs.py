"""The output of containers: whole, a part of it, by time, or followed to its end.

A container writes straight into its file. Beside it the pod runner notes when the file grew, so
that lines have times (to half a second) although nothing stands between a job and its output.
"""

from __future__ import annotations

import asyncio
import bisect
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from farlab_sites.plugin import accounts
from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.pods import Pods
from farlab_sites.plugin.podspec import canonical_uid, label
from farlab_sites.plugin.store import Record

CHUNK = 1 << 18  # bytes that are read at once
TIMES_LIMIT = 1 << 24  # bytes: two notes a second for six days
FOLLOW = 0.5  # seconds between looks at a file that is followed
ZERO_YEAR = 1  # Go's zero time, which stands for "not given"


class Options(BaseModel):
    """`Opts` of /getLogs, as interLink's Go type has them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tail: int = Field(0, alias="Tail", ge=0)
    limit: int = Field(0, alias="Bytes", ge=0)
    timestamps: bool = Field(False, alias="Timestamps")
    follow: bool = Field(False, alias="Follow")
    previous: bool = Field(False, alias="Previous")
    since_seconds: int = Field(0, alias="SinceSeconds", ge=0)
    since_time: datetime | None = Field(None, alias="SinceTime")

    def since(self) -> float | None:
        """Return the moment (epoch seconds) from which output is wanted."""
        if self.since_seconds:
            return time.time() - self.since_seconds
        if self.since_time and self.since_time.year > ZERO_YEAR:
            moment = self.since_time
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return None


class LogRequest(BaseModel):
    """The body of /getLogs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    uid: Annotated[str, BeforeValidator(canonical_uid), Field(alias="PodUID")]
    container: str = Field(alias="ContainerName")
    options: Annotated[Options, BeforeValidator(lambda value: value or {})] = Field(
        Options.model_validate({}), alias="Opts"
    )


def parse_request(body: object) -> LogRequest:
    """Validate a request for a log.

    Raises:
        Refusal: 400, a field makes no sense, or two exclude each other.

    """
    try:
        request = LogRequest.model_validate(body)
        label(request.container)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise Refusal(400, f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:
        raise Refusal(400, f"ContainerName: {error}") from None
    options = request.options
    if options.tail and options.limit:
        raise Refusal(400, "Opts: ask for Tail (lines) or Bytes, not for both")
    if options.since_seconds and options.since_time and options.since_time.year > ZERO_YEAR:
        raise Refusal(400, "Opts: ask for SinceSeconds or SinceTime, not for both")
    return request


async def stream(pods: Pods, request: LogRequest) -> AsyncIterator[bytes]:
    """Check a request and return the output as it is wanted.

    Raises:
        Refusal: 404, no such pod; 400, no such container.

    """
    record = pods.record(request.uid)
    spec = record.pod["spec"]
    names = [c["name"] for c in (*spec["initContainers"], *spec["containers"])]
    if request.container not in names:
        raise Refusal(400, f"the pod has no container {request.container!r}: {', '.join(names)}")
    log = Log(pods, record, request.container, previous=request.options.previous)
    if request.options.previous and not await log.exists():
        raise Refusal(400, f"the container {request.container} was not started again")
    return _limited(log.read(request.options), request.options.limit)


async def _limited(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    left = limit
    async for chunk in chunks:
        yield chunk[:left] if limit else chunk
        left -= len(chunk)
        if limit and left <= 0:
            return


class Log:
    """One container's output."""

    def __init__(
        self, pods: Pods, record: Record, container: str, *, previous: bool = False
    ) -> None:
        self._pods = pods
        self._record = record
        self._folder = Path(record.folder)
        name = f"{container}.previous.log" if previous else f"{container}.log"
        self._path = self._folder / "logs" / name
        self._sizes: list[int] = []
        self._times: list[float] = []

    async def exists(self) -> bool:
        """Tell whether there is such an output."""
        return await self._part(self._path) is not None

    async def read(self, options: Options) -> AsyncIterator[bytes]:
        """Yield the output; with `follow` until the job has ended."""
        since = options.since()
        if since is not None or options.timestamps:
            await self._read_times()
        start = await self._line_at(self._start_at(since))
        if options.tail:
            start = max(start, await self._tail_start(options.tail))
        chunks = self._follow(start) if options.follow else self._chunks(start)
        if options.timestamps:
            chunks = self._stamped(chunks, start)
        silent = start == 0
        async for chunk in chunks:
            silent = False
            yield chunk
        if silent and since is None and await self._has_ended():
            # What the batch system itself wrote is all there is to say why.
            yield await self._part(self._folder / "job.log", tail=CHUNK) or b""

    async def _part(self, path: Path, *, tail: int = 0, start: int = 0) -> bytes | None:
        try:
            account = self._pods.account(self._record)
            return await accounts.read_file(account, path, tail=tail, start=start, most=CHUNK)
        except accounts.AccountError as error:
            raise Refusal(500, str(error)) from None

    async def _chunks(self, start: int) -> AsyncIterator[bytes]:
        while part := await self._part(self._path, start=start):
            start += len(part)
            yield part

    async def _follow(self, start: int) -> AsyncIterator[bytes]:
        while True:
            ended = await self._has_ended()  # asked first: what it wrote last is read after it
            async for part in self._chunks(start):
                start += len(part)
                yield part
            if ended:
                return
            await asyncio.sleep(FOLLOW)

    def _ended(self) -> bool:
        record = self._pods.find(self._record.uid)
        return record is None or record.answer is not None

    async def _has_ended(self) -> bool:
        if self._ended():
            return True
        # While the batch system is down the job goes on, as far as anybody knows.
        try:
            await self._pods.status([{"metadata": {"uid": self._record.uid}}])
        except Refusal:
            return False
        return self._ended()

    async def _tail_start(self, lines: int) -> int:
        """Return where the last `lines` lines begin."""
        size = await self._size()
        position, wanted = size, lines + 1  # the line break before the first of them
        while position > 0:
            start = max(0, position - CHUNK)
            part = (await self._part(self._path, start=start) or b"")[: position - start]
            if position == size and not part.endswith(b"\n"):
                wanted -= 1  # the last line is not complete
            breaks = part.count(b"\n")
            if breaks >= wanted:
                for _ in range(breaks - wanted):
                    part = part[part.index(b"\n") + 1 :]
                return position - len(part) + part.index(b"\n") + 1
            wanted -= breaks
            position = start
        return 0

    async def _size(self) -> int:
        account = self._pods.account(self._record)
        if account is None or os.geteuid() == 0:
            try:
                return (await asyncio.to_thread(self._path.lstat)).st_size
            except OSError:
                return 0
        done = await accounts.run(account, ["stat", "--format=%s", "--", str(self._path)])
        return int(done.out) if done.code == 0 else 0

    async def _read_times(self) -> None:
        text = b""
        path = self._path.with_suffix(".times")
        while len(text) < TIMES_LIMIT and (part := await self._part(path, start=len(text))):
            text += part
        for line in text.decode(errors="replace").splitlines():
            size, _, moment = line.partition(" ")
            try:
                pair = int(size), float(moment)
            except ValueError:  # the account can write anything here
                continue
            self._sizes.append(pair[0])
            self._times.append(pair[1])

    def _start_at(self, since: float | None) -> int:
        """Return the place of the first output at or after a moment."""
        if since is None:
            return 0
        index = bisect.bisect_left(self._times, since)
        return self._sizes[index - 1] if index and self._sizes else 0

    async def _line_at(self, position: int) -> int:
        """Return where the first whole line at or after a position begins."""
        if position == 0:
            return 0
        part = await self._part(self._path, start=position - 1) or b""
        return position + part.find(b"\n") if b"\n" in part else position

    def _time_of(self, position: int) -> str:
        """Return when the byte at this position was written."""
        index = bisect.bisect_right(self._sizes, position)
        moment = self._times[index] if index < len(self._times) else time.time()
        stamp = datetime.fromtimestamp(moment, UTC)
        return stamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    async def _stamped(self, chunks: AsyncIterator[bytes], start: int) -> AsyncIterator[bytes]:
        """Put its time before every line, as Kubernetes does."""
        rest, position = b"", start
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            stamped = []
            for line in lines:
                stamped.append(f"{self._time_of(position)} ".encode() + line + b"\n")
                position += len(line) + 1
            yield b"".join(stamped)
        if rest:
            yield f"{self._time_of(position)} ".encode() + rest
