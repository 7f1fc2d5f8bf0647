"""The cells that open what is in a lake, by its name's end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from farlab_kernels.datalake.paths import Place

LIBRARIES = ("pandas", "xarray", "h5py", "path")
_READERS = {
    ".csv": "read_csv",
    ".tsv": 'read_csv, sep="\\t"',
    ".json": "read_json",
    ".jsonl": "read_json, lines=True",
    ".parquet": "read_parquet",
    ".feather": "read_feather",
    ".xlsx": "read_excel",
}
_FIELDS = (".nc", ".nc4", ".cdf", ".h5", ".hdf5", ".he5", ".grib", ".grib2")


def cell(place: Place, *, folder: bool, library: str = "") -> str:
    """Return the code that opens a place, with the library that fits if none is named."""
    fitting: dict[str, Callable[[Place], str]] = {
        "pandas": _pandas,
        "xarray": _zarr if folder else _xarray,
        "h5py": _h5py,
        "path": _folder if folder else _bytes,
    }
    return fitting[library or _library(place, folder=folder)](place)


def _library(place: Place, *, folder: bool) -> str:
    end = _end(place)
    if end == ".zarr" or (not folder and end in _FIELDS):
        return "xarray"
    return "pandas" if end in _READERS and not folder else "path"


def _end(place: Place) -> str:
    name = place.path[:-3] if place.path.endswith(".gz") else place.path
    return PurePosixPath(name).suffix.lower()


def _pandas(place: Place) -> str:
    reader, _, more = _READERS.get(_end(place), "read_csv").partition(", ")
    options = f", {more}" if more else ""
    return f"import pandas as pd\n\ndata = pd.{reader}({place.url!r}{options})\ndata.head()"


def _xarray(place: Place) -> str:
    return (f"import fsspec\nimport xarray as xr\n\n"
            f"data = xr.open_dataset(fsspec.open({place.url!r}).open())\ndata")  # fmt: skip


def _zarr(place: Place) -> str:
    return f"import xarray as xr\n\ndata = xr.open_zarr({place.url!r})\ndata"


def _h5py(place: Place) -> str:
    return (f"import fsspec\nimport h5py\n\n"
            f"data = h5py.File(fsspec.open({place.url!r}).open())\nlist(data)")  # fmt: skip


def _bytes(place: Place) -> str:
    return f"import fsspec\n\nwith fsspec.open({place.url!r}) as file:\n    print(file.read(100))"


def _folder(place: Place) -> str:
    return (f'import fsspec\n\nlake = fsspec.filesystem("farlab")\n'
            f"files = lake.ls({str(place)!r}, detail=False)\nfiles[:5]")  # fmt: skip
