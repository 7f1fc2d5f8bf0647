"""A folder as APEL's SSM reads it: python-dirq's simple queue.

A message is a file with a name of 14 hexadecimal digits (seconds, microseconds, one at random) in
a folder with a name of 8 (seconds, once a minute). It is written beside them first, in a folder
that readers of queues pass over, then noted, then moved: nobody sees half a message, and a noted
message that is no longer there was delivered, whatever killed the publisher. So none goes twice.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .state import State, Waiting
from .way import DeliveryError

STAGE = ".farlab-staged"
_GRANULARITY = 60  # seconds of each folder


class Queue:
    """The way to a folder."""

    at_once = 32  # messages that share the waits for the disk

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stage = folder / STAGE

    def stage(self, texts: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Write messages beside the queue, and choose their places there."""
        with self._telling():
            self._stage.mkdir(parents=True, exist_ok=True)
            for message, text in texts.items():
                (self._stage / message).write_text(text, encoding="ascii")
            # After all are written: a disk takes them together.
            for message in texts:
                _sync(self._stage / message)
            return dict(zip(texts, (("", place) for place in self._new_places()), strict=False))

    def deliver(self, state: State, messages: Sequence[Waiting]) -> None:
        """Move messages into the queue, each once; raise DeliveryError."""
        with self._telling():
            for message in messages:
                self._move(message.id, message.place)
        state.sent(message.id for message in messages)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            msg = f"{self._folder} can't be written: {error.strerror}; check its disk and its owner"
            raise DeliveryError(msg) from error

    def tidy(self, waiting: Iterable[str]) -> None:
        """Remove what was written for messages that were never noted as being here."""
        known = set(waiting)
        if self._stage.is_dir():
            for path in self._stage.iterdir():
                if path.name not in known:
                    path.unlink(missing_ok=True)

    def _new_places(self) -> Iterator[str]:
        given = set()
        while True:
            now = time.time_ns() // 1000
            seconds, micros = divmod(now, 1_000_000)
            name = f"{seconds:08x}{micros:05x}{secrets.randbelow(16):x}"
            place = f"{seconds - seconds % _GRANULARITY:08x}/{name}"
            if place not in given and not (self._folder / place).exists():
                given.add(place)
                yield place

    def _move(self, name: str, place: str) -> None:
        staged, there = self._stage / name, self._folder / place
        if not staged.exists():
            return  # it was moved, and may have been fetched, before a publisher was killed
        while True:
            there.parent.mkdir(exist_ok=True)
            try:
                staged.rename(there)
            except FileNotFoundError:
                continue  # a reader has removed the empty folder
            return


def _sync(path: Path) -> None:
    """Wait until the disk has a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
