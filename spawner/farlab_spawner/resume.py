"""Go on with a start that a restart of the hub has interrupted.

JupyterHub takes every server it finds in its database for one that runs: it waits `http_timeout`
for an answer, with the routes of all other servers waiting too, and gives up on it. A server in a
batch queue is put back to where it was instead: pending, with its progress, and can be cancelled.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jupyterhub

if TYPE_CHECKING:
    from .spawner import FarlabSpawner


def take_up(spawner: FarlabSpawner) -> None:
    """Make the server pending again, and let JupyterHub's check of it pass at once."""
    spawner._spawn_pending = True
    spawner._spawn_future = asyncio.ensure_future(_finish(spawner))
    spawner._spawn_future.add_done_callback(lambda future: _forget(spawner, future))
    spawner.server.wait_up = _no_need_to_wait


async def _no_need_to_wait(**_: Any) -> Any:
    """Answer for a server that is not there yet, as one of this JupyterHub's version would."""
    return SimpleNamespace(headers={"X-JupyterHub-Version": jupyterhub.__version__})


async def _finish(spawner: FarlabSpawner) -> None:
    """Do what JupyterHub does at the end of a start: lead users to it, or clean up."""
    try:
        await spawner.go_on()
        await spawner.user.settings["proxy"].add_user(spawner.user, spawner.name)
    except Exception:
        await spawner.user.stop(spawner.name)
        raise
    finally:
        spawner._spawn_pending = False


def _forget(spawner: FarlabSpawner, future: asyncio.Future[None]) -> None:
    """Keep a failure for the pages that show it, and nothing else; as JupyterHub does."""
    if future.cancelled() or future.exception() is None:
        spawner._spawn_future = None
