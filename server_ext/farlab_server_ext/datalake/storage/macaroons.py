"""Links that work without an account, from doors that make macaroons (dCache, XRootD, StoRM)."""

from __future__ import annotations

import json
import time
from typing import Any

from ..endpoint import Endpoint
from ..lake import LakeError, Link

ANSWER_MAX = 65536  # bytes
HEADERS = {"Content-Type": "application/macaroon-request"}


async def offered(endpoint: Endpoint) -> bool:
    """Say whether a door makes macaroons: the way to know is to ask for one, of a minute."""
    try:
        return bool(await _ask(endpoint, endpoint.url + "/", "LIST", 60))
    except LakeError:
        return False


async def link(endpoint: Endpoint, url: str, seconds: int) -> Link:
    """Return a link with which anyone can download `url` for so long."""
    ends = time.time() + seconds
    macaroon = await _ask(endpoint, url, "DOWNLOAD", seconds)
    return Link(f"{url}?authz={macaroon}", ends)


async def _ask(endpoint: Endpoint, url: str, activity: str, seconds: int) -> str:
    wanted = {"caveats": [f"activity:{activity}"], "validity": f"PT{seconds}S"}
    async with endpoint.request("POST", url, headers=HEADERS, data=json.dumps(wanted)) as answer:
        content = await endpoint.read(answer, ANSWER_MAX)
    try:
        found: Any = json.loads(content)["macaroon"]
    except (ValueError, KeyError, TypeError):
        raise endpoint.rubbish("no macaroon") from None
    return str(found)
