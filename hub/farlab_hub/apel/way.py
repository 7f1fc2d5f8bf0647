"""The ways of messages to a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .state import State, Waiting


class DeliveryError(Exception):
    """A target did not take a message; the text says why and what to do."""


class Way(Protocol):
    """A way to one target."""

    at_once: int
    """How many messages it takes together."""

    def stage(self, texts: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Prepare messages, and return what is to be noted of each: its text, and its place."""

    def deliver(self, state: State, messages: Sequence[Waiting]) -> None:
        """Deliver messages and note each as sent; raise DeliveryError."""
