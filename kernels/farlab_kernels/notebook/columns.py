"""Tables of text."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows with their columns in line; a column without any text is left out."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True) if width)
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
