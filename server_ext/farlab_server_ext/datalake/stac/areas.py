"""Areas of the Earth, checked before a catalogue is asked for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..lake import LakeError

GEOMETRIES = {
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}
"""GeoJSON's kinds, and how deep lists are around a position."""
POSITIONS_MAX = 10_000
FIX = "Give west, south, east, north in degrees."


def checked_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return a box if it is one; its west may be east of its east, across the date line."""
    west, south, east, north = box
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise LakeError("wrong-input", "That is no area of the Earth.", FIX)
    return box


def checked_geometry(geometry: Mapping[str, Any], *, box: bool) -> dict[str, Any]:
    """Return a GeoJSON geometry if it is one; `box`: there is a box, too."""
    if box:
        fix = "Leave one of them out."
        raise LakeError("wrong-input", "A box and a geometry are asked for.", fix)
    depth = GEOMETRIES.get(str(geometry.get("type")))
    found = geometry.get("coordinates")
    if depth is None or not isinstance(found, list):
        fix = f"Its type is one of {', '.join(GEOMETRIES)}."
        raise LakeError("wrong-input", "That is no GeoJSON geometry.", fix)
    for count, position in enumerate(_positions(found, depth), 1):
        if count > POSITIONS_MAX or not _is_position(position):
            fix = "Positions are longitude and latitude in degrees."
            raise LakeError("wrong-input", "That is no area of the Earth.", fix)
    return {"type": geometry["type"], "coordinates": found}


def _positions(found: object, depth: int) -> Iterator[object]:
    if depth == 0:
        yield found
        return
    if not isinstance(found, list) or not found:
        yield None
        return
    for one in found:
        yield from _positions(one, depth - 1)


def _is_position(found: object) -> bool:
    if not isinstance(found, list) or len(found) not in (2, 3):
        return False
    if not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in found):
        return False
    return bool(-180 <= found[0] <= 180 and -90 <= found[1] <= 90)
