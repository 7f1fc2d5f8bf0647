"""STAC items made from datasets: one asset a file, with its DID as the alternate address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..lake import LakeError
from .links import DidLink, multihash

EXTENSIONS = [
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json",
]
TYPES = {
    "nc": "application/x-netcdf",
    "h5": "application/x-hdf5",
    "tif": "image/tiff; application=geotiff",
    "tiff": "image/tiff; application=geotiff",
    "json": "application/json",
    "geojson": "application/geo+json",
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "png": "image/png",
    "jpg": "image/jpeg",
    "zarr": "application/vnd.zarr",
}
PICTURES = ("image/png", "image/jpeg")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a dataset; `url` opens it without Rucio, where there is such an address."""

    scope: str
    name: str
    size: int | None = None
    checksum: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """What an item is made from."""

    host: str
    """The Rucio's host, as links name it."""
    scope: str
    name: str
    files: Sequence[DataFile]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where and when: degrees west, south, east, north, and times as STAC writes them."""

    bbox: tuple[float, float, float, float] | None = None
    start: str | None = None
    end: str | None = None


def item_of(dataset: Dataset, coverage: Coverage, collection: str | None = None) -> dict[str, Any]:
    """Return the item that describes a dataset; raise LakeError for a coverage that is none."""
    properties = {**dataset.metadata, **_times(coverage)}
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": EXTENSIONS,
        "id": dataset.name.replace("/", "-"),
        "geometry": _ring(coverage.bbox),
        "properties": properties,
        "links": [
            {"rel": "rucio", "href": DidLink(dataset.host, dataset.scope, dataset.name).href}
        ],
        "assets": dict(_asset(dataset.host, file) for file in dataset.files),
    }
    if coverage.bbox is not None:
        item["bbox"] = list(coverage.bbox)
    if collection:
        item["collection"] = collection
        item["links"].append({"rel": "collection", "href": "./collection.json"})
    return item


def _asset(host: str, file: DataFile) -> tuple[str, dict[str, Any]]:
    href = DidLink(host, file.scope, file.name).href
    kind = TYPES.get(file.name.rpartition(".")[2].lower())
    asset: dict[str, Any] = {
        "href": file.url or href,
        "title": file.name,
        "roles": ["thumbnail"] if kind in PICTURES else ["data"],
        "alternate": {"rucio": {"href": href, "title": "In the DataLake"}},
    }
    facts = {"type": kind, "file:size": file.size, "file:checksum": multihash(file.checksum)}
    asset |= {key: value for key, value in facts.items() if value is not None}
    return file.name, asset


def _times(coverage: Coverage) -> dict[str, Any]:
    """Return an item's times: one moment, or null with a start and an end."""
    start, end = _moment(coverage.start), _moment(coverage.end)
    if start and end and start != end:
        if start > end:
            words = "The time ends before it begins."
            raise LakeError("wrong-input", words, "Exchange start and end.")
        return {"datetime": None, "start_datetime": start, "end_datetime": end}
    return {"datetime": start or end or _written(datetime.now(UTC))}


def _moment(text: str | None) -> str | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fix = "Write it as 2024-01-31T00:00:00Z."
        raise LakeError("wrong-input", f"{text[:100]!r} is no time.", fix) from None
    return _written(found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC))


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _ring(bbox: tuple[float, float, float, float] | None) -> dict[str, Any] | None:
    """Return the footprint of a box; None for an item that is nowhere on the Earth."""
    if bbox is None:
        return None
    west, south, east, north = bbox
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        fix = "Give west, south, east, north in degrees."
        raise LakeError("wrong-input", "That is no area of the Earth.", fix)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}
