"""Where an upload's bytes land: what this site's folder and another site's door have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from .client import RucioClient
from .copying import Sums
from .did import Did

NAMES = 40
"""Names in one question for their paths: they are in the address."""


@dataclass(frozen=True)
class Source:
    """One file to upload."""

    path: Path
    did: Did
    size: int


class Target(NamedTuple):
    """Where a file's bytes belong: as its landing says it, and as Rucio does."""

    where: str
    pfn: str


Targets = Mapping[Did, Target]


@dataclass
class Brought:
    """What has arrived, and why the rest has not."""

    sums: dict[Did, Sums] = field(default_factory=dict)
    error: BaseException | None = None


class Landing(Protocol):
    """Brings files to one RSE, and takes them away again."""

    rse: str
    batch: int
    """Files that are registered in one call."""
    batch_size: int
    """Bytes after which a batch ends."""

    async def prepare(self) -> None:
        """Find out whether anything can be brought there; raise LakeError if not."""
        ...

    async def targets(self, dids: Sequence[Did]) -> dict[Did, Target]:
        """Return where the files' bytes belong."""
        ...

    async def bring(self, sources: Sequence[Source], targets: Targets) -> Brought:
        """Bring the files' bytes there, where what was brought earlier is kept."""
        ...

    async def place(self, target: Target, sums: Sums) -> None:
        """Give a file that was brought its final name; raise LakeError if another one has it."""
        ...

    async def take_back(self, targets: Sequence[Target]) -> None:
        """Remove placed files, which Rucio does not know."""
        ...

    async def discard(self, sources: Sequence[Source]) -> None:
        """Remove what was brought and is not registered."""
        ...


async def physical_names(
    client: RucioClient, rse: Mapping[str, Any], dids: Sequence[Did], start: str, scheme: str = ""
) -> AsyncGenerator[tuple[Did, str], None]:
    """Yield files' physical names: by the RSE's algorithm, or by their own names after `start`."""
    if not rse.get("deterministic"):
        for did in dids:
            yield did, f"{start}/{did.scope}/{did.name}" if start else ""
        return
    name = quote(str(rse.get("rse", "")), safe="")
    for first in range(0, len(dids), NAMES):
        some = dids[first : first + NAMES]
        query = [("lfn", str(did)) for did in some]
        query += [("scheme", scheme)] if scheme else []
        names = await client.get_with(f"/rses/{name}/lfns2pfns", query)
        for did in some:
            yield did, str(names.get(str(did), ""))
