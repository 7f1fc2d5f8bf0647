"""The energy of a job, and its CO2e: measured by the batch system, else estimated."""

from __future__ import annotations

from dataclasses import dataclass

from farlab_sites.accounting import SiteAccounting

from .records import ESTIMATED, MEASURED
from .rollup import month_name, month_of, split

JOULES = 3.6e6  # in a kWh
GIB = 2**30
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Energy:
    """What a job drew; None where nothing is known. `source` says how that is known."""

    kwh: float | None = None
    source: str = ""
    co2e_g: float | None = None


@dataclass(frozen=True)
class Draw:
    """What a job was given."""

    cores: float
    gpus: float
    memory: int  # bytes


def power(site: SiteAccounting, draw: Draw) -> float | None:
    """Return the estimated power in kW, the data centre's share included."""
    watts = site.watts
    if watts is None:
        return None
    machines = watts.core * draw.cores + watts.gpu * draw.gpus + watts.gib * draw.memory / GIB
    return machines * site.pue / 1000


def energy(
    site: SiteAccounting, draw: Draw, start: float, end: float, joules: float | None = None
) -> Energy:
    """Return what a job drew between two times.

    `joules` is what the batch system measured at the nodes; the data centre's share comes on top.
    """
    kilowatts = power(site, draw)
    months = _hours_by_month(start, end)
    hours = sum(months.values())
    if joules:
        kwh, source = joules / JOULES * site.pue, MEASURED
    elif kilowatts is not None:
        kwh, source = kilowatts * hours, ESTIMATED
    else:
        return Energy()
    shares = {month: part / hours for month, part in months.items()} if hours else {}
    factors = {month: site.grams_per_kwh(month) for month in shares}
    if not factors or None in factors.values():
        return Energy(kwh, source, 0.0 if not kwh and site.grid else None)
    grams = sum(kwh * shares[month] * (factor or 0.0) for month, factor in factors.items())
    return Energy(kwh, source, grams)


def _hours_by_month(start: float, end: float) -> dict[str, float]:
    months: dict[str, float] = {}
    for day, piece in split(start, end):
        month = month_name(month_of(day))
        months[month] = months.get(month, 0.0) + piece / HOUR_MS
    return months
