"""Tab completion of `%datalake`: actions, options, lakes and what is in them."""

from __future__ import annotations

import concurrent.futures
from typing import Any

from farlab_kernels.datalake.client import LakeClient
from farlab_kernels.datalake.listing import Listing
from farlab_kernels.datalake.magics import ACTIONS
from farlab_kernels.datalake.openers import LIBRARIES
from farlab_kernels.datalake.paths import PROTOCOL, choose
from farlab_kernels.loops import shared_loop
from farlab_kernels.service.errors import ServiceError

_OPTIONS = (
    "--as", "--at", "--bbox", "--collection", "--days", "--hours", "--kind", "--limit", "--link",
    "--meta", "--overwrite", "--prefix", "--remove", "--rse", "--scope", "--time",
)  # fmt: skip
_PATIENCE = 2.0  # seconds that a key press may take
_MOST = 50


def complete(line: str, symbol: str) -> list[str]:
    """Return what may stand in place of `symbol`, the end of the line's last word."""
    words = line.split()
    word = "" if not line or line[-1].isspace() else words.pop()
    if word.startswith("-"):
        found = [*_OPTIONS]
    elif words[1:] and words[-1] == "--as":
        found = [*LIBRARIES]
    elif len(words) == 1:
        found = [*ACTIONS]
    elif words[1] == "put" and len(words) == 2:
        return []  # a file of this machine, which IPython completes
    else:
        found = _places(word)
    # IPython's own idea of a word ends at a colon.
    kept = len(word) - len(symbol)
    return [one[kept:] for one in found if one.startswith(word)]


def _places(word: str) -> list[str]:
    """Return names that begin with a word; none if the server takes too long."""
    asking = shared_loop().start(_ask(word))
    done, _ = concurrent.futures.wait([asking], timeout=_PATIENCE)
    if not done:
        asking.cancel()
        return []
    return [name for name in asking.result() if not any(char in name for char in " \t'\"\\{$")]


async def _ask(word: str) -> list[str]:
    try:
        async with LakeClient() as client:
            return await _found(client, word)
    except ServiceError:
        return []


async def _found(client: LakeClient, word: str) -> list[str]:
    lakes = await client.lakes()
    start = f"{PROTOCOL}://" if word.startswith(f"{PROTOCOL}://") else ""
    inner = word.removeprefix(start)
    names = [f"{start}{lake['name']}/" for lake in lakes]
    if "/" not in inner and ":" not in inner:
        return names
    place = choose(lakes, word)
    lead = word[: len(word) - len(place.path)] if place.path else word
    if ":" in place.path and await Listing(client).kind(place.lake) == "rucio":
        scope, _, name = place.path.partition(":")
        pages = client.search(place.lake, scope, f"{name}*", _MOST)
        return [lead + str(entry["path"]) async for entry in pages]
    folder, slash, _ = place.path.rpartition("/")
    rucio = await Listing(client).kind(place.lake) == "rucio"
    end = ":" if rucio else "/"
    rows = client.entries(place.lake, folder if slash else "")
    return [
        lead + str(row["path"]) + ("" if row["kind"] in ("file", "asset") else end)
        async for row in rows
    ]


class Completer:
    """What IPython calls for a line that begins with the magic."""

    def __call__(self, _: Any, event: Any) -> list[str]:
        """Return what may stand at the cursor."""
        return complete(event.text_until_cursor, event.symbol)
