"""A small data set to show things with: twelve months of a made-up climate, of four years.

Nothing in it was measured: the temperatures come from the formula in `field`, with a warm season in
each hemisphere, warm land, cold mountains and a slow warming. NetCDF, CSV, PNG and Zarr; 1 MB.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

YEARS = (2021, 2022, 2023, 2024)
STEP = 5
"""Degrees between two points of the grid."""
STATIONS = {
    "Bergtal": (46.5, 8.0),
    "Hafenstadt": (53.5, 10.0),
    "Inselkap": (-33.0, 20.0),
    "Kap Nord": (71.0, 25.0),
    "Oasis": (24.0, 12.0),
    "Rio Sul": (-22.0, -45.0),
}
"""Names that nobody has given to a place, with latitude and longitude."""
NOTES = """\
A made-up climate, to show software with.

Nothing here was measured. Each temperature follows from the formula of
tests/real/farlab_real/climate.py: the season of its hemisphere, the latitude, a land and a mountain
that are not there, a warming that is strongest in the north, and waves in place of the weather.
Use it as you like (CC0).

t2m-YEAR.nc      NetCDF: t2m(month, lat, lon) in degrees Celsius, on a grid of 5 degrees
stations.csv     year, month, station, lat, lon and t2m, at six places
map.png          the mean of 2024
t2m.zarr         all years, as a Zarr store
"""


def field(year: int) -> xr.Dataset:
    """Return a year's temperatures: months, latitudes, longitudes."""
    lat = np.arange(-90 + STEP / 2, 90, STEP)
    lon = np.arange(-180 + STEP / 2, 180, STEP)
    months = np.arange(1, 13)
    values = temperature(year, months[:, None, None], lat[:, None], lon).astype("float32")
    units = {"units": "degC", "long_name": "made-up temperature"}
    return xr.Dataset(
        {"t2m": (("month", "lat", "lon"), values, units)},
        coords={
            "month": ("month", months.astype("int32")),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
        attrs={"title": f"A made-up climate: {year}", "comment": "From a formula; not measured."},
    )


def temperature(year: int, month: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Return the temperature in degrees Celsius somewhere in a month."""
    north, east = np.radians(lat), np.radians(lon)
    season = np.cos(2 * np.pi * (month - 7) / 12) * np.sin(north) * 18
    land = 6 * np.exp(-(((lat - 20) / 25) ** 2) - ((lon - 15) / 40) ** 2)
    mountain = -14 * np.exp(-(((lat - 46) / 8) ** 2) - ((lon - 9) / 12) ** 2)
    warming = (0.03 + 0.12 * (1 + np.sin(north)) ** 2 / 4) * (year - YEARS[0] + month / 12)
    weather = 1.5 * np.sin(3 * east + 2 * north + month) + 0.05 * np.sin(2 * east - year)
    return np.asarray(42 * np.cos(north) - 15 + season + land + mountain + warming + weather)


def files() -> dict[str, bytes]:
    """Return the single files by their names."""
    found = {"README.txt": NOTES.encode(), "stations.csv": stations().encode(), "map.png": map_()}
    for year in YEARS:
        found[name_of(year)] = bytes(field(year).to_netcdf(engine="scipy"))
    return found


def name_of(year: int) -> str:
    """Return the name of a year's file."""
    return f"t2m-{year}.nc"


def zarr() -> dict[str, bytes]:
    """Return the files of a Zarr store with all years, by their names."""
    years = [field(year).expand_dims(year=[year]) for year in YEARS]
    every = xr.merge(years, join="outer", compat="no_conflicts")
    with tempfile.TemporaryDirectory() as folder:
        every.to_zarr(
            f"{folder}/t2m.zarr", consolidated=False, encoding={"t2m": {"chunks": _CHUNKS}}
        )
        paths = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


_CHUNKS = (1, 12, 36, 72)


def stations() -> str:
    """Return the table of the stations."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield "year,month,station,lat,lon,t2m"
    for year in YEARS:
        for month in range(1, 13):
            for name, (lat, lon) in STATIONS.items():
                value = temperature(year, *(np.array(one) for one in (month, lat, lon)))
                yield f"{year},{month},{name},{lat},{lon},{float(value):.2f}"


def map_() -> bytes:
    """Return a picture of the last year's mean."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - it takes a second

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    mean = field(YEARS[-1])["t2m"].mean("month")
    drawn = axes.pcolormesh(mean["lon"], mean["lat"], mean, cmap="RdYlBu_r", shading="nearest")
    figure.colorbar(drawn, label="mean temperature, °C")
    axes.set_title(f"A made-up climate: {YEARS[-1]}")
    axes.set_xlabel("longitude")
    axes.set_ylabel("latitude")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()
