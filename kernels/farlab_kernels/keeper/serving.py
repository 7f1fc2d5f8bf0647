"""One run of the keeper: its kernels and its port, until the end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

from farlab_kernels.keeper.first import FirstCell
from farlab_kernels.keeper.keeper import Keeper, StartError
from farlab_kernels.keeper.launch import Launched
from farlab_kernels.keeper.server import Server

log = logging.getLogger(__name__)


async def keep(key: str, port: int, folder: Path, launched: Launched) -> int:
    """Keep a kernel, reachable at a loopback port, until it ends; return the exit code."""
    try:
        first = FirstCell.read(os.environ)
    except (OSError, ValueError) as error:
        log.error("the cell that came with the job can't be read: %s", error)
        return 1
    keeper = Keeper(folder, key, os.environ, launched, first)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, keeper.end)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, keeper.end)
    running = asyncio.create_task(keeper.run())
    ready = asyncio.create_task(keeper.ready.wait())
    server = Server(key, keeper.handlers)
    try:
        await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():  # from now on the agent finds that the kernel is ready
            await server.listen(port)
        return await running
    except StartError as error:
        log.error("the kernel could not be started: %s", error)
        return 1
    except OSError as error:
        log.error("can't listen on port %s of 127.0.0.1: %s", port, error.strerror)
        return 1
    finally:
        ready.cancel()
        running.cancel()
        await asyncio.wait((running, ready))
        server.close()
