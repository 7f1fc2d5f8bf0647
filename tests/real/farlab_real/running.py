"""What runs for the length of a `with` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Running(ABC):
    """A real part: a program with all that belongs to it, from `start` to `end`."""

    @abstractmethod
    def start(self) -> Self:
        """Start it and return when it answers."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it."""

    def end(self) -> None:
        """Stop it for good, and leave nothing; called at the end of the block."""
        self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
