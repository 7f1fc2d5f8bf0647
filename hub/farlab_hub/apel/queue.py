"""A folder as APEL's SSM reads it: python-dirq's simple queue.

A message is a file with a name of 14 hexadecimal digits (seconds, microseconds, one at random) in
a folder with a name of 8 (seconds, once a minute). It is written beside them first, in a folder
that readers of queues pass over, and then moved: nobody sees half a message, and a message that is
no longer there was delivered, whatever killed the publisher in between. So nothing goes twice.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from .state import State, Waiting
from .way import DeliveryError

STAGE = ".farlab-staged"
_GRANULARITY = 60  # seconds of each folder


class Queue:
    """The way to a folder."""

    at_once = 16  # messages that share the waits for the disk

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stage = folder / STAGE

    def deliver(self, state: State, messages: Sequence[Waiting]) -> None:
        """Put messages into the queue, each once; raise DeliveryError."""
        try:
            self._stage.mkdir(parents=True, exist_ok=True)
            fresh = [message for message in messages if not message.staged]
            for message in fresh:
                self._write(message)
            places = {message.id: message.staged or self._new_place() for message in messages}
            state.staged((message.id, places[message.id]) for message in fresh)
            for message in messages:
                self._move(message.id, places[message.id])
        except OSError as error:
            msg = f"{self._folder} can't be written: {error.strerror}; check its disk and its owner"
            raise DeliveryError(msg) from error
        state.sent(places)

    def tidy(self, waiting: Iterable[str]) -> None:
        """Remove what was written for messages that were never noted as being here."""
        known = set(waiting)
        if self._stage.is_dir():
            for path in self._stage.iterdir():
                if path.name not in known:
                    path.unlink(missing_ok=True)

    def _write(self, message: Waiting) -> None:
        with (self._stage / message.id).open("w", encoding="ascii") as file:
            file.write(message.text)
            file.flush()
            os.fsync(file.fileno())

    def _new_place(self) -> str:
        while True:
            now = time.time_ns() // 1000
            seconds, micros = divmod(now, 1_000_000)
            name = f"{seconds:08x}{micros:05x}{secrets.randbelow(16):x}"
            place = f"{seconds - seconds % _GRANULARITY:08x}/{name}"
            if not (self._folder / place).exists():
                return place

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
