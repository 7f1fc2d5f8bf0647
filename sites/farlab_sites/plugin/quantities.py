"""Kubernetes quantities ("500m", "64Gi") as exact numbers."""

from __future__ import annotations

import math
import re
from fractions import Fraction

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
_BINARY = {f"{letter}i": Fraction(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {letter: Fraction(1000) ** power for power, letter in enumerate("kMGTPE", 1)}
_SMALL = {letter: Fraction(1, 1000**power) for power, letter in enumerate("mun", 1)}
_SUFFIX = {**_BINARY, **_DECIMAL, **_SMALL, "": Fraction(1)}


def parse_quantity(value: object) -> Fraction:
    """Return the number that a Kubernetes quantity stands for.

    Raises:
        ValueError: it is not a quantity, or negative.

    """
    found = _FORM.fullmatch(str(value)) if not isinstance(value, bool) else None
    if found is None:
        raise ValueError(f"{value!r} is not a quantity such as 2, 500m or 64Gi")
    number, exponent, suffix = found.groups()
    result = Fraction(number) * (Fraction(10) ** int(exponent or 0)) * _SUFFIX[suffix or ""]
    if result < 0:
        raise ValueError(f"{value!r} is negative")
    return result


def whole(value: Fraction) -> int:
    """Round up, as Kubernetes does when it needs a whole number."""
    return math.ceil(value)
