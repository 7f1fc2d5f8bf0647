"""Quantities in the words of the form and the progress page."""

from __future__ import annotations

from farlab_sites.manifest import walltime
from farlab_sites.profiles import Choice


def duration(seconds: float) -> str:
    """Return a time span as a person says it: `8 hours`, `90 minutes`, `2 days`."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size and seconds % size == 0 and (unit != "day" or seconds >= 2 * size):
            return count(int(seconds // size), unit)
    if seconds >= 3600:
        hours, rest = divmod(int(seconds), 3600)
        return f"{count(hours, 'hour')} {count(rest // 60, 'minute')}"
    return count(max(1, round(seconds / 60)), "minute")


def count(number: int, thing: str) -> str:
    """Return `1 job`, `3 jobs`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def figure(number: float) -> str:
    """Return a number with four digits that matter, as the form's script writes it."""
    return f"{float(f'{number:.4g}'):.15g}"


def limit_of(seconds: int | None) -> str:
    """Return how long a server may run."""
    return f"ends after {duration(seconds)}" if seconds else "no time limit"


def summary(choice: Choice) -> str:
    """Return a choice in one line, as the form's summary says it."""
    titles = {image.image: image.title for image in choice.profile.images}
    parts = [choice.profile.title, choice.size.title]
    if choice.partition:
        parts.append(choice.partition.title)
    parts.append(titles.get(choice.image, choice.image))
    parts.append(limit_of(walltime(choice.site, choice.profile, choice.partition)))
    return " · ".join(parts)
