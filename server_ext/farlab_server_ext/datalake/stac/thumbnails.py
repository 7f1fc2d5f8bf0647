"""Pictures of items, from the catalogue's own server and from this server's lakes only."""

from __future__ import annotations

from collections.abc import Callable

from ..lake import Lake, LakeError
from .documents import entry_of
from .lake import StacLake
from .links import Places

SIZE_MAX = 4 * 2**20
"""Bytes; a thumbnail has less."""
KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
"""By what they begin with: nothing else is ever sent as a picture."""


async def thumbnail(
    stac: StacLake, path: str, places: Places, lake: Callable[[str], Lake]
) -> tuple[bytes, str]:
    """Return an item's picture and its kind; raise LakeError where there is none to be had."""
    item = await stac.document(path)
    entry = entry_of(item, path, stac.address(path), places)
    href = entry.more.get("thumbnail")
    if not href:
        words = f"{entry.name} has no picture."
        raise LakeError("not-found", words, "Look at its data.")
    content = await _read(stac, str(href), places, lake)
    if len(content) > SIZE_MAX:
        words = "This picture is too large for a thumbnail."
        raise LakeError("unsupported", words, "Open its link.")
    return content, _kind(content)


async def _read(stac: StacLake, href: str, places: Places, lake: Callable[[str], Lake]) -> bytes:
    found = places.of_href(href)
    if found:
        return await lake(found[0]["lake"]).read(found[0]["path"], 0, SIZE_MAX + 1)
    if stac.path_of(href) is None:
        words = "This picture is in none of this server's lakes."
        raise LakeError("unsupported", words, "Open its link.")
    return b"".join([part async for part in stac.bytes_at(href, 0, SIZE_MAX + 1)])


def _kind(content: bytes) -> str:
    for start, kind in KINDS.items():
        if content.startswith(start):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    raise LakeError("unsupported", "This is no picture that can be shown.", "Open its link.")
