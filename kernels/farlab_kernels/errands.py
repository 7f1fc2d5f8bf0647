"""Cells that go to their sites with the request for a kernel: from then on they need nobody here.

name = await send_off("vega", "y = model(x)", name="night", inputs={"x": x}, gpus=1)
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any

from farlab_kernels.service.client import Client
from farlab_kernels.session import create_all, named, settle
from farlab_kernels.variables import parcel
from farlab_kernels.variables.errors import NoRoomError
from farlab_kernels.wishes import Wish, WishError

TAKEN = "name-taken"
"""The code of the error that says that there is a kernel of that name."""
MOST_CODE = 200_000
"""Characters of a cell that goes with the request."""


async def send_off(
    site: str, code: str, *, name: str = "", inputs: Mapping[str, Any] | None = None,
    files: Sequence[str] = (), **wishes: Any,
) -> str:  # fmt: skip
    """Start kernels that begin with a cell, and return their name without waiting for them.

    `inputs` are variables to set and `files` are copied before it; `wishes` are `open_session`'s.
    `attach_session` brings what came of it. Raises WishError, ServiceError, TransferError.
    """
    wish = Wish(site, **{key: value for key, value in wishes.items() if value is not None})
    async with Client() as client:
        name, wish = await settle(client, name, wish)
        if named(await client.list(), name):
            fix = "Attach to it and leave it the cell, or choose another name."
            raise WishError(f"there is a kernel called {name} already", fix, code=TAKEN)
        first = await asyncio.to_thread(pack, wish.site, name, code, inputs or {}, files)
        await create_all(client, name, wish, first=first)
    return name


def pack(
    site: str, name: str, code: str, inputs: Mapping[str, Any], files: Sequence[str]
) -> dict[str, str]:
    """Return what a request for a kernel says of its first cell. Raises WishError, TransferError.

    What is too large for that is refused, with what to do.
    """
    first = f"Start the kernel first (%offload use {site} --name {name}), and then send it the cell"
    if len(code) > MOST_CODE:
        words = f"a cell of {len(code)} characters can't go with the request for a kernel"
        raise WishError(words, f"{first}.", code="too-large")
    try:
        packed = parcel.pack(inputs, files, site) if inputs or files else b""
    except NoRoomError as error:
        fix = f"{first}; or let the cell read its data at {site}."
        raise WishError(str(error), fix, code="too-large") from None
    return {"code": code, "inputs": base64.b64encode(packed).decode()}
