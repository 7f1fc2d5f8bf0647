"""The STAC catalogue beside the tutorial's lake: static files, one item for each year."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from farlab_real import climate

BOX = [-180.0, -90.0, 180.0, 90.0]
RING = [[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]


class PublicFolder:
    """A folder that everybody may read over HTTP, as a public bucket is."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(_Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


def write_catalogue(folder: Path, host: str, scope: str, files: Mapping[str, bytes]) -> None:
    """Write the catalogue; `host` is the Rucio's, as links name it."""
    items = [f"{climate.name_of(year).removesuffix('.nc')}.json" for year in climate.YEARS]
    _write(folder / "catalog.json", {
        "type": "Catalog", "stac_version": "1.0.0", "id": "demo",
        "title": "Data of the tutorial", "description": "What the tutorial's lake holds.",
        "links": [
            {"rel": "self", "href": "./catalog.json"},
            {"rel": "root", "href": "./catalog.json"},
            {"rel": "child", "href": "./climate/collection.json", "title": "A made-up climate"},
            {"rel": "child", "href": "./results/collection.json", "title": "Results"},
        ],
    })  # fmt: skip
    about = "Temperatures that follow from a formula; nothing was measured."
    times: list[str | None] = [_first(climate.YEARS[0]), _last(climate.YEARS[-1])]
    _write(
        folder / "climate/collection.json",
        _collection("climate", "A made-up climate", about, times, items),
    )
    about = "What users have computed, and described here."
    _write(
        folder / "results/collection.json", _collection("results", "Results", about, [None, None])
    )
    for year, item in zip(climate.YEARS, items, strict=True):
        name = climate.name_of(year)
        (folder / "climate" / name).write_bytes(files[name])
        _write(folder / "climate" / item, _item(year, name, f"rucio://{host}/{scope}:{name}"))
    (folder / "climate/map.png").write_bytes(files["map.png"])


def _collection(
    name: str, title: str, about: str, times: list[str | None], items: Sequence[str] = ()
) -> dict[str, Any]:
    return {
        "type": "Collection", "stac_version": "1.0.0", "id": name, "title": title,
        "description": about, "license": "CC0-1.0",
        "extent": {"spatial": {"bbox": [BOX]}, "temporal": {"interval": [times]}},
        "links": [
            {"rel": "root", "href": "../catalog.json"},
            {"rel": "parent", "href": "../catalog.json"},
            *({"rel": "item", "href": f"./{item}"} for item in items),
        ],
    }  # fmt: skip


def _item(year: int, name: str, did: str) -> dict[str, Any]:
    data: dict[str, Any] = {"href": f"./{name}", "type": "application/x-netcdf", "roles": ["data"]}
    data |= {"title": name, "alternate": {"rucio": {"href": did}}}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name.removesuffix(".nc"),
        "collection": "climate", "bbox": BOX,
        "geometry": {"type": "Polygon", "coordinates": [RING]},
        "properties": {
            "title": f"A made-up climate: {year}", "datetime": None,
            "start_datetime": _first(year), "end_datetime": _last(year),
        },
        "links": [
            {"rel": "root", "href": "../catalog.json"},
            {"rel": "parent", "href": "./collection.json"},
            {"rel": "collection", "href": "./collection.json"},
        ],
        "assets": {
            "data": data,
            "thumbnail": {"href": "./map.png", "type": "image/png", "roles": ["thumbnail"]},
        },
    }  # fmt: skip


def _first(year: int) -> str:
    return f"{year}-01-01T00:00:00Z"


def _last(year: int) -> str:
    return f"{year}-12-31T23:59:59Z"


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1))
