"""Let a benchmark that is stopped end what it has started."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, TypeVar


class Startable(Protocol):
    """Something like a server: `start` returns when it answers; its `with` block ends it."""

    def start(self) -> object:
        """Start it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """End it."""


Part = TypeVar("Part", bound=Startable)


def exit_on_sigterm() -> None:
    """Have SIGTERM leave every `with` block, as SystemExit; a second one does not disturb that."""

    def leave(number: int, _: object) -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def start(stack: ExitStack, part: Part) -> Part:
    """Start a part that ends with the stack, also if it is stopped while it starts."""
    stack.push(part.__exit__)
    part.start()
    return part
