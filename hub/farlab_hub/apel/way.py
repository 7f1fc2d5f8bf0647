"""The ways of messages to a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .state import State, Waiting


class DeliveryError(Exception):
    """A target did not take a message; the text says why and what to do."""


class Way(Protocol):
    """A way to one target."""

    at_once: int
    """How many messages it takes together."""

    def deliver(self, state: State, messages: Sequence[Waiting]) -> None:
        """Deliver messages and note each as sent; raise DeliveryError."""
