"""The keys of a kernel: its own, which clients prove to have, and what is derived from it."""

from __future__ import annotations

import hashlib
import hmac

LEAST_KEY = 32
"""Characters that a kernel's key has at least."""


def message_key(key: str) -> str:
    """Return the key that signs the kernel's Jupyter messages, on both sides.

    The kernel has this one, and can't find the kernel's key from it.
    """
    return keyed(key, "farlab kernel messages")


def keyed(key: str, text: str) -> str:
    """Return the HMAC of a text."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
