"""What an upload is to do, and how far it has come, whatever kind of lake it goes to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from .lake import LakeError


@dataclass(frozen=True)
class Plan:
    """What to upload, and where to."""

    id: str
    source: str
    """A file or a folder of this machine."""
    dataset: str = ""
    """The DID of the dataset that gets the files, in a Rucio."""
    prefix: str = ""
    """What their names begin with; a folder's files keep their paths after it."""
    days: int | None = None
    """How long they are kept at the RSE; None: for good."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The dataset's, written at the end."""
    link: bool = False
    """Whether the RSE gets a second name of each file instead of a copy, where it can."""
    folder: str = ""
    """The folder that gets the files, in a lake without datasets; empty: its root."""
    rse: str = ""
    """The RSE that gets the files, in a Rucio; empty: the one of this machine."""


@dataclass
class Progress:
    """How far an upload has come."""

    files: int = 0
    size: int = 0
    files_done: int = 0
    size_done: int = 0


class Running(Protocol):
    """An upload as it runs."""

    progress: Progress

    async def run(self) -> None:
        """Upload all; raise LakeError with what can't be. It may be run again."""
        ...

    async def discard(self) -> None:
        """Remove what a cancelled upload has half done; what is complete stays."""
        ...


class Found(NamedTuple):
    """One file to upload, and what it is called: a folder's files keep their paths."""

    path: Path
    name: str


def files_of(plan: Plan) -> list[Found]:
    """Return the files of a plan, in order; raise LakeError if there are none."""
    root = Path(plan.source)
    if root.is_file():
        return [Found(root, plan.prefix + root.name)]
    if not root.is_dir():
        raise LakeError("not-found", f"There is no {root}.", "Choose a file or a folder.")
    found = [Found(path, plan.prefix + path.relative_to(root).as_posix()) for path in _files(root)]
    if not found:
        raise LakeError("wrong-input", f"{root} holds no files.", "Choose another folder.")
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield a folder's regular files, without following links to other folders."""
    for where, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(where, name) for name in sorted(names) if Path(where, name).is_file())
