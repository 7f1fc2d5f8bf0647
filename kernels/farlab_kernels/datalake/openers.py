"""The cells that open what is in a lake, by its name's end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from farlab_kernels.datalake.errors import LakeError
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


class OnThisMachine(NamedTuple):
    """A file that needs no lake."""

    path: str

    @property
    def url(self) -> str:
        """How fsspec finds it."""
        return self.path


Openable = Place | OnThisMachine


def attached(name: str, variables: Mapping[str, Any], library: str = "") -> str | None:
    """Return the code that opens a variable which Rucio's own extension has put into the notebook.

    None if it is no such variable. Raises LakeError where its data is not here.
    """
    value = variables.get(name)
    several = isinstance(value, list)
    items = list.__iter__(value) if isinstance(value, list) else iter([value])
    paths = [getattr(one, "path", None) for one in items if hasattr(one, "pfn")]
    if not (paths if several else isinstance(value, str) and paths):
        return None
    if not getattr(value, "did_available", True) or None in paths:
        words = f"what is attached as {name} is not on this machine"
        raise LakeError(words, "Make it available in the extension's panel.", code="not-here")
    if several:
        return f"files = [one.path for one in {name}]\nfiles[:5]"
    return cell(OnThisMachine(str(paths[0])), folder=False, library=library)


def cell(place: Openable, *, folder: bool, library: str = "") -> str:
    """Return the code that opens a place, with the library that fits if none is named."""
    fitting: dict[str, Callable[[Openable], str]] = {
        "pandas": _pandas,
        "xarray": _zarr if folder else _xarray,
        "h5py": _h5py,
        "path": _folder if folder else _bytes,
    }
    return fitting[library or _library(place, folder=folder)](place)


def _library(place: Openable, *, folder: bool) -> str:
    end = _end(place)
    if end == ".zarr" or (not folder and end in _FIELDS):
        return "xarray"
    return "pandas" if end in _READERS and not folder else "path"


def _end(place: Openable) -> str:
    name = place.path[:-3] if place.path.endswith(".gz") else place.path
    return PurePosixPath(name).suffix.lower()


def _pandas(place: Openable) -> str:
    reader, _, more = _READERS.get(_end(place), "read_csv").partition(", ")
    options = f", {more}" if more else ""
    return f"import pandas as pd\n\ndata = pd.{reader}({place.url!r}{options})\ndata.head()"


def _xarray(place: Openable) -> str:
    return (f"import fsspec\nimport xarray as xr\n\n"
            f"data = xr.open_dataset(fsspec.open({place.url!r}).open())\ndata")  # fmt: skip


def _zarr(place: Openable) -> str:
    return f"import xarray as xr\n\ndata = xr.open_zarr({place.url!r})\ndata"


def _h5py(place: Openable) -> str:
    return (f"import fsspec\nimport h5py\n\n"
            f"data = h5py.File(fsspec.open({place.url!r}).open())\nlist(data)")  # fmt: skip


def _bytes(place: Openable) -> str:
    return f"import fsspec\n\nwith fsspec.open({place.url!r}) as file:\n    print(file.read(100))"


def _folder(place: Openable) -> str:
    return (f'import fsspec\n\nlake = fsspec.filesystem("farlab")\n'
            f"files = lake.ls({str(place)!r}, detail=False)\nfiles[:5]")  # fmt: skip
