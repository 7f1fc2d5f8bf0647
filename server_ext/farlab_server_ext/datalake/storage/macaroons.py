"""Links that work without an account, from doors that make macaroons (dCache, XRootD, StoRM)."""

from __future__ import annotations

import base64
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
        return allows(await _ask(endpoint, endpoint.url + "/", "DOWNLOAD", 60), "DOWNLOAD")
    except LakeError:
        return False


async def link(endpoint: Endpoint, url: str, seconds: int) -> Link:
    """Return a link with which anyone can download `url` for so long."""
    ends = time.time() + seconds
    macaroon = await _ask(endpoint, url, "DOWNLOAD", seconds)
    if not allows(macaroon, "DOWNLOAD"):
        words = f"{endpoint.title} makes no link with which this could be downloaded."
        raise LakeError("denied", words, "Ask its operators for the right.")
    return Link(f"{url}?authz={macaroon}", ends)


def allows(macaroon: str, activity: str) -> bool:
    """Say whether no caveat of a macaroon forbids an activity.

    A door adds caveats of its own: XRootD adds what it thinks that the asker may do, and all must
    hold. A text that is not a macaroon of the usual form is taken as it is.
    """
    try:
        text = base64.urlsafe_b64decode(macaroon + "=" * (-len(macaroon) % 4))
    except ValueError:
        return True
    caveats = [one.split(b"\n")[0].decode(errors="replace") for one in text.split(b"cid activity:")]
    return all(activity in one.split(",") for one in caveats[1:])


async def _ask(endpoint: Endpoint, url: str, activity: str, seconds: int) -> str:
    wanted = {"caveats": [f"activity:{activity}"], "validity": f"PT{seconds}S"}
    async with endpoint.request("POST", url, headers=HEADERS, data=json.dumps(wanted)) as answer:
        content = await endpoint.read(answer, ANSWER_MAX)
    try:
        found: Any = json.loads(content)["macaroon"]
    except (ValueError, KeyError, TypeError):
        raise endpoint.rubbish("no macaroon") from None
    return str(found)
