"""A real STAC API (rustac) and a static catalogue over plain HTTP, with the same content.

    with RunningStacApi(folder) as api: ...        # api.url
    with StaticCatalogue(folder) as catalogue: ... # catalogue.url ends in catalog.json

The content: a collection `fires` with 250 items, one a day from 2020-01-01 on, each a square of one
degree, from 120 degrees west eastwards.
"""

from __future__ import annotations

import datetime
import functools
import http.server
import json
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from farlab_real.processes import Process, free_ports

ITEMS = 250
FIRST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def collection(links: list[dict[str, str]]) -> dict[str, Any]:
    """Return the collection `fires`."""
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": "fires",
        "title": "Burnt areas",
        "description": "Areas that have burnt, day by day.",
        "license": "CC0-1.0",
        "extent": {
            "spatial": {"bbox": [[-120, 0, 131, 1]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        "links": links,
    }


def item(number: int, base: str = "https://data.example.org") -> dict[str, Any]:
    """Return one item: its assets are a picture and a data file, the second with an alternate."""
    west = number - 120
    ring = [[west, 0], [west + 1, 0], [west + 1, 1], [west, 1], [west, 0]]
    name = f"fire-{number:03d}"
    time = (FIRST + datetime.timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "fires",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, 0, west + 1, 1],
        "properties": {"datetime": time, "title": f"Fire {number}"},
        "links": [{"rel": "rucio", "href": f"rucio://rucio.example.org/fires:{name}"}],
        "assets": {
            "thumbnail": {
                "href": f"{base}/{name}.png",
                "type": "image/png",
                "roles": ["thumbnail"],
            },
            "data": {
                "href": f"{base}/{name}.nc",
                "type": "application/x-netcdf",
                "roles": ["data"],
                "file:size": 1000 + number,
                "alternate": {
                    "rucio": {"href": f"rucio://rucio.example.org/fires:{name}.nc"},
                },
            },
        },
    }


class RunningStacApi:
    """`rustac serve` with its memory backend."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_ports(1)[0]}"
        (folder / "collection.json").write_text(json.dumps(collection([])))
        items = {"type": "FeatureCollection", "features": [item(n) for n in range(ITEMS)]}
        (folder / "items.json").write_text(json.dumps(items))
        program = Path(sys.executable).with_name("rustac")
        argv = [str(program), "serve", "--addr", self.url.removeprefix("http://")]
        argv += [str(folder / "collection.json"), str(folder / "items.json")]
        self.process = Process(argv, folder / "stac.log", dict(os.environ))

    def __enter__(self) -> Self:
        self.process.start()
        self.process.wait_until(self._answers, "rustac")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.stop()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/collections").status_code == 200
        except httpx.HTTPError:
            return False


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


class StaticCatalogue:
    """Files in a folder, served by Python's own HTTP server; links are relative."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        handler = functools.partial(_Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.base}/catalog.json"
        self._write()

    def write(self, path: str, content: Any) -> None:
        """Put a JSON file there."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))

    def _write(self) -> None:
        names = [f"items/fire-{n:03d}.json" for n in range(ITEMS)]
        root = {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "disasters",
            "description": "What has happened.",
            "links": [{"rel": "child", "href": "./fires/collection.json", "title": "Burnt areas"}],
        }
        self.write("catalog.json", root)
        links = [{"rel": "item", "href": f"./{name}"} for name in names]
        self.write("fires/collection.json", collection(links))
        for number, name in enumerate(names):
            self.write(f"fires/{name}", item(number, base="."))

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
